// Every graph, over many numbers of ranks: doubly stochastic, well formed, the same bytes again; hostile
// specifications.
#include "topology/graph.h"

#include <cmath>

#include "check.h"
#include "topology/mixing.h"
#include "topology/spectrum.h"

using namespace gradmesh;

namespace {

const char* const kSpecs[] = {"ring",
                              "torus",
                              "hypercube",
                              "complete",
                              "exponential",
                              "one_peer_exponential",
                              "base",
                              "base:k=3",
                              "regular",
                              "regular:degree=3,seed=7",
                              "equi",
                              "equi:degree=2,seed=9",
                              "equi_pairs",
                              "small_world",
                              "small_world:degree=2,rewire=0.05",
                              "small_world:rewire=1",
                              "pairs",
                              "pairs:seed=3"};

// One row and column at a time; a weight must be positive, lists ascend, `out` mirrors `in`.
std::string problem_of(const MixingRound& round) {
  std::vector<double> columns(round.size());
  std::vector<std::vector<uint32_t>> out(round.size());
  for (uint32_t rank = 0; rank < round.size(); rank++) {
    double row = round[rank].self;
    columns[rank] += round[rank].self;
    if (round[rank].self < 0) return "a negative weight";
    for (size_t i = 0; i < round[rank].in.size(); i++) {
      const Neighbour& from = round[rank].in[i];
      if (from.rank >= round.size() || from.rank == rank) return "a neighbour that is none";
      if (i > 0 && round[rank].in[i - 1].rank >= from.rank) return "neighbours that do not ascend";
      if (!(from.weight > 0)) return "a weight that is not positive";
      row += from.weight;
      columns[from.rank] += from.weight;
      out[from.rank].push_back(rank);
    }
    if (std::abs(row - 1) > 1e-14 * static_cast<double>(round.size()))
      return "a row that sums to " + std::to_string(row);
  }
  for (uint32_t rank = 0; rank < round.size(); rank++) {
    if (std::abs(columns[rank] - 1) > 1e-13) return "a column that sums to " + std::to_string(columns[rank]);
    if (out[rank] != round[rank].out) return "out-neighbours that do not mirror in-neighbours";
  }
  return "";
}

bool equal(const MixingRound& a, const MixingRound& b) { return mixing_matrix(a) == mixing_matrix(b); }

double gap_of(const char* spec, uint32_t ranks) {
  MixingAnalysis analysis;
  Graph graph;
  CHECK(graph_open(spec, ranks, &graph));
  CHECK(analyse_mixing(graph, 1, &analysis));
  return analysis.gap;
}

void check_near(const std::string& what, double found, double expected) {
  CHECK_THAT(std::abs(found - expected) < 1e-9,
             what + " is " + std::to_string(found) + ", not " + std::to_string(expected));
}

const double kPi = std::acos(-1.0);

}  // namespace

TEST("rows and columns of every graph and round sum to 1") {
  for (const char* spec : kSpecs) {
    uint32_t opened = 0;
    for (uint32_t ranks = 1; ranks <= 70; ranks++) {
      Graph graph;
      if (!graph_open(spec, ranks, &graph)) continue;
      opened++;
      for (uint64_t t = 0; t < (graph.period() ? graph.period() : 5); t++) {
        const std::string problem = problem_of(graph.round(t));
        CHECK_THAT(problem.empty(), std::string(spec) + ", ranks " + std::to_string(ranks) + ", round " +
                                        std::to_string(t) + ": " + problem);
      }
    }
    CHECK_THAT(opened >= 7, spec);
  }
}

TEST("a specification gives the same graph again, another seed another") {
  for (const char* spec : kSpecs) {
    MixingRound once, again;
    CHECK(mixing_round(spec, 64, 3, &once) && mixing_round(spec, 64, 3, &again));
    CHECK_THAT(equal(once, again), spec);
  }
  for (const std::string spec : {"regular", "equi", "equi_pairs", "small_world", "pairs"}) {
    MixingRound one, other;
    CHECK(mixing_round(spec + ":seed=1", 64, 0, &one) && mixing_round(spec + ":seed=2", 64, 0, &other));
    CHECK_THAT(!equal(one, other), spec);
  }
  MixingRound one, other;
  CHECK(mixing_round("pairs", 64, 0, &one) && mixing_round("pairs", 64, 1, &other));
  CHECK(!equal(one, other));
}

// Digests of the drawn edges, which every machine must draw alike.
TEST("drawn graphs are the ones that were drawn when this test was written") {
  const struct {
    const char* spec;
    uint64_t digest;
  } drawn[] = {{"regular", 0x7a6ee1b597ed0d6d},
               {"equi", 0x3f315a8be86bc6a9},
               {"equi_pairs", 0x5880f985b1888eb3},
               {"small_world", 0x228e19e6c955bff4},
               {"pairs", 0x648d46d151d7b324}};
  for (const auto& [spec, digest] : drawn) {
    MixingRound round;
    CHECK(mixing_round(spec, 50, 2, &round));
    uint64_t hash = 0xcbf29ce484222325u;
    for (const Neighbours& rank : round)
      for (const Neighbour& from : rank.in) hash = (hash ^ (from.rank + 1)) * 0x100000001b3u;
    char text[32];
    std::snprintf(text, sizeof text, "0x%016llx", static_cast<unsigned long long>(hash));
    CHECK_THAT(hash == digest, std::string(spec) + " " + text);
  }
}

TEST("one-peer exponential rounds are exact for powers of two, and only for them") {
  for (uint32_t ranks = 2; ranks <= 256; ranks++) {
    MixingAnalysis analysis;
    Graph graph;
    CHECK(graph_open("one_peer_exponential", ranks, &graph));
    CHECK(analyse_mixing(graph, 1, &analysis));
    CHECK_THAT(analysis.exact == ((ranks & (ranks - 1)) == 0), std::to_string(ranks));
    CHECK(analysis.messages_max == 1);
  }
}

TEST("the base graph is exact for any number of ranks, within its degree and length") {
  for (uint32_t k = 1; k <= 4; k++)
    for (uint32_t ranks = 1; ranks <= 300; ranks++) {
      const std::string name = "k " + std::to_string(k) + ", ranks " + std::to_string(ranks);
      Graph graph;
      CHECK(graph_open("base:k=" + std::to_string(k), ranks, &graph));
      std::vector<double> values(ranks), next;
      std::vector<MixingRound> rounds;
      for (uint32_t t = 0; t < graph.period(); t++) {
        rounds.push_back(graph.round(t));
        for (const Neighbours& rank : rounds.back())
          CHECK_THAT(rank.out.size() <= k && rank.in.size() <= k, name);
      }
      // Unit vectors are all starts there are: for small numbers all of them, else a sample; and the norm for
      // all.
      for (uint32_t start = 0; start < ranks; start += ranks <= 60 ? 1 : 7) {
        values.assign(ranks, 0);
        values[start] = 1;
        for (const MixingRound& round : rounds) {
          mix(round, values, &next);
          std::swap(values, next);
        }
        for (const double value : values) CHECK_THAT(std::abs(value - 1.0 / ranks) < 1e-14, name);
      }
      std::vector<const MixingRound*> all;
      for (const MixingRound& round : rounds) all.push_back(&round);
      CHECK_THAT(contraction_of(all) < kExactError, name);
      CHECK_THAT(graph.period() <= 2 * std::log(ranks) / std::log(k + 1) + 2 + 1e-9, name);
    }
}

TEST("measured spectral gaps are those of the closed forms") {
  for (const uint32_t ranks : {3u, 8u, 33u, 100u, 1024u}) {
    check_near("ring " + std::to_string(ranks), gap_of("ring", ranks),
               ranks == 3 ? 1 : 2.0 / 3 * (1 - std::cos(2 * kPi / ranks)));
    check_near("complete", gap_of("complete", ranks), 1);
  }
  for (const uint32_t power : {1u, 2u, 3u, 6u, 10u})
    check_near("hypercube", gap_of("hypercube", 1u << power), power == 1 ? 1 : 2.0 / (power + 1));
  check_near("torus 8x8", gap_of("torus", 64), 0.4 * (1 - std::cos(2 * kPi / 8)));
  check_near("torus 4x16", gap_of("torus:rows=4", 64), 0.4 * (1 - std::cos(2 * kPi / 16)));
  // Even n: 2 / (1 + number of distances), Ying et al., Proposition 1.
  for (const uint32_t ranks : {8u, 12u, 64u, 100u})
    check_near("exponential " + std::to_string(ranks), gap_of("exponential", ranks),
               2.0 / (1 + std::ceil(std::log2(ranks))));
}

TEST("random regular graphs keep their degree and their bound for many sizes") {
  for (const uint32_t degree : {3u, 4u, 5u, 8u})
    for (uint32_t ranks = degree + 1; ranks <= 120; ranks += ranks < 20 ? 1 : 13) {
      if (degree * ranks % 2 == 1) continue;
      Graph graph;
      const Status status = graph_open("regular:degree=" + std::to_string(degree), ranks, &graph);
      CHECK_THAT(bool(status), status.message());
      if (!status) continue;
      for (const Neighbours& rank : graph.round(0))
        CHECK(rank.in.size() == degree && rank.out.size() == degree);
      MixingAnalysis analysis;
      CHECK(analyse_mixing(graph, 1, &analysis));
      CHECK(1 - analysis.gap <= (1 + 2 * std::sqrt(degree - 1.0) + 0.1) / (degree + 1) + 1e-12);
    }
}

TEST("a draw that misses its spectral gap is drawn again") {
  // Seeds whose first draw misses it, found by trying; the first is 0.9157, the second 0.9192.
  for (const char* spec : {"regular:seed=150", "regular:seed=293"})
    CHECK_THAT(1 - gap_of(spec, 40) <= (1 + 2 * std::sqrt(3.0) + 0.1) / 5, spec);
}

TEST("what does not fit is refused with the field, the value and what is allowed") {
  const struct {
    const char* spec;
    uint32_t ranks;
    const char* part;
  } refused[] = {
      {"", 8, "there is no graph \"\"; allowed: \"ring\", \"torus\""},
      {"rings", 8, "topology is \"rings\": there is no graph \"rings\""},
      {"ring:degree=2", 8, "ring has no option \"degree\"; it has none"},
      {"regular:degre=4", 8, "regular has no option \"degre\"; allowed: \"degree\", \"seed\""},
      {"regular:degree", 8, "option \"degree\" is given without a value"},
      {"regular:degree=4,degree=4", 8, "option \"degree\" is given twice"},
      {"regular:degree=-4", 8, "option \"degree\" is \"-4\"; allowed: a whole number from 3 to 64"},
      {"regular:degree=4x", 8, "option \"degree\" is \"4x\""},
      {"regular:degree=99999999999999999999", 8, "allowed: a whole number from 3 to 64"},
      {"regular:degree=8", 8, "degree is 8 for 8 ranks; allowed: less than the ranks"},
      {"regular:degree=3", 9, "degree is 3 for 9 ranks"},
      {"regular:seed=9007199254740992", 8, "allowed: a whole number from 0 to 9007199254740991"},
      {"small_world:rewire=1.1", 8, "option \"rewire\" is \"1.1\"; allowed: a number from 0 to 1"},
      {"small_world:rewire=nan", 8, "option \"rewire\" is \"nan\""},
      {"small_world:degree=3", 8, "degree is 3 for 8 ranks; allowed: even numbers below the ranks"},
      {"base:k=0", 8, "option \"k\" is \"0\"; allowed: a whole number from 1 to 16"},
      {"hypercube", 12, "ranks is 12; allowed: powers of two"},
      {"torus", 13, "13 ranks make no grid"},
      {"torus:rows=5", 16, "rows is 5; allowed: divisors of the ranks, 16"},
      {"equi:degree=8", 8, "degree is 8 for 8 ranks"},
      {"ring", 0, "ranks is 0; allowed: 1 to 1024"},
      {"ring", 1025, "ranks is 1025"},
      {",", 8, "there is no graph \",\""},
      {"regular:,", 8, "regular has no option \"\""},
  };
  for (const auto& [spec, ranks, part] : refused) {
    Graph graph;
    const Status status = graph_open(spec, ranks, &graph);
    CHECK_THAT(!status && status.code() == GM_INVALID_ARGUMENT, spec);
    CHECK_THAT(status.message().find(part) != std::string::npos, status.message());
  }
  Graph graph;
  CHECK(graph_open(std::string(100000, 'x'), 8, &graph).message().size() < 200);
}

TEST("arbitrary text opens or is refused, and never more") {
  std::mt19937_64 random(check::seed());
  const std::string alphabet = "regulasmbwod_ik=:,.0123456789\0-";
  for (int i = 0; i < 20000; i++) {
    std::string spec = kSpecs[random() % std::size(kSpecs)];
    for (uint64_t edits = random() % 4; edits > 0; edits--)
      spec.insert(random() % (spec.size() + 1), 1, alphabet[random() % alphabet.size()]);
    Graph graph;
    if (graph_open(spec, 1 + random() % 20, &graph)) CHECK(problem_of(graph.round(random())).empty());
  }
}
