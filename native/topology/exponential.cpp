// Exponential graphs (Ying et al., 2110.13363): distances that are powers of two, all in each round or one
// after the other.
#include "topology/families.h"
#include "topology/round_writer.h"

namespace gradmesh::graphs {

std::string exponential::problem(const GraphOptions&, uint32_t) { return ""; }

Status exponential::write(const GraphOptions&, uint32_t ranks, std::vector<MixingRound>* rounds) {
  uint32_t distances = 0;
  for (uint32_t distance = 1; distance < ranks; distance *= 2) distances++;
  const double weight = 1.0 / (1 + distances);
  RoundWriter writer(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) {
    writer.self(rank, weight);
    for (uint32_t distance = 1; distance < ranks; distance *= 2)
      writer.take((rank + distance) % ranks, rank, weight);
  }
  rounds->push_back(writer.finish());
  return Status::ok();
}

std::string one_peer_exponential::problem(const GraphOptions&, uint32_t) { return ""; }

Status one_peer_exponential::write(const GraphOptions&, uint32_t ranks, std::vector<MixingRound>* rounds) {
  for (uint32_t distance = 1; distance < ranks; distance *= 2) {
    RoundWriter writer(ranks);
    for (uint32_t rank = 0; rank < ranks; rank++) {
      writer.self(rank, 0.5);
      writer.take((rank + distance) % ranks, rank, 0.5);
    }
    rounds->push_back(writer.finish());
  }
  return Status::ok();
}

}  // namespace gradmesh::graphs
