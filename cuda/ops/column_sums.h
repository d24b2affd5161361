// Sums over the rows of a matrix, one for each column, by ascending row in one accumulator. A block has a few
// columns: all its threads fetch the next rows while one thread a column adds the last ones, so that what
// bounds a sum is the latency of its additions, one after the other, and not that of memory.
#pragma once
#include "launch.h"
#include "numeric/exact.h"

namespace gradmesh::ops::device {

constexpr unsigned kSumThreads = 256;

// Source: kParts sums a column; fetch(row, column, float (&terms)[kValues]) reads what they need, and
// add(part, sum, terms) adds it. Called by all threads of a block of kSumThreads, which has `Columns`
// columns; out[part][column].
template <unsigned Columns, class Source>
__device__ __forceinline__ void sum_columns(const Source& source, size_t rows, size_t columns,
                                            float* const (&out)[Source::kParts]) {
  constexpr unsigned kFetches = 8, kGroups = kSumThreads / Columns, kRows = kFetches * kGroups;
  __shared__ float tile[Source::kValues][kRows][Columns];
  const unsigned place = threadIdx.x % Columns, group = threadIdx.x / Columns;
  const size_t column = (size_t)blockIdx.x * Columns + place;
  float fetched[kFetches][Source::kValues] = {};
  const auto fetch = [&](size_t first) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j) {
      const size_t row = first + j * kGroups + group;
      if (row < rows && column < columns) source.fetch(row, column, fetched[j]);
    }
  };
  float sum = 0.0f;
  fetch(0);
  for (size_t first = 0; first < rows; first += kRows) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j)
#pragma unroll
      for (unsigned v = 0; v < Source::kValues; ++v) tile[v][j * kGroups + group][place] = fetched[j][v];
    __syncthreads();
    fetch(first + kRows);
    const unsigned left = rows - first < kRows ? (unsigned)(rows - first) : kRows;
    if (group < Source::kParts) {
#pragma unroll 16
      for (unsigned i = 0; i < left; ++i) {
        float terms[Source::kValues];
#pragma unroll
        for (unsigned v = 0; v < Source::kValues; ++v) terms[v] = tile[v][i][place];
        sum = source.add(group, sum, terms);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (unsigned part = 0; part < Source::kParts; ++part)
    if (group == part && column < columns) out[part][column] = sum;
}

// LAUNCH_COLUMNS(kernel, columns, stream, arguments...): blocks of 32 columns, or of 8 where those would
// leave most of a large card idle.
#define LAUNCH_COLUMNS(kernel, columns, stream, ...)                                              \
  ((columns) >= 32 * 128                                                                          \
       ? LAUNCH((kernel<32>), cuda::blocks_for(columns, 32), kSumThreads, 0, stream, __VA_ARGS__) \
       : LAUNCH((kernel<8>), cuda::blocks_for(columns, 8), kSumThreads, 0, stream, __VA_ARGS__))

}  // namespace gradmesh::ops::device
