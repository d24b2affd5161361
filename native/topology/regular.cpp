// Random regular graphs with a checked spectral gap. A circulant graph of the degree is shuffled by switches
// of two edges, which keep every degree (Cooper, Dyer and Greenhill 2007), and drawn again until it is
// connected and
//   |lambda_2| <= (1 + 2 sqrt(degree - 1) + 0.1) / (degree + 1),
// where most random graphs lie (Friedman 2008).
#include "topology/draw.h"
#include "topology/families.h"
#include "topology/round_writer.h"
#include "topology/spectrum.h"

namespace gradmesh::graphs {
namespace {

constexpr uint32_t kAttemptsMax = 200;
// For each edge; the chain then has forgotten the circulant graph, which the gap shows.
constexpr uint32_t kSwitches = 10;
constexpr double kSlack =
    0.1;  // of an eigenvalue of the adjacency matrix: finite graphs lie around the bound

using Edges = std::vector<std::pair<uint32_t, uint32_t>>;

Adjacency circulant(uint32_t ranks, uint32_t degree, Edges* edges) {
  Adjacency graph(ranks);
  const auto join = [&](uint32_t a, uint32_t b) {
    graph.join(a, b);
    edges->emplace_back(a, b);
  };
  for (uint32_t distance = 1; distance <= degree / 2; distance++)
    for (uint32_t rank = 0; rank < ranks; rank++) join(rank, (rank + distance) % ranks);
  if (degree % 2 == 1)
    for (uint32_t rank = 0; rank < ranks / 2; rank++) join(rank, rank + ranks / 2);
  return graph;
}

// Edges a-b and c-d become a-d and c-b, where that leaves a simple graph.
Adjacency switched(const GraphOptions& options, uint32_t ranks, uint32_t attempt) {
  Edges edges;
  Adjacency graph = circulant(ranks, static_cast<uint32_t>(options.degree), &edges);
  Draws draws(options.seed, GraphStream::regular, attempt);
  for (size_t left = kSwitches * edges.size(); left > 0; left--) {
    auto& first = edges[draws.below(static_cast<uint32_t>(edges.size()))];
    auto& second = edges[draws.below(static_cast<uint32_t>(edges.size()))];
    if (draws.below(2) == 1) std::swap(second.first, second.second);
    const auto [a, b] = first;
    const auto [c, d] = second;
    if (a == c || a == d || b == c || b == d || graph.has(a, d) || graph.has(c, b)) continue;
    graph.part(a, b);
    graph.part(c, d);
    graph.join(a, d);
    graph.join(c, b);
    first.second = d;
    second.second = b;
  }
  return graph;
}

}  // namespace

std::string regular::problem(const GraphOptions& options, uint32_t ranks) {
  if (options.degree < ranks && options.degree * ranks % 2 == 0) return "";
  return "degree is " + std::to_string(options.degree) + " for " + std::to_string(ranks) +
         " ranks; allowed: less than the ranks, and even where the ranks are odd";
}

Status regular::write(const GraphOptions& options, uint32_t ranks, std::vector<MixingRound>* rounds) {
  const double degree = static_cast<double>(options.degree);
  const double bound = (1 + 2 * square_root(degree - 1) + kSlack) / (degree + 1);
  for (uint32_t attempt = 0; attempt < kAttemptsMax; attempt++) {
    const Adjacency graph = switched(options, ranks, attempt);
    if (!graph.connected()) continue;
    MixingRound round = graph.metropolis();
    if (contraction_of({&round}) > bound) continue;
    rounds->push_back(std::move(round));
    return Status::ok();
  }
  return {GM_INVALID_ARGUMENT, "no graph of " + std::to_string(ranks) + " ranks and degree " +
                                   std::to_string(options.degree) + " reached its spectral gap in " +
                                   std::to_string(kAttemptsMax) + " draws; use another seed or degree"};
}

}  // namespace gradmesh::graphs
