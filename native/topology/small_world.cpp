// Small worlds (Watts and Strogatz 1998): a ring lattice of which each edge keeps its first end and gets,
// with probability `rewire`, a random second one.
#include "topology/draw.h"
#include "topology/families.h"
#include "topology/round_writer.h"

namespace gradmesh::graphs {
namespace {

constexpr uint32_t kAttemptsMax = 1000;

Adjacency rewired(const GraphOptions& options, uint32_t ranks, uint32_t attempt) {
  Adjacency graph(ranks);
  const uint32_t reach = static_cast<uint32_t>(options.degree / 2);
  for (uint32_t distance = 1; distance <= reach; distance++)
    for (uint32_t rank = 0; rank < ranks; rank++) graph.join(rank, (rank + distance) % ranks);
  Draws draws(options.seed, GraphStream::small_world, attempt);
  // The decision is an integer one: 32 random bits below rewire 2^32.
  const uint64_t limit = static_cast<uint64_t>(options.rewire * 0x1p32);
  for (uint32_t distance = 1; distance <= reach; distance++)
    for (uint32_t rank = 0; rank < ranks; rank++) {
      if (draws.bits() >= limit || graph.degree(rank) == ranks - 1) continue;
      uint32_t other;
      do other = draws.below(ranks);
      while (other == rank || graph.has(rank, other));
      graph.part(rank, (rank + distance) % ranks);
      graph.join(rank, other);
    }
  return graph;
}

}  // namespace

std::string small_world::problem(const GraphOptions& options, uint32_t ranks) {
  if (options.degree % 2 == 0 && options.degree < ranks) return "";
  return "degree is " + std::to_string(options.degree) + " for " + std::to_string(ranks) +
         " ranks; allowed: even numbers below the ranks";
}

Status small_world::write(const GraphOptions& options, uint32_t ranks, std::vector<MixingRound>* rounds) {
  for (uint32_t attempt = 0; attempt < kAttemptsMax; attempt++) {
    const Adjacency graph = rewired(options, ranks, attempt);
    if (!graph.connected()) continue;
    rounds->push_back(graph.metropolis());
    return Status::ok();
  }
  return {GM_INVALID_ARGUMENT, "no connected graph in " + std::to_string(kAttemptsMax) +
                                   " draws; use a higher degree or a smaller rewire"};
}

}  // namespace gradmesh::graphs
