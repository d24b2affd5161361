// The steps of PowerSGD (1905.13727) apart, for a strategy that sums the factors of all peers between them:
//   p = left(M, q); all-reduce p; orthogonalize(p); q = right(M, p); all-reduce q; M' = expand(p, q)
// with q kept for the next time. Both sums are of plain floats, so the codec between them may be fp32. The
// bits of each step are those of codec/lowrank.h, on every backend.
#pragma once
#include <cstddef>

namespace gradmesh {

// Row-major matrix[rows][columns]; factors are p[rank][rows] and q[rank][columns]. Nothing overlaps.
struct LowrankSteps {
  // p = matrix q
  void (*left)(const float* matrix, size_t rows, size_t columns, const float* q, size_t rank, float* p);
  // The vectors of factor[rank][length] become orthonormal, one after the other; what depends on earlier ones
  // is +0.
  void (*orthogonalize)(float* factor, size_t length, size_t rank);
  // q = matrix^T p
  void (*right)(const float* matrix, size_t rows, size_t columns, const float* p, size_t rank, float* q);
  // matrix = p q^T
  void (*expand)(const float* p, const float* q, size_t rows, size_t columns, size_t rank, float* matrix);
};

// Those of the backend that is active now.
const LowrankSteps& lowrank_steps();

}  // namespace gradmesh
