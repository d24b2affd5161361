// Analysis of mixing: every number is a sum in one order, so all machines print the same.
#include "topology/mixing.h"

#include <algorithm>
#include <array>

#include "topology/draw.h"
#include "topology/json.h"
#include "topology/spectrum.h"

namespace gradmesh {
namespace {

constexpr size_t kStarts = 16;
using Values = std::vector<std::array<double, kStarts>>;  // [rank][start]

// Normal starts without their mean.
Values random_starts(uint32_t ranks) {
  Values values(ranks);
  std::array<double, kStarts> sum{};
  for (uint32_t rank = 0; rank < ranks; rank++)
    for (size_t start = 0; start < kStarts; start++) {
      const uint64_t stream = static_cast<uint64_t>(GraphStream::start) << 56 | (start + 1);
      values[rank][start] = prng::normal(1, stream, rank, 1.0f);
      sum[start] += values[rank][start];
    }
  for (auto& row : values)
    for (size_t start = 0; start < kStarts; start++) row[start] -= sum[start] / ranks;
  return values;
}

// By start.
std::array<double, kStarts> squares_of(const Values& values) {
  std::array<double, kStarts> squares{};
  for (const auto& row : values)
    for (size_t start = 0; start < kStarts; start++) squares[start] += row[start] * row[start];
  return squares;
}

void mix_starts(const MixingRound& round, const Values& source, Values* target) {
  for (size_t rank = 0; rank < round.size(); rank++) {
    auto& row = (*target)[rank];
    for (size_t start = 0; start < kStarts; start++) row[start] = round[rank].self * source[rank][start];
    for (const Neighbour& from : round[rank].in)
      for (size_t start = 0; start < kStarts; start++) row[start] += from.weight * source[from.rank][start];
  }
}

// product = W product, dense.
void multiply(const MixingRound& round, std::vector<double>* product) {
  const size_t ranks = round.size();
  std::vector<double> next(ranks * ranks);
  for (size_t rank = 0; rank < ranks; rank++) {
    double* row = &next[rank * ranks];
    const auto add = [&](size_t from, double weight) {
      for (size_t column = 0; column < ranks; column++)
        row[column] += weight * (*product)[from * ranks + column];
    };
    add(rank, round[rank].self);
    for (const Neighbour& from : round[rank].in) add(from.rank, from.weight);
  }
  *product = std::move(next);
}

void measure_errors(const Graph& graph, uint32_t rounds, MixingAnalysis* analysis) {
  const uint32_t ranks = graph.ranks();
  Values values = random_starts(ranks), next(ranks);
  const auto before = squares_of(values);
  std::vector<double> product;
  if (ranks <= kWorstRanksMax) {
    product.assign(size_t{ranks} * ranks, 0);
    for (size_t rank = 0; rank < ranks; rank++) product[rank * ranks + rank] = 1;
  }
  for (uint32_t t = 0; t < rounds; t++) {
    const MixingRound round = graph.round(t);
    for (const Neighbours& rank : round)
      analysis->messages_max = std::max(analysis->messages_max, static_cast<uint32_t>(rank.out.size()));
    mix_starts(round, values, &next);
    std::swap(values, next);
    const auto after = squares_of(values);
    double sum = 0;
    for (size_t start = 0; start < kStarts; start++)
      if (before[start] > 0) sum += after[start] / before[start];
    analysis->errors.push_back(square_root(sum / kStarts));
    if (product.empty() || t >= kWorstRoundsMax) continue;
    multiply(round, &product);
    analysis->worst.push_back(contraction_of_matrix(product, ranks));
  }
}

}  // namespace

std::vector<double> mixing_matrix(const MixingRound& round) {
  const size_t ranks = round.size();
  std::vector<double> matrix(ranks * ranks);
  for (size_t rank = 0; rank < ranks; rank++) {
    matrix[rank * ranks + rank] = round[rank].self;
    for (const Neighbour& from : round[rank].in) matrix[rank * ranks + from.rank] = from.weight;
  }
  return matrix;
}

Status analyse_mixing(const Graph& graph, uint32_t rounds, MixingAnalysis* analysis) {
  if (rounds < 1 || rounds > kAnalysisRoundsMax)
    return {GM_INVALID_ARGUMENT,
            "rounds is " + std::to_string(rounds) + "; allowed: 1 to " + std::to_string(kAnalysisRoundsMax)};
  *analysis = {};
  // A product of very many drawn rounds is rounding; its rate shows long before.
  constexpr uint32_t kDrawnRoundsMax = 64;
  analysis->contraction_rounds = graph.period() > 0 ? graph.period() : std::min(rounds, kDrawnRoundsMax);
  std::vector<MixingRound> period;
  for (uint32_t t = 0; t < analysis->contraction_rounds; t++) period.push_back(graph.round(t));
  std::vector<const MixingRound*> all;
  for (const MixingRound& round : period) all.push_back(&round);
  analysis->contraction = contraction_of(all);
  analysis->exact = graph.period() > 0 && analysis->contraction <= kExactError;
  analysis->gap =
      analysis->exact ? 1 : 1 - root(std::min(analysis->contraction, 1.0), analysis->contraction_rounds);
  measure_errors(graph, rounds, analysis);
  return Status::ok();
}

Status topology_describe(std::string_view spec, uint32_t ranks, uint32_t rounds, std::string* json) {
  Graph graph;
  GM_TRY(graph_open(spec, ranks, &graph));
  MixingAnalysis analysis;
  GM_TRY(analyse_mixing(graph, rounds, &analysis));
  *json = "{\"spec\":\"" + graph.spec() + "\",\"ranks\":" + json_number(ranks) +
          ",\"period\":" + json_number(graph.period()) +
          ",\"contraction\":" + json_number(analysis.contraction) +
          ",\"contractionRounds\":" + json_number(analysis.contraction_rounds) +
          ",\"gap\":" + json_number(analysis.gap) + ",\"exact\":" + (analysis.exact ? "true" : "false") +
          ",\"messagesMax\":" + json_number(analysis.messages_max) +
          ",\"errors\":" + json_list(analysis.errors) + ",\"worst\":" + json_list(analysis.worst) + "}";
  return Status::ok();
}

}  // namespace gradmesh
