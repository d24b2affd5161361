// The rows of graphs.def as definitions. problem() says why options and ranks don't fit, or nothing; it is
// asked first, and only for 2 ranks or more. write() fills one period of rounds, draw() one round.
#pragma once
#include "topology/graph.h"

namespace gradmesh::graphs {

#define GM_GRAPH(name, ...)                                                                             \
  struct name {                                                                                         \
    static std::string problem(const GraphOptions& options, uint32_t ranks);                            \
    static Status write(const GraphOptions& options, uint32_t ranks, std::vector<MixingRound>* rounds); \
  };
#define GM_GRAPH_DRAWN(name, ...)                                                                       \
  struct name {                                                                                         \
    static std::string problem(const GraphOptions& options, uint32_t ranks);                            \
    static void draw(const GraphOptions& options, uint32_t ranks, uint64_t round, MixingRound* target); \
  };
#include "topology/registry.h"

}  // namespace gradmesh::graphs
