// Mixing graphs: who averages with whom in each round of gossip. In a round rank i takes
//   x_i <- self_i x_i + sum of weight x_j over its in-neighbours j
// and every row and column of these weights sums to 1, so the mean of all ranks stays and disagreement
// shrinks.
//
// A graph is named by a specification: a row of graphs.def and its options, as in "regular:degree=4,seed=7".
// It is a pure function of specification, ranks and round: integer decisions on counter-based random numbers,
// and comparisons of doubles that are computed in one order without libm. So all machines see the same graph.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace gradmesh {

inline constexpr uint32_t kGraphRanksMax = 1024;

struct Neighbour {
  uint32_t rank;
  double weight;
};

// Of one rank in one round; both lists ascend by rank and leave out the rank itself.
struct Neighbours {
  double self = 1;
  std::vector<Neighbour> in;  // whose values it takes
  std::vector<uint32_t> out;  // to whom it sends
};

// By rank.
using MixingRound = std::vector<Neighbours>;

// Every option of every graph; a graph reads those that graphs.def lists for it, the others are 0.
struct GraphOptions {
  uint64_t rows = 0, k = 0, degree = 0, seed = 0;
  double rewire = 0;
};

struct GraphRow {
  const char *name, *doc, *source;
};
const std::vector<GraphRow>& graph_rows();

class Graph {
 public:
  const std::string& spec() const { return spec_; }  // canonical: options that differ from their defaults
  uint32_t ranks() const { return ranks_; }
  // After so many rounds they repeat; 0: each round is drawn anew.
  uint32_t period() const { return static_cast<uint32_t>(rounds_.size()); }
  MixingRound round(uint64_t round) const;

 private:
  friend Status graph_open(std::string_view spec, uint32_t ranks, Graph* graph);
  std::string spec_;
  uint32_t ranks_ = 0;
  GraphOptions options_;
  std::vector<MixingRound> rounds_;
  void (*draw_)(const GraphOptions& options, uint32_t ranks, uint64_t round, MixingRound* target) = nullptr;
};

// GM_INVALID_ARGUMENT names the graph, option or ranks, the value, and what is allowed.
Status graph_open(std::string_view spec, uint32_t ranks, Graph* graph);
// One round of a graph that is opened for it. Keep a Graph to ask for many.
Status mixing_round(std::string_view spec, uint32_t ranks, uint64_t round, MixingRound* target);

}  // namespace gradmesh
