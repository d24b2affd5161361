// The twin of dct_topk: a thread block for a tile, in shared memory. A thread computes a few outputs of one
// column, whose neighbours are its warp's other lanes; along the rows the same is done with rows and columns
// exchanged. select.h says how coefficients are chosen.
#include "codec/dct_topk.h"
#include "codec/select.h"

namespace gradmesh::cuda {
namespace {

using codecs::dct_topk;

// ---- helpers ----

__device__ const float kDctCosines[] = {
#include "codec/dct_cosines.inc"
};

constexpr unsigned kSide = dct::kSideMost, kParts = kSparseThreads / kSide;
constexpr unsigned kStride = kSide + 1;  // so that both rows and columns of a buffer use different banks
constexpr unsigned kBuffer = kSide * kStride;
constexpr unsigned kMatricesLeast = 2048;  // floats of the third buffer, which also holds indices

// What the kernels of one call have: a tile's two buffers, and one for the matrices of a transform.
struct Shared {
  float *x, *y, *matrices;
};
struct Tile {
  dct_topk::Tile tile;
  dct_topk::Layout layout;
  unsigned lines, width;
};
__device__ __forceinline__ Tile tile_of(const CodecOptions& options, size_t elements) {
  Tile t;
  t.layout = dct_topk::layout(options, elements);
  t.tile = dct_topk::tile(options, t.layout, blockIdx.x);
  t.lines = t.tile.lines;
  t.width = t.layout.shape.width;
  return t;
}

// Element (n, lane) of a buffer: the transform goes along n.
struct View {
  float* at;
  int n, lane;
};
HD float& element(const View& view, unsigned n, unsigned lane) {
  return view.at[static_cast<int>(n) * view.n + static_cast<int>(lane) * view.lane];
}

// y[o] = the sum over t of m[o m_row + t m_term] x[t], for `outputs` o in a row.
template <unsigned outputs>
__device__ __forceinline__ void product(const float* m, unsigned m_row, unsigned m_term, unsigned terms,
                                        const View& x, const View& y, unsigned first, unsigned lane) {
  float sum[outputs];
#pragma unroll
  for (unsigned o = 0; o < outputs; o++) sum[o] = 0.0f;
  m += first * m_row;
#pragma unroll 4
  for (unsigned t = 0; t < terms; t++, m += m_term) {
    const float in = element(x, t, lane);
    if constexpr (outputs == 8) {  // m_row is 1, and every address a multiple of 16
      const float4 low = reinterpret_cast<const float4*>(m)[0], high = reinterpret_cast<const float4*>(m)[1];
      const float by[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
      for (unsigned o = 0; o < 8; o++) sum[o] = exact::fma(by[o], in, sum[o]);
    } else {
#pragma unroll
      for (unsigned o = 0; o < outputs; o++) sum[o] = exact::fma(m[o * m_row], in, sum[o]);
    }
  }
#pragma unroll
  for (unsigned o = 0; o < outputs; o++) element(y, first + o, lane) = sum[o];
}
// All `side` outputs of the lanes below `lanes`.
__device__ __forceinline__ void products(const float* m, unsigned m_row, unsigned m_term, unsigned side,
                                         const View& x, const View& y, unsigned lanes) {
  const unsigned lane = threadIdx.x % kSide, part = threadIdx.x / kSide;
  if (lane >= lanes) return;
  if (m_row == 1 && side == 8 * kParts) return product<8>(m, m_row, m_term, side, x, y, 8 * part, lane);
  if (side == 4 * kParts) return product<4>(m, m_row, m_term, side, x, y, 4 * part, lane);
  for (unsigned o = part; o < side; o += kParts) product<1>(m, m_row, m_term, side, x, y, o, lane);
}
__device__ __forceinline__ void sums_and_differences(const View& view, unsigned side, unsigned lanes) {
  const unsigned lane = threadIdx.x % kSide;
  if (lane >= lanes) return;
  for (unsigned n = threadIdx.x / kSide; n < side / 2; n += kParts) {
    float &a = element(view, n, lane), &b = element(view, side - 1 - n, lane);
    const float sum = exact::add(a, b), difference = exact::sub(a, b);
    a = sum;
    b = difference;
  }
}
__device__ __forceinline__ void fill_matrices(unsigned side, float* matrices) {
  __syncthreads();  // what lay there may still be read
  for (unsigned i = threadIdx.x; i < dct::matrices_count(side); i += blockDim.x)
    matrices[i] = dct::matrix_element(kDctCosines, side, i);
  __syncthreads();
}

// x -> y, n < side, for each lane; x is used up. Everything is there for all threads before and after.
__device__ __forceinline__ void forward(const float* m, unsigned side, View x, View y, unsigned lanes) {
  unsigned left = side;
  for (; left % 2 == 0; left /= 2) {
    const unsigned half = left / 2;
    sums_and_differences(x, left, lanes);
    __syncthreads();
    const View differences = {x.at + static_cast<int>(left - 1) * x.n, -x.n, x.lane};
    products(m, 1, half, half, differences, {y.at + y.n, 2 * y.n, y.lane}, lanes);
    y.n *= 2;
    m += half * half;
  }
  products(m, left, 1, left, x, y, lanes);
  __syncthreads();
}
__device__ __forceinline__ void inverse(const float* m, unsigned side, View x, View y, unsigned lanes) {
  unsigned left = side;
  for (; left % 2 == 0; left /= 2, x.n *= 2) m += left * left / 4;
  products(m, 1, left, left, x, y, lanes);
  for (; left < side; left *= 2) {
    x.n /= 2;
    m -= left * left;
    products(m, 1, left, left, {x.at + x.n, 2 * x.n, x.lane},
             {y.at + static_cast<int>(2 * left - 1) * y.n, -y.n, y.lane}, lanes);
    __syncthreads();
    sums_and_differences(y, 2 * left, lanes);
    __syncthreads();
  }
  __syncthreads();
}

// body(i, j, index in the call or ~0 where there is no element) for each place of the tile.
template <class Body>
__device__ __forceinline__ void each_place(const CodecOptions& options, const Tile& t, size_t elements,
                                           Body body) {
  const unsigned j = threadIdx.x % kSide;
  if (j >= t.width) return;
#pragma unroll 4
  for (unsigned i = threadIdx.x / kSide; i < t.lines; i += kParts) {
    const size_t at = t.tile.element + static_cast<size_t>(i) * options.columns + j;
    body(i, j, at < elements ? at : ~size_t{0});
  }
}

// The largest magnitude's bits of the threads' own.
__device__ __forceinline__ uint32_t largest_of_all(uint32_t own, uint32_t* shared) {
  if (threadIdx.x == 0) *shared = 0;
  __syncthreads();
  const uint32_t warp = __reduce_max_sync(kEvery, own);
  if (threadIdx.x % kWarp == 0) atomicMax(shared, warp);
  __syncthreads();
  return *shared;
}

// x[i][j] of a tile, +0 where there is no element; x, y and the matrices are used up.
__device__ __forceinline__ void encode_tile(const CodecOptions& options, const Tile& t, const Shared& shared,
                                            uint8_t* wire) {
  __shared__ Selection selection;
  __shared__ uint32_t word;
  const unsigned kept = t.tile.kept;
  float* const values = shared.x;
  uint16_t* const index = reinterpret_cast<uint16_t*>(shared.matrices);
  __syncthreads();
  uint32_t own = 0;
  each_place(options, t, 0, [&](unsigned i, unsigned j, size_t) {
    own = max(own, exact::bits(shared.x[i * kStride + j]) & 0x7fffffffu);
  });
  const uint32_t largest = largest_of_all(own, &word);
  if (largest >= dct_topk::kInfinity) {
    __syncthreads();
    for (unsigned i = threadIdx.x; i < kept; i += blockDim.x) {
      values[i] = exact::from_bits(exact::kNan);
      index[i] = static_cast<uint16_t>(i);
    }
  } else {
    const float down = dct_topk::down(largest);
    each_place(options, t, 0, [&](unsigned i, unsigned j, size_t) {
      shared.x[i * kStride + j] = exact::mul(shared.x[i * kStride + j], down);
    });
    constexpr int kRow = static_cast<int>(kStride);
    fill_matrices(t.lines, shared.matrices);
    forward(shared.matrices, t.lines, {shared.x, kRow, 1}, {shared.y, kRow, 1}, t.width);
    if (t.lines != t.width) fill_matrices(t.width, shared.matrices);
    const int lines = static_cast<int>(t.lines);
    forward(shared.matrices, t.width, {shared.y, 1, kRow}, {shared.x, lines, 1}, t.lines);
    find_level(shared.x, t.lines * t.width, kept, &selection);
    make_bitmaps(shared.x, t.lines * t.width, &selection);
    list_kept(shared.x, t.lines * t.width, selection, shared.y, index);
    const float factor = dct_topk::factor(t.lines, t.width, largest);
    for (unsigned i = threadIdx.x; i < kept; i += blockDim.x)
      values[i] = dct_topk::value(shared.y[i], factor);
  }
  __syncthreads();
  encode_kept(options.values, values, kept, wire + t.tile.values, wire + t.tile.scale, &word);
  pack_indices(index, kept, t.layout.shape.index_bits, wire + t.tile.indices);
}

// The tile in y[i][j], before its factor; returns the largest magnitude's bits of its values.
__device__ __forceinline__ uint32_t decode_tile(const CodecOptions& options, const Tile& t,
                                                const uint8_t* wire, const Shared& shared) {
  __shared__ uint32_t word;
  const unsigned kept = t.tile.kept, lane = threadIdx.x % kSide, part = threadIdx.x / kSide;
  float* const values = shared.y;
  uint16_t* const index = reinterpret_cast<uint16_t*>(shared.matrices);
  __syncthreads();
  uint32_t own = 0;
  for (unsigned i = threadIdx.x; i < kept; i += blockDim.x) {
    const uint32_t bits = kept::decode(options.values, wire + t.tile.values, i, wire + t.tile.scale);
    values[i] = exact::from_bits(bits);
    index[i] = static_cast<uint16_t>(topk::index_of(wire + t.tile.indices, i, t.layout.shape.index_bits));
    own = max(own, bits & 0x7fffffffu);
  }
  const uint32_t largest = largest_of_all(own, &word);
  const float down = dct_topk::down(largest);
  for (unsigned u = part; u < t.lines; u += kParts) shared.x[u * kStride + lane] = 0.0f;
  // The rows of a part are nobody else's, so the order of the wire is that of each sum.
  for (unsigned i = 0; i < kept; i++) {
    const unsigned v = index[i] / t.lines, u = index[i] % t.lines;
    if (u % kParts != part || v >= t.width || lane >= t.width) continue;
    float& sum = shared.x[u * kStride + lane];
    sum = exact::fma(dct::basis(kDctCosines, t.width, v, lane), exact::mul(values[i], down), sum);
  }
  constexpr int kRow = static_cast<int>(kStride);
  fill_matrices(t.lines, shared.matrices);
  inverse(shared.matrices, t.lines, {shared.x, kRow, 1}, {shared.y, kRow, 1}, t.width);
  return largest;
}
__device__ __forceinline__ float decoded(float sum, float factor, uint32_t largest) {
  return largest >= dct_topk::kInfinity ? exact::from_bits(exact::kNan) : dct_topk::value(sum, factor);
}
__device__ __forceinline__ Shared shared_of(float* memory) {
  return {memory, memory + kBuffer, memory + 2 * kBuffer};
}

// ---- kernels ----

__global__ void __launch_bounds__(kSparseThreads)
    dct_topk_encode_kernel(CodecOptions options, const float* source, size_t elements, uint8_t* wire) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared = shared_of(memory);
  const Tile t = tile_of(options, elements);
  each_place(options, t, elements, [&](unsigned i, unsigned j, size_t at) {
    shared.x[i * kStride + j] = at == ~size_t{0} ? 0.0f : source[at];
  });
  encode_tile(options, t, shared, wire);
}

template <bool adds>
__global__ void __launch_bounds__(kSparseThreads)
    dct_topk_decode_kernel(CodecOptions options, const uint8_t* wire, size_t elements, float* target) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared = shared_of(memory);
  const Tile t = tile_of(options, elements);
  const uint32_t largest = decode_tile(options, t, wire, shared);
  const float factor = dct_topk::factor(t.lines, t.width, largest);
  each_place(options, t, elements, [&](unsigned i, unsigned j, size_t at) {
    if (at == ~size_t{0}) return;
    const float x = decoded(shared.y[i * kStride + j], factor, largest);
    target[at] = adds ? exact::canonical(exact::add(target[at], x)) : x;
  });
}

__global__ void __launch_bounds__(kSparseThreads)
    dct_topk_decode_add_encode_kernel(CodecOptions options, const uint8_t* wire, const float* source,
                                      size_t elements, uint8_t* result) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared = shared_of(memory);
  const Tile t = tile_of(options, elements);
  const uint32_t largest = decode_tile(options, t, wire, shared);
  const float factor = dct_topk::factor(t.lines, t.width, largest);
  each_place(options, t, elements, [&](unsigned i, unsigned j, size_t at) {
    const float x = decoded(shared.y[i * kStride + j], factor, largest);
    shared.x[i * kStride + j] = at == ~size_t{0} ? 0.0f : exact::canonical(exact::add(source[at], x));
  });
  encode_tile(options, t, shared, result);
}

__global__ void __launch_bounds__(kSparseThreads)
    dct_topk_mean_kernel(CodecOptions options, const uint8_t* wires, size_t stride, uint32_t ranks,
                         size_t elements, uint8_t* wire, unsigned sums_at) {
  DYNAMIC_SHARED(float, memory);
  const Shared shared = shared_of(memory);
  float* const sums = memory + sums_at;
  const Tile t = tile_of(options, elements);
  for (uint32_t rank = 0; rank < ranks; rank++) {
    const uint32_t largest = decode_tile(options, t, wires + rank * stride, shared);
    const float factor = dct_topk::factor(t.lines, t.width, largest);
    each_place(options, t, elements, [&](unsigned i, unsigned j, size_t) {
      const float x = decoded(shared.y[i * kStride + j], factor, largest);
      float& sum = sums[i * kStride + j];
      sum = rank == 0 ? x : exact::canonical(exact::add(sum, x));
    });
  }
  const float divisor = static_cast<float>(ranks);
  each_place(options, t, elements, [&](unsigned i, unsigned j, size_t at) {
    shared.x[i * kStride + j] =
        at == ~size_t{0} ? 0.0f : exact::canonical(exact::div(sums[i * kStride + j], divisor));
  });
  encode_tile(options, t, shared, wire);
}

// ---- launchers ----

// Floats of the two buffers and of what the matrices of any side of this call need.
unsigned shared_floats(const dct_topk::Layout& l) {
  unsigned matrices = kMatricesLeast;
  for (const uint32_t side : {l.shape.height, l.shape.width, l.tail_lines})
    if (side > 0 && dct::matrices_count(side) > matrices) matrices = dct::matrices_count(side);
  return 2 * kBuffer + (matrices + 3) / 4 * 4;
}
int encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements, uint8_t* wire,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const dct_topk::Layout l = dct_topk::layout(options, elements);
  const size_t bytes = shared_floats(l) * sizeof(float);
  const cudaError_t error = ALLOW_SHARED(dct_topk_encode_kernel, bytes);
  if (error != cudaSuccess) return error;
  return LAUNCH(dct_topk_encode_kernel, static_cast<unsigned>(l.tiles), kSparseThreads, bytes, stream,
                options, source, elements, wire);
}
int decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements, float* target,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const dct_topk::Layout l = dct_topk::layout(options, elements);
  const size_t bytes = shared_floats(l) * sizeof(float);
  const cudaError_t error = ALLOW_SHARED(dct_topk_decode_kernel<false>, bytes);
  if (error != cudaSuccess) return error;
  return LAUNCH(dct_topk_decode_kernel<false>, static_cast<unsigned>(l.tiles), kSparseThreads, bytes, stream,
                options, wire, elements, target);
}
int decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
               float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const dct_topk::Layout l = dct_topk::layout(options, elements);
  const size_t bytes = shared_floats(l) * sizeof(float);
  const cudaError_t error = ALLOW_SHARED(dct_topk_decode_kernel<true>, bytes);
  if (error != cudaSuccess) return error;
  return LAUNCH(dct_topk_decode_kernel<true>, static_cast<unsigned>(l.tiles), kSparseThreads, bytes, stream,
                options, wire, elements, target);
}
int decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&, const uint8_t* wire,
                      const float* source, size_t elements, uint8_t* result, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const dct_topk::Layout l = dct_topk::layout(options, elements);
  const size_t bytes = shared_floats(l) * sizeof(float);
  const cudaError_t error = ALLOW_SHARED(dct_topk_decode_add_encode_kernel, bytes);
  if (error != cudaSuccess) return error;
  return LAUNCH(dct_topk_decode_add_encode_kernel, static_cast<unsigned>(l.tiles), kSparseThreads, bytes,
                stream, options, wire, source, elements, result);
}
int mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride, uint32_t ranks,
         size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const dct_topk::Layout l = dct_topk::layout(options, elements);
  const unsigned sums_at = shared_floats(l);
  const size_t bytes = (sums_at + kBuffer) * sizeof(float);
  const cudaError_t error = ALLOW_SHARED(dct_topk_mean_kernel, bytes);
  if (error != cudaSuccess) return error;
  return LAUNCH(dct_topk_mean_kernel, static_cast<unsigned>(l.tiles), kSparseThreads, bytes, stream, options,
                wires, stride, ranks, elements, wire, sums_at);
}

}  // namespace

extern const DeviceCodecLoops dct_topk_loops;
const DeviceCodecLoops dct_topk_loops = {encode, decode,  decode_add, decode_add_encode,
                                         mean,   nullptr, nullptr,    nullptr};

}  // namespace gradmesh::cuda
