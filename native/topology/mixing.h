// What mixing does to disagreement: the mixing matrix, its spectral gap, and the consensus error round by
// round.
#pragma once
#include <vector>

#include "topology/graph.h"

namespace gradmesh {

// Rounds beyond which an analysis would block too long.
inline constexpr uint32_t kAnalysisRoundsMax = 32768;
// Where the worst case of each round is computed too: its matrices are dense.
inline constexpr uint32_t kWorstRanksMax = 128;
inline constexpr uint32_t kWorstRoundsMax = 256;
// An error that is rounding alone.
inline constexpr double kExactError = 1e-12;

struct MixingAnalysis {
  // |W_p ... W_1 - J|_2 over one period, or over all given rounds where each is drawn anew: what disagreement
  // shrinks to at most.
  double contraction = 0;
  uint32_t contraction_rounds = 0;
  // 1 - contraction^(1 / contraction_rounds): for one symmetric or normal W its spectral gap, 1 - |lambda_2|.
  double gap = 0;
  bool exact = false;  // the mean is exact after contraction_rounds rounds: the contraction is rounding alone
  uint32_t messages_max = 0;  // that one rank sends in a round
  // [round] |x - mean| / |x_0 - mean|, the root of the mean square over 16 normal starts; its expectation is
  // |W_t ... W_1 - J|_F / sqrt(ranks - 1).
  std::vector<double> errors;
  // [round] |W_t ... W_1 - J|_2, the worst start; of the first kWorstRoundsMax rounds and up to
  // kWorstRanksMax ranks.
  std::vector<double> worst;
};

// W of a round, [ranks][ranks] row-major: row i holds what rank i takes of each.
std::vector<double> mixing_matrix(const MixingRound& round);

// GM_INVALID_ARGUMENT where rounds is not 1 .. kAnalysisRoundsMax.
Status analyse_mixing(const Graph& graph, uint32_t rounds, MixingAnalysis* analysis);

// JSON: {spec, ranks, period, contraction, contractionRounds, gap, exact, messagesMax, errors, worst}.
Status topology_describe(std::string_view spec, uint32_t ranks, uint32_t rounds, std::string* json);

}  // namespace gradmesh
