// Token and position embeddings, forward and backward. The graph has checked that every token is a row of the
// table.
#include "launchers.h"
#include "numeric/exact.h"

namespace gradmesh::ops::device {
namespace {

constexpr unsigned kThreads = 256, kWarps = kThreads / 32;
constexpr unsigned kTileTokens = 2048;  // that a block looks through at a time

// ---- kernels ----

// A warp a row.
__global__ void __launch_bounds__(kThreads)
    embedding_kernel(size_t rows, size_t period, size_t columns, const int32_t* tokens, const float* table,
                     const float* positions, float* out) {
  const size_t row = (size_t)blockIdx.x * kWarps + threadIdx.x / 32;
  if (row >= rows) return;
  const float* token = table + (size_t)tokens[row] * columns;
  const float* position = positions + row % period * columns;
  float* out_row = out + row * columns;
#pragma unroll 4
  for (size_t i = threadIdx.x % 32; i < columns; i += 32) out_row[i] = exact::add(token[i], position[i]);
}

// The rows of one tile whose token is `entry`, by ascending row; returns how many. All threads of the block
// call it; a warp looks through a part of the tile of its own.
__device__ __forceinline__ unsigned find_rows(const int32_t* tokens, size_t first, size_t rows, int32_t entry,
                                              unsigned* found) {
  constexpr unsigned kLooks = kTileTokens / kThreads;
  __shared__ unsigned counts[kWarps];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, part = warp * kLooks * 32;
  unsigned hits[kLooks], own = 0;
#pragma unroll
  for (unsigned j = 0; j < kLooks; ++j) {
    const size_t row = first + part + j * 32 + lane;
    hits[j] = __ballot_sync(0xffffffffu, row < rows && tokens[row] == entry);
    own += (unsigned)__popc(hits[j]);
  }
  if (lane == 0) counts[warp] = own;
  __syncthreads();
  unsigned place = 0, total = 0;
  for (unsigned w = 0; w < kWarps; ++w) {
    if (w < warp) place += counts[w];
    total += counts[w];
  }
#pragma unroll
  for (unsigned j = 0; j < kLooks; ++j) {
    const unsigned before = hits[j] & ((1u << lane) - 1);
    if ((hits[j] >> lane & 1) != 0) found[place + (unsigned)__popc(before)] = part + j * 32 + lane;
    place += (unsigned)__popc(hits[j]);
  }
  __syncthreads();
  return total;
}

// A block an entry of the vocabulary: finds its rows, a tile of tokens at a time, and adds them up, a thread
// a column. Between tiles the sums are in d_table, which changes no bit.
__global__ void __launch_bounds__(kThreads)
    embedding_backward_table_kernel(size_t rows, size_t columns, const int32_t* tokens, const float* d_out,
                                    float* d_table) {
  __shared__ unsigned found[kTileTokens];
  float* sums = d_table + (size_t)blockIdx.x * columns;
  for (size_t i = threadIdx.x; i < columns; i += kThreads) sums[i] = 0.0f;
  for (size_t first = 0; first < rows; first += kTileTokens) {
    const unsigned count = find_rows(tokens, first, rows, (int32_t)blockIdx.x, found);
    if (count > 0)
      for (size_t i = threadIdx.x; i < columns; i += kThreads) {
        float sum = sums[i];
#pragma unroll 4
        for (unsigned j = 0; j < count; ++j) sum = exact::add(sum, d_out[(first + found[j]) * columns + i]);
        sums[i] = sum;
      }
    __syncthreads();
  }
}

// A thread a column of a position.
__global__ void __launch_bounds__(kThreads)
    embedding_backward_positions_kernel(size_t rows, size_t period, size_t columns, const float* d_out,
                                        float* d_positions) {
  const size_t place = (size_t)blockIdx.x * kThreads + threadIdx.x;
  if (place >= period * columns) return;
  float sum = 0.0f;
  // Row t + n T has position t, so its element is n T C further on.
#pragma unroll 4
  for (size_t i = place; i < rows * columns; i += period * columns) sum = exact::add(sum, d_out[i]);
  d_positions[place] = sum;
}

}  // namespace

// ---- launchers ----

cudaError_t embedding(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0), period = integer(arguments, 1), columns = integer(arguments, 2);
  const int32_t* tokens = input_i32(arguments, 0);
  const float* table = input(arguments, 1);
  const float* positions = input(arguments, 2);
  float* out = output(arguments, 0);
  return LAUNCH(embedding_kernel, cuda::blocks_for(rows, kWarps), kThreads, 0, stream, rows, period, columns,
                tokens, table, positions, out);
}

cudaError_t embedding_backward(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0), period = integer(arguments, 1);
  const size_t columns = integer(arguments, 2), entries = integer(arguments, 3);
  const int32_t* tokens = input_i32(arguments, 0);
  const float* d_out = input(arguments, 1);
  float* d_table = output(arguments, 0);
  float* d_positions = output(arguments, 1);
  const cudaError_t error = LAUNCH(embedding_backward_table_kernel, (unsigned)entries, kThreads, 0, stream,
                                   rows, columns, tokens, d_out, d_table);
  if (error != cudaSuccess) return error;
  return LAUNCH(embedding_backward_positions_kernel, cuda::blocks_for(period * columns, kThreads), kThreads,
                0, stream, rows, period, columns, d_out, d_positions);
}

}  // namespace gradmesh::ops::device
