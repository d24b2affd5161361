// The analysis of mixing against what is known of it.
#include "topology/mixing.h"

#include <cmath>

#include "check.h"
#include "topology/spectrum.h"

using namespace gradmesh;

namespace {

MixingAnalysis analysed(const char* spec, uint32_t ranks, uint32_t rounds) {
  Graph graph;
  CHECK(graph_open(spec, ranks, &graph));
  MixingAnalysis analysis;
  CHECK(analyse_mixing(graph, rounds, &analysis));
  return analysis;
}

}  // namespace

TEST("the worst error of a symmetric graph is a power of its second eigenvalue") {
  for (const char* spec : {"ring", "torus", "hypercube", "regular", "small_world"}) {
    const MixingAnalysis analysis = analysed(spec, 64, 40);
    CHECK(analysis.worst.size() == 40 && analysis.errors.size() == 40);
    for (size_t t = 0; t < 40; t++) {
      const double expected = std::pow(1 - analysis.gap, static_cast<double>(t + 1));
      CHECK_THAT(std::abs(analysis.worst[t] / expected - 1) < 1e-6, spec);
      CHECK(analysis.errors[t] <= analysis.worst[t] * (1 + 1e-9));
    }
  }
}

TEST("errors on random starts are about |W_t ... W_1 - J|_F / sqrt(n - 1)") {
  for (const char* spec : {"ring", "one_peer_exponential", "pairs", "equi"}) {
    const uint32_t ranks = 100;
    Graph graph;
    CHECK(graph_open(spec, ranks, &graph));
    const MixingAnalysis analysis = analysed(spec, ranks, 5);
    double squares = 0;
    for (uint32_t start = 0; start < ranks; start++) {
      std::vector<double> values(ranks, -1.0 / ranks), next;
      values[start] += 1;
      for (uint64_t t = 0; t < 5; t++) {
        mix(graph.round(t), values, &next);
        std::swap(values, next);
      }
      for (const double value : values) squares += value * value;
    }
    const double expected = std::sqrt(squares / (ranks - 1));
    CHECK_THAT(std::abs(analysis.errors[4] / expected - 1) < 0.15, spec);
  }
}

TEST("exact graphs say so, after their period and not before") {
  for (const char* spec : {"base", "base:k=2", "one_peer_exponential", "complete"}) {
    Graph graph;
    CHECK(graph_open(spec, 32, &graph));
    const MixingAnalysis analysis = analysed(spec, 32, graph.period());
    CHECK_THAT(analysis.exact && analysis.gap == 1 && analysis.contraction_rounds == graph.period(), spec);
    CHECK(analysis.errors.back() < kExactError && analysis.worst.back() < kExactError);
    if (graph.period() > 1) CHECK(analysis.worst[graph.period() - 2] > 0.1);
  }
  CHECK(!analysed("one_peer_exponential", 12, 1).exact && !analysed("ring", 12, 1).exact);
}

TEST("a mean is kept and one rank is its own mean") {
  const MixingAnalysis alone = analysed("ring", 1, 3);
  CHECK(alone.exact && alone.gap == 1 && alone.messages_max == 0 && alone.errors[2] == 0);
  for (const GraphRow& row : graph_rows()) {
    Graph graph;
    CHECK(graph_open(row.name, 64, &graph));
    std::vector<double> values(64), next;
    for (size_t i = 0; i < 64; i++) values[i] = static_cast<double>(i * i % 17);
    double before = 0, after = 0;
    for (const double value : values) before += value;
    for (uint64_t t = 0; t < 10; t++) {
      mix(graph.round(t), values, &next);
      std::swap(values, next);
    }
    for (const double value : values) after += value;
    CHECK_THAT(std::abs(before - after) < 1e-10, row.name);
  }
}

TEST("roots and square roots") {
  for (const double value : {1e-300, 1e-20, 0.3, 1.0, 2.0, 3.0, 1e10, 1e300})
    CHECK_THAT(std::abs(square_root(value) / std::sqrt(value) - 1) < 1e-15, std::to_string(value));
  CHECK(square_root(0) == 0 && square_root(1e-320) == 0);
  for (const uint64_t degree : {1, 2, 7, 100})
    for (const double value : {1e-12, 0.5, 0.999, 1.0})
      CHECK(std::abs(root(value, degree) - std::pow(value, 1.0 / static_cast<double>(degree))) < 1e-13);
}

TEST("a description is JSON of the analysis; rounds are bounded") {
  std::string json;
  CHECK(topology_describe("regular:seed=1,degree=4", 8, 2, &json));
  CHECK_THAT(json.find("{\"spec\":\"regular\",\"ranks\":8,\"period\":1,\"contraction\":0.") == 0, json);
  for (const uint32_t rounds : {0u, 32769u}) {
    const Status status = topology_describe("ring", 8, rounds, &json);
    CHECK_THAT(status.message() == "rounds is " + std::to_string(rounds) + "; allowed: 1 to 32768",
               status.message());
  }
}
