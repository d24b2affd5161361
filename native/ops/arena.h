// Which tensors of a graph's own memory hold their values: they share it, one after the other.
#pragma once
#include <vector>

#include "ops/plan.h"

namespace gradmesh::ops {

class Arena {
 public:
  explicit Arena(const Plan& plan) : plan_(plan), holds_(plan.tensors.size()) {}

  // Nothing holds its value, as after a run that failed.
  void forget();
  // As after a run of all nodes; the tensors are gone through only when one is asked for.
  void ran_all();
  bool holds(uint32_t tensor);
  // The tensor is written: it holds its value, and what shares its place does not.
  void wrote(uint32_t tensor);
  // As wrote() of each output, in the arena, of the node.
  void ran(const Node& node);
  // GM_INVALID_ARGUMENT where a node of [begin, end) would read a tensor that does not hold its value by
  // then.
  Status check_inputs(uint32_t begin, uint32_t end);

 private:
  void settle();
  bool owns(uint32_t tensor) const { return plan_.tensors[tensor].binding < 0; }

  const Plan& plan_;
  bool settled_ = true;      // holds_ is true of now; else all nodes have run since
  std::vector<bool> holds_;  // by tensor
};

}  // namespace gradmesh::ops
