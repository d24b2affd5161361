// A random matching in each round, as NoLoCo gossips (2506.10911): with an odd number one rank waits.
#include "topology/draw.h"
#include "topology/families.h"
#include "topology/round_writer.h"

namespace gradmesh::graphs {

std::string pairs::problem(const GraphOptions&, uint32_t) { return ""; }

void pairs::draw(const GraphOptions& options, uint32_t ranks, uint64_t round, MixingRound* target) {
  std::vector<uint32_t> order(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) order[rank] = rank;
  Draws(options.seed, GraphStream::pairs, round).shuffle(&order);
  RoundWriter writer(ranks);
  for (uint32_t at = 0; at + 1 < ranks; at += 2) writer.average({order[at], order[at + 1]});
  *target = writer.finish();
}

}  // namespace gradmesh::graphs
