// The twin of lowrank: each step of native/codec/lowrank.h is a kernel, over all matrices of a call at once.
// The start, and the mean of decoded matrices, lie in scratch memory.
#include "codec/lowrank.h"
#include "launch.h"
#include "table.h"

namespace gradmesh::cuda {
namespace {

using codecs::lowrank;

// ---- helpers ----

constexpr unsigned kThreads = 256, kTree = tree::kLanes, kWarp = 32, kEvery = 0xffffffffu;
constexpr unsigned kColumnsAtOnce = 4;  // vectors of a factor that a thread works on together

// Where the factors of the matrices of a call lie: matrix m's begin `stride` floats after those of m - 1; 0
// where all share one.
struct Factor {
  float* at;
  size_t stride, length;
};
__device__ __forceinline__ float* vector(const Factor& f, size_t matrix, size_t c) {
  return f.at + matrix * f.stride + c * f.length;
}

// The end of a fixed tree, by sixteen lanes of a warp that calls it whole; lane 0 of the sixteen has the sum.
__device__ __forceinline__ float fold(float sum) {
  for (int width = kTree / 2; width > 0; width /= 2)
    sum = exact::add(sum, __shfl_down_sync(kEvery, sum, width, kTree));
  return sum;
}

// tree::dot by the first warp (twice, by its two halves), for every thread; what it reads must be there for
// all before.
__device__ __forceinline__ float block_dot(const float* x, const float* y, size_t length, float* shared) {
  if (threadIdx.x < kWarp) {
    float sum = 0.0f;
#pragma unroll 8
    for (size_t group = 0; group < length; group += kTree) {
      const size_t i = group + threadIdx.x % kTree;
      const bool inside = i < length;
      sum = exact::fma(inside ? x[i] : 0.0f, inside ? y[i] : 0.0f, sum);
    }
    sum = fold(sum);
    if (threadIdx.x == 0) *shared = sum;
  }
  __syncthreads();
  const float sum = *shared;
  __syncthreads();
  return sum;
}
__device__ __forceinline__ uint32_t block_largest(const float* x, size_t length, uint32_t* shared) {
  if (threadIdx.x == 0) *shared = 0;
  __syncthreads();
  uint32_t own = 0;
  for (size_t i = threadIdx.x; i < length; i += blockDim.x) own = max(own, exact::bits(x[i]) & 0x7fffffffu);
  atomicMax(shared, own);
  __syncthreads();
  const uint32_t largest = *shared;
  __syncthreads();
  return largest;
}
__device__ __forceinline__ void block_fill(float* x, size_t length, uint32_t bits) {
  for (size_t i = threadIdx.x; i < length; i += blockDim.x) x[i] = exact::from_bits(bits);
  __syncthreads();
}
__device__ __forceinline__ void block_multiply(float* x, size_t length, float by) {
  for (size_t i = threadIdx.x; i < length; i += blockDim.x) x[i] = exact::mul(x[i], by);
  __syncthreads();
}
__device__ __forceinline__ void subtract_earlier(const Factor& f, size_t matrix, size_t c, float* shared) {
  float* const x = vector(f, matrix, c);
  for (size_t b = 0; b < c; b++) {
    const float* const earlier = vector(f, matrix, b);
    const float along = -block_dot(earlier, x, f.length, shared);
    for (size_t i = threadIdx.x; i < f.length; i += blockDim.x) x[i] = exact::fma(along, earlier[i], x[i]);
    __syncthreads();
  }
}

// ---- kernels ----

__global__ void lowrank_start_kernel(CodecKey key, float* q, size_t count) {
  const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) q[i] = lowrank::start(key, i);
}

// A thread block for each factor.
__global__ void __launch_bounds__(kThreads) lowrank_orthogonalize_kernel(Factor f, size_t rank) {
  __shared__ float sum;
  __shared__ uint32_t word;
  const size_t matrix = blockIdx.x;
  for (size_t c = 0; c < rank; c++) {
    float* const x = vector(f, matrix, c);
    const uint32_t before = block_largest(x, f.length, &word);
    if (before == 0 || before >= lowrank::kInfinity) {
      block_fill(x, f.length, before == 0 ? 0 : exact::kNan);
      continue;
    }
    block_multiply(x, f.length, lowrank::inverse_power(before));
    subtract_earlier(f, matrix, c, &sum);
    const uint32_t after = block_largest(x, f.length, &word);
    if (after < lowrank::kDependent || after >= lowrank::kInfinity) {
      block_fill(x, f.length, after < lowrank::kDependent ? 0 : exact::kNan);
      continue;
    }
    subtract_earlier(f, matrix, c, &sum);
    block_multiply(x, f.length, exact::rsqrt(block_dot(x, x, f.length, &sum)));
  }
}

// Sixteen lanes for each row of the matrices.
__global__ void __launch_bounds__(kThreads)
    lowrank_left_kernel(const float* m, size_t rows, size_t matrices, Factor q, size_t rank, Factor p) {
  const size_t row = static_cast<size_t>(blockIdx.x) * (kThreads / kTree) + threadIdx.x / kTree;
  const unsigned lane = threadIdx.x % kTree;
  const bool exists = row < rows * matrices;  // every lane of a warp takes part in the folds
  const size_t matrix = row / rows, i = row % rows;
  for (size_t c = 0; c < rank; c += kColumnsAtOnce) {
    const unsigned count = static_cast<unsigned>(rank - c < kColumnsAtOnce ? rank - c : kColumnsAtOnce);
    float sum[kColumnsAtOnce] = {};
    if (exists) {
      const float* const from = m + row * q.length;
      const float* const by = vector(q, matrix, c);
#pragma unroll 4
      for (size_t group = 0; group < q.length; group += kTree) {
        const size_t j = group + lane;
        const bool inside = j < q.length;
        const float x = inside ? from[j] : 0.0f;
#pragma unroll
        for (unsigned k = 0; k < kColumnsAtOnce; k++)
          if (k < count) sum[k] = exact::fma(x, inside ? by[k * q.length + j] : 0.0f, sum[k]);
      }
    }
#pragma unroll
    for (unsigned k = 0; k < kColumnsAtOnce; k++) {
      const float total = fold(sum[k]);
      if (exists && lane == 0 && k < count) vector(p, matrix, c + k)[i] = exact::canonical(total);
    }
  }
}

// A thread for each column of the matrices: neighbours read neighbours.
__global__ void __launch_bounds__(kThreads)
    lowrank_right_kernel(const float* m, size_t rows, size_t matrices, Factor p, size_t rank, Factor q) {
  const size_t column = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= q.length * matrices) return;
  const size_t matrix = column / q.length, j = column % q.length;
  const float* const from = m + matrix * rows * q.length + j;
  for (size_t c = 0; c < rank; c += kColumnsAtOnce) {
    const unsigned count = static_cast<unsigned>(rank - c < kColumnsAtOnce ? rank - c : kColumnsAtOnce);
    const float* const by = vector(p, matrix, c);
    float sum[kColumnsAtOnce] = {};
#pragma unroll 16
    for (size_t i = 0; i < rows; i++) {
      const float x = from[i * q.length];
#pragma unroll
      for (unsigned k = 0; k < kColumnsAtOnce; k++)
        if (k < count) sum[k] = exact::fma(x, by[k * rows + i], sum[k]);
    }
#pragma unroll
    for (unsigned k = 0; k < kColumnsAtOnce; k++)
      if (k < count) vector(q, matrix, c + k)[j] = exact::canonical(sum[k]);
  }
}

// Element j of row `row`, counted over all matrices; a and b are its matrix's factors.
struct Row {
  const float *a, *b;
};
__device__ __forceinline__ Row row_of(const Factor& p, const Factor& q) {
  const size_t matrix = blockIdx.x / p.length, i = blockIdx.x % p.length;
  return {vector(p, matrix, 0) + i, vector(q, matrix, 0)};
}
__device__ __forceinline__ float expanded(const Row& row, const Factor& p, const Factor& q, size_t rank,
                                          size_t j) {
  float sum = 0.0f;
#pragma unroll 4
  for (size_t c = 0; c < rank; c++) sum = exact::fma(row.a[c * p.length], row.b[c * q.length + j], sum);
  return exact::canonical(sum);
}

// A thread block for each row.
template <bool adds>
__global__ void __launch_bounds__(kThreads)
    lowrank_expand_kernel(Factor p, Factor q, size_t rank, float* target) {
  const Row row = row_of(p, q);
  float* const to = target + blockIdx.x * q.length;
#pragma unroll 4
  for (size_t j = threadIdx.x; j < q.length; j += blockDim.x) {
    const float x = expanded(row, p, q, rank, j);
    to[j] = adds ? exact::canonical(exact::add(to[j], x)) : x;
  }
}

// The mean of what `ranks` contributions expand to, each `stride` floats after the one before.
__global__ void __launch_bounds__(kThreads)
    lowrank_expand_mean_kernel(Factor p, Factor q, size_t rank, size_t stride, uint32_t ranks,
                               float* target) {
  const Row first = row_of(p, q);
  for (size_t j = threadIdx.x; j < q.length; j += blockDim.x) {
    float sum = 0.0f;
    for (uint32_t r = 0; r < ranks; r++) {
      const float x = expanded({first.a + r * stride, first.b + r * stride}, p, q, rank, j);
      sum = r == 0 ? x : exact::canonical(exact::add(sum, x));
    }
    target[blockIdx.x * q.length + j] = exact::canonical(exact::div(sum, static_cast<float>(ranks)));
  }
}

// Plain words: what makes no whole matrix, and the mean of linear wires. Bits, as a float register could
// quiet a NaN.
__global__ void __launch_bounds__(kThreads)
    lowrank_copy_kernel(const uint32_t* from, size_t count, uint32_t* to) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) to[i] = from[i];
}
__global__ void __launch_bounds__(kThreads) lowrank_add_kernel(const float* from, size_t count, float* to) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) to[i] = exact::canonical(exact::add(to[i], from[i]));
}
__global__ void __launch_bounds__(kThreads)
    lowrank_mean_words_kernel(const float* wires, size_t stride, uint32_t ranks, size_t count, float* wire) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  float sum = wires[i];
  for (uint32_t r = 1; r < ranks; r++) sum = exact::canonical(exact::add(sum, wires[r * stride + i]));
  wire[i] = exact::canonical(exact::div(sum, static_cast<float>(ranks)));
}

// ---- launchers ----

// Ends a launcher with the first error.
#define LAUNCHED(expression)                                        \
  do {                                                              \
    const cudaError_t launched = (expression);                      \
    if (launched != cudaSuccess) return static_cast<int>(launched); \
  } while (false)

struct Call {
  size_t rows, columns, rank, matrices, count, rest;  // count: elements of whole matrices
  bool shared;
  Factor q0;
  float* matrix;  // scratch behind q0
  size_t wire_floats, tail;
};
size_t start_floats(const CodecOptions& options) { return (lowrank::q_floats(options) + 63) / 64 * 64; }
Call call_of(const CodecOptions& options, size_t elements, void* scratch) {
  Call call;
  call.rows = options.rows, call.columns = options.columns, call.rank = options.rank;
  call.matrices = elements / lowrank::matrix_elements(options);
  call.count = call.matrices * lowrank::matrix_elements(options);
  call.rest = elements - call.count;
  call.shared = lowrank::shared(options);
  call.q0 = {static_cast<float*>(scratch), 0, call.columns};
  call.matrix = call.q0.at + start_floats(options);
  call.wire_floats = lowrank::wire_floats(options);
  call.tail = call.matrices * call.wire_floats;
  return call;
}
Factor p_of(const Call& call, const uint8_t* wire) {
  return {reinterpret_cast<float*>(const_cast<uint8_t*>(wire)), call.wire_floats, call.rows};
}
Factor q_of(const Call& call, const uint8_t* wire) {
  if (call.shared) return call.q0;
  return {p_of(call, wire).at + call.rows * call.rank, call.wire_floats, call.columns};
}
float* tail_of(const Call& call, const uint8_t* wire) { return p_of(call, wire).at + call.tail; }

// Of kernels with a thread block for each row.
unsigned rows_of(const Call& call) { return static_cast<unsigned>(call.rows * call.matrices); }
unsigned threads_of(const Call& call) {
  return call.columns >= kThreads ? kThreads
                                  : static_cast<unsigned>((call.columns + kWarp - 1) / kWarp * kWarp);
}

int begin(const CodecKey& key, const Call& call, DeviceStream stream) {
  const size_t count = call.columns * call.rank;
  LAUNCHED(
      LAUNCH(lowrank_start_kernel, blocks_for(count, kThreads), kThreads, 0, stream, key, call.q0.at, count));
  if (call.shared) LAUNCHED(LAUNCH(lowrank_orthogonalize_kernel, 1, kThreads, 0, stream, call.q0, call.rank));
  return cudaSuccess;
}
// The whole matrices of source.
int encode_matrices(const CodecKey& key, const Call& call, const float* source, uint8_t* wire,
                    DeviceStream stream) {
  if (call.matrices == 0) return cudaSuccess;
  if (const int error = begin(key, call, stream); error != cudaSuccess) return error;
  const Factor p = p_of(call, wire), q = q_of(call, wire);
  LAUNCHED(LAUNCH(lowrank_left_kernel, blocks_for(call.rows * call.matrices, kThreads / kTree), kThreads, 0,
                  stream, source, call.rows, call.matrices, call.q0, call.rank, p));
  if (call.shared) return cudaSuccess;
  LAUNCHED(LAUNCH(lowrank_orthogonalize_kernel, static_cast<unsigned>(call.matrices), kThreads, 0, stream, p,
                  call.rank));
  LAUNCHED(LAUNCH(lowrank_right_kernel, blocks_for(call.columns * call.matrices, kThreads), kThreads, 0,
                  stream, source, call.rows, call.matrices, p, call.rank, q));
  return cudaSuccess;
}
int copy(const float* from, size_t count, float* to, DeviceStream stream) {
  if (count == 0) return cudaSuccess;
  return LAUNCH(lowrank_copy_kernel, blocks_for(count, kThreads), kThreads, 0, stream,
                reinterpret_cast<const uint32_t*>(from), count, reinterpret_cast<uint32_t*>(to));
}

int encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
           uint8_t* wire, void* scratch, DeviceStream stream) {
  const Call call = call_of(options, elements, scratch);
  if (const int error = encode_matrices(key, call, source, wire, stream); error != cudaSuccess) return error;
  return copy(source + call.count, call.rest, tail_of(call, wire), stream);
}
template <bool adds>
int decode_matrices(const CodecKey& key, const Call& call, const uint8_t* wire, float* target,
                    DeviceStream stream) {
  if (call.matrices == 0) return cudaSuccess;
  if (call.shared)
    if (const int error = begin(key, call, stream); error != cudaSuccess) return error;
  return LAUNCH(lowrank_expand_kernel<adds>, rows_of(call), threads_of(call), 0, stream, p_of(call, wire),
                q_of(call, wire), call.rank, target);
}
int decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
           float* target, void* scratch, DeviceStream stream) {
  const Call call = call_of(options, elements, scratch);
  if (const int error = decode_matrices<false>(key, call, wire, target, stream); error != cudaSuccess)
    return error;
  return copy(tail_of(call, wire), call.rest, target + call.count, stream);
}
int decode_add(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
               float* target, void* scratch, DeviceStream stream) {
  const Call call = call_of(options, elements, scratch);
  if (const int error = decode_matrices<true>(key, call, wire, target, stream); error != cudaSuccess)
    return error;
  if (call.rest == 0) return cudaSuccess;
  return LAUNCH(lowrank_add_kernel, blocks_for(call.rest, kThreads), kThreads, 0, stream, tail_of(call, wire),
                call.rest, target + call.count);
}
int mean_words(const float* wires, size_t stride, uint32_t ranks, size_t count, float* wire,
               DeviceStream stream) {
  if (count == 0) return cudaSuccess;
  return LAUNCH(lowrank_mean_words_kernel, blocks_for(count, kThreads), kThreads, 0, stream, wires, stride,
                ranks, count, wire);
}
int mean(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
         uint32_t ranks, size_t elements, uint8_t* wire, void* scratch, DeviceStream stream) {
  const Call call = call_of(options, elements, scratch);
  const size_t words = stride / sizeof(float);
  if (call.shared)
    return mean_words(p_of(call, wires).at, words, ranks, call.tail + call.rest, p_of(call, wire).at, stream);
  if (call.matrices > 0) {
    LAUNCHED(LAUNCH(lowrank_expand_mean_kernel, rows_of(call), threads_of(call), 0, stream, p_of(call, wires),
                    q_of(call, wires), call.rank, words, ranks, call.matrix));
    if (const int error = encode_matrices(key, call, call.matrix, wire, stream); error != cudaSuccess)
      return error;
  }
  return mean_words(tail_of(call, wires), words, ranks, call.rest, tail_of(call, wire), stream);
}
// The start, and for a mean of power wires the matrices (also of one rank).
size_t scratch_bytes(const CodecOptions& options, size_t elements, uint32_t) {
  return sizeof(float) * (start_floats(options) + (lowrank::shared(options) ? 0 : elements));
}

}  // namespace

extern const DeviceCodecLoops lowrank_loops;
const DeviceCodecLoops lowrank_loops = {encode, decode,  decode_add, nullptr,
                                        mean,   nullptr, nullptr,    scratch_bytes};

}  // namespace gradmesh::cuda
