// How fast mixing contracts disagreement: the largest singular value of W_p ... W_1 - J, where J takes the
// mean of all. Doubles, added in one order, without libm: so a graph that is accepted by its gap is accepted
// on every machine.
#pragma once
#include <cfloat>
#include <cstdint>
#include <vector>

#include "topology/graph.h"

#if FLT_EVAL_METHOD != 0
#error "spectra need doubles that are computed as doubles (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

namespace gradmesh {

// target = W source, or W's transpose; both have the round's ranks.
void mix(const MixingRound& round, const std::vector<double>& source, std::vector<double>* target);
void mix_transposed(const MixingRound& round, const std::vector<double>& source, std::vector<double>* target);

// |W_p ... W_1 - J|_2 of doubly stochastic rounds, the first applied first: by Lanczos iteration with full
// orthogonalization, from below, within about 1e-12 of the squared value where the iteration ends by itself
// (at most 400 steps). For one symmetric or normal W it is |lambda_2|.
double contraction_of(const std::vector<const MixingRound*>& rounds);

// The same of a dense matrix [ranks][ranks], row-major, that is a product of doubly stochastic ones.
double contraction_of_matrix(const std::vector<double>& matrix, uint32_t ranks);

// Within an ulp or two; of 0 or more.
double square_root(double value);
// value^(1 / degree) for 0 <= value <= 1.
double root(double value, uint64_t degree);

}  // namespace gradmesh
