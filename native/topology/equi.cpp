// EquiTopo (Song et al., 2210.07881): distances drawn at random mix at a rate that does not depend on the
// number of ranks. equi is D-EquiStatic, the mean of `degree` basis matrices; equi_pairs is OU-EquiDyn, one
// peer in each round.
#include "topology/draw.h"
#include "topology/families.h"
#include "topology/round_writer.h"
#include "topology/spectrum.h"

namespace gradmesh::graphs {
namespace {

constexpr uint32_t kDraws = 8;

// Basis matrix of distance u: 1/n stays, (n-1)/n comes from the rank u places before. Their mean over
// `distances`.
MixingRound mean_of_basis(uint32_t ranks, const std::vector<uint32_t>& distances) {
  const double n = ranks, weight = (n - 1) / (n * static_cast<double>(distances.size()));
  RoundWriter writer(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) {
    writer.self(rank, 1 / n);
    for (const uint32_t distance : distances) writer.take((rank + distance) % ranks, rank, weight);
  }
  return writer.finish();
}

}  // namespace

std::string equi::problem(const GraphOptions& options, uint32_t ranks) {
  if (options.degree < ranks) return "";
  return "degree is " + std::to_string(options.degree) + " for " + std::to_string(ranks) +
         " ranks; allowed: less than the ranks";
}

Status equi::write(const GraphOptions& options, uint32_t ranks, std::vector<MixingRound>* rounds) {
  double least = 2;
  for (uint32_t attempt = 0; attempt < kDraws; attempt++) {
    std::vector<uint32_t> distances(ranks - 1);
    for (uint32_t i = 0; i + 1 < ranks; i++) distances[i] = i + 1;
    Draws(options.seed, GraphStream::equi, attempt).shuffle(&distances);
    distances.resize(options.degree);
    MixingRound round = mean_of_basis(ranks, distances);
    const double contraction = contraction_of({&round});
    if (contraction >= least) continue;
    least = contraction;
    rounds->assign(1, std::move(round));
  }
  return Status::ok();
}

std::string equi_pairs::problem(const GraphOptions&, uint32_t) { return ""; }

void equi_pairs::draw(const GraphOptions& options, uint32_t ranks, uint64_t round, MixingRound* target) {
  Draws draws(options.seed, GraphStream::equi_pairs, round);
  const uint32_t distance = 1 + draws.below(ranks - 1), start = draws.below(ranks);
  const double n = ranks, weight = 0.5 * ((n - 1) / n);
  std::vector<uint8_t> paired(ranks);
  RoundWriter writer(ranks);
  for (uint32_t i = 0; i < ranks; i++) {
    const uint32_t a = (start + i) % ranks, b = (a + distance) % ranks;
    if (paired[a] || paired[b]) continue;
    paired[a] = paired[b] = 1;
    for (const uint32_t end : {a, b}) writer.self(end, 1 - weight);
    writer.exchange(a, b, weight);
  }
  *target = writer.finish();
}

}  // namespace gradmesh::graphs
