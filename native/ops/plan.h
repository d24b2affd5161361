// From a description in numbers to a checked list of nodes: which operator, which tensors, and where in the
// arena each intermediate tensor lives while it is needed.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "ops/shapes.h"

namespace gradmesh::ops {

inline constexpr size_t kTensorsMax = 16384;
inline constexpr size_t kBindingsMax = 1024;

struct Tensor {
  int32_t binding = -1;  // the caller's buffer, or -1: in the arena
  uint64_t offset = 0;   // in elements: of the binding, or of the arena
  uint64_t elements = 0;
  bool index = false;    // i32 instead of f32
  bool written = false;  // by any node
  uint64_t copied = 0;   // of an i32 tensor: where its copy is, see Plan::indices
};

struct Node {
  Op op;
  std::vector<uint32_t> inputs, outputs;  // tensors
  std::vector<int32_t> integers;
  std::vector<double> floats;
  Shape shape;
};

// What the numbers of graph_create (bindings/abi.def) say:
//   tensors  [binding or -1, offset in elements of the binding (arena: 0), elements, kind 0 f32 1 i32] each
//   nodes    [op id, input tensors, output tensors, integers] each, in order of execution
//   floats   the nodes' floats in that order
struct Description {
  std::span<const double> tensors;
  std::span<const int32_t> nodes;
  std::span<const double> floats;
};

struct Plan {
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;
  std::vector<uint64_t> binding_elements;  // the least that each bound buffer must hold
  std::vector<bool> binding_written;
  uint64_t arena = 0;    // floats
  uint64_t indices = 0;  // i32: a run checks and uses copies, which nobody can change meanwhile
  uint64_t scratch = 0;  // floats a thread
};

// "node 3 (matmul)"
std::string node_name(const Plan& plan, size_t node);

// GM_INVALID_ARGUMENT names the node and tensor that is impossible: an unknown operator or tensor, a wrong
// size or kind, an output that overlaps another tensor of its node, an arena tensor that is read before it is
// written.
Status make_plan(const Description& description, Plan* plan);

}  // namespace gradmesh::ops
