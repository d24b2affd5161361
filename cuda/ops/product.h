// The matrix product that every operator with one is made of: c[i, j] = the sum over k of a[i, k] b[k, j],
// each output with one accumulator that starts at +0 and takes exact::fma by ascending k. No sum is split, so
// neither the tile nor the grid can change a bit.
//
// A block of 256 threads makes a tile of outputs, a thread 8 x 8 (4 x 4, 2 x 2) of them in registers. Slices
// of kTerms terms of a and b go through shared memory, terms first: while one slice is used, the next is on
// its way in registers and then into the other half. One barrier a slice.
//
// Where a slice reaches past the last term it is filled up with a = -0, b = +0: their product is -0, and
// adding -0 changes no number, not even -0.
#pragma once
#include "launch.h"
#include "numeric/exact.h"

namespace gradmesh::ops::device {

// Which terms and outputs take part; as in native/ops/isa/product.h.
enum class Terms {
  all,      // every k
  up_to,    // k <= i: a is lower triangular, what lies above takes no part
  from,     // k >= i: a is the transpose of a lower triangular matrix
  outputs,  // every k, but only outputs j <= i are needed (others may be written, with anything)
};

// Which of a matrix's elements are next to each other in memory.
enum class Inside { terms, outputs };

// a or b. Element (outer, inner) of product number p is at data + place(p) + outer * stride + inner; `Inside`
// says which of the two the terms are.
struct Operand {
  const float* data;
  size_t stride;
  size_t group,
      member;  // floats from one group of products to the next, and from one product of it to the next
};

struct Product {
  Operand a, b;
  float* c;  // row-major
  size_t c_stride, c_group, c_member;
  int rows, columns, terms;
  const float* bias;   // added to the finished sum of column j; null for none
  unsigned group = 1;  // products in a group
  unsigned count = 1;  // products
};

// Width neighbouring rows (columns) of outputs, Groups times 16 Width apart, are a thread's.
template <int Width_, int Groups_, int Terms_>
struct Tile {
  static constexpr int kWidth = Width_, kGroups = Groups_, kTerms = Terms_;
  static constexpr int kSide = 16 * Width_ * Groups_, kOwn = Width_ * Groups_;
  static constexpr int kPadded = kSide + 4;  // so that stores along the terms meet few banks twice
  static_assert(kSide * kTerms == 4 * 256, "a thread fetches one float4 of a slice of either operand");
};
using LargeTile = Tile<4, 2, 8>;    // 128 x 128
using MediumTile = Tile<4, 1, 16>;  // 64 x 64
using SmallTile = Tile<2, 1, 32>;   // 32 x 32
constexpr int kProductThreads = 256;

// ---- helpers ----

// A thread's part of the slices of one operand, on its way from memory to shared memory: four neighbouring
// elements of the outputs (rows of a, columns of b) from `first` on. What lies past the matrix's ends is
// `fill`. Fours: ends and addresses are multiples of four floats.
template <class T, Inside inside, bool Fours>
struct Slice {
  const float* next;  // the first of the four in the next slice
  int output, term;   // its place in the matrix
  float4 four;

  // This thread's part starts at this output and term of a slice.
  static __device__ __forceinline__ int own_output() {
    return inside == Inside::terms ? (int)threadIdx.x / (T::kTerms / 4)
                                   : (int)threadIdx.x % (T::kSide / 4) * 4;
  }
  static __device__ __forceinline__ int own_term() {
    return inside == Inside::terms ? (int)threadIdx.x % (T::kTerms / 4) * 4
                                   : (int)threadIdx.x / (T::kSide / 4);
  }
  __device__ __forceinline__ Slice(const float* data, size_t stride, int first_output, int first_term)
      : output(first_output + own_output()), term(first_term + own_term()) {
    const size_t outer = inside == Inside::terms ? output : term,
                 inner = inside == Inside::terms ? term : output;
    next = data + outer * stride + inner;
  }
  __device__ __forceinline__ void fetch(size_t stride, int outputs, int terms, float fill) {
    four = make_float4(fill, fill, fill, fill);
    if (output < outputs && term < terms) {
      if constexpr (Fours) {
        four = *reinterpret_cast<const float4*>(next);
      } else {
        const int left = inside == Inside::terms ? terms - term : outputs - output;
        four.x = next[0];
        if (left > 1) four.y = next[1];
        if (left > 2) four.z = next[2];
        if (left > 3) four.w = next[3];
      }
    }
    term += T::kTerms;
    next += inside == Inside::terms ? (size_t)T::kTerms : T::kTerms * stride;
  }
  __device__ __forceinline__ void store(float (*shared)[T::kPadded]) const {
    float* to = &shared[own_term()][own_output()];
    if constexpr (inside == Inside::terms)
      to[0] = four.x, to[T::kPadded] = four.y, to[2 * T::kPadded] = four.z, to[3 * T::kPadded] = four.w;
    else
      *reinterpret_cast<float4*>(to) = four;
  }
};

// The kOwn elements of one term that belong to the thread at `place` (0 to 15) of a side.
template <class T>
__device__ __forceinline__ void read_own(const float* term, int place, float (&own)[T::kOwn]) {
#pragma unroll
  for (int g = 0; g < T::kGroups; ++g) {
    const float* p = term + (g * 16 + place) * T::kWidth;
    if constexpr (T::kWidth == 4) {
      const float4 four = *reinterpret_cast<const float4*>(p);
      own[4 * g] = four.x, own[4 * g + 1] = four.y, own[4 * g + 2] = four.z, own[4 * g + 3] = four.w;
    } else {
      const float2 two = *reinterpret_cast<const float2*>(p);
      own[2 * g] = two.x, own[2 * g + 1] = two.y;
    }
  }
}

// The row or column, within the tile, of a thread's own element.
template <class T>
__device__ __forceinline__ int own_index(int place, int own) {
  return (own / T::kWidth * 16 + place) * T::kWidth + own % T::kWidth;
}

// Adds a slice's terms. Cut: the tile's rows do not all take every term of it.
template <class T, Terms which, bool Cut>
__device__ __forceinline__ void add_slice(float (&sums)[T::kOwn][T::kOwn], const float (*a)[T::kPadded],
                                          const float (*b)[T::kPadded], int row_place, int column_place,
                                          int first_row, int first_term) {
#pragma unroll
  for (int k = 0; k < T::kTerms; ++k) {
    float own_a[T::kOwn], own_b[T::kOwn];
    read_own<T>(a[k], row_place, own_a);
    read_own<T>(b[k], column_place, own_b);
#pragma unroll
    for (int r = 0; r < T::kOwn; ++r) {
      const int row = first_row + own_index<T>(row_place, r), term = first_term + k;
      if (Cut && (which == Terms::up_to ? term > row : term < row)) continue;
#pragma unroll
      for (int c = 0; c < T::kOwn; ++c) sums[r][c] = exact::fma(own_a[r], own_b[c], sums[r][c]);
    }
  }
}

// Which product and which tile of it a block makes. Eight tiles down the rows come before the next column of
// tiles, so that blocks that run together share what they read.
struct TilePlace {
  size_t product;
  int row, column;
};
template <class T>
__device__ __forceinline__ TilePlace tile_place(const Product& p) {
  constexpr unsigned kBand = 8;
  const unsigned down = (unsigned)(p.rows + T::kSide - 1) / T::kSide;
  const unsigned across = (unsigned)(p.columns + T::kSide - 1) / T::kSide;
  const unsigned tile = blockIdx.x % (down * across);
  const unsigned band = tile / (kBand * across) * kBand;
  const unsigned height = down - band < kBand ? down - band : kBand;
  const unsigned inside = tile - band * across;
  return {blockIdx.x / (down * across), (int)((band + inside % height) * T::kSide),
          (int)(inside / height * T::kSide)};
}

// From (row, column) on, this thread's first output. No bias is not a bias of +0, which would turn -0 into
// +0.
template <class T, bool Fours>
__device__ __forceinline__ void write_tile(const Product& p, float* c, float (&sums)[T::kOwn][T::kOwn],
                                           int row, int column) {
  if (p.bias != nullptr) {
#pragma unroll
    for (int own = 0; own < T::kOwn; ++own) {
      const int j = column + own_index<T>(0, own);
      const float bias = j < p.columns ? p.bias[j] : 0.0f;
#pragma unroll
      for (int r = 0; r < T::kOwn; ++r) sums[r][own] = exact::add(sums[r][own], bias);
    }
  }
#pragma unroll
  for (int r = 0; r < T::kOwn; ++r) {
    const int i = row + own_index<T>(0, r);
    if (i >= p.rows) continue;
#pragma unroll
    for (int g = 0; g < T::kGroups; ++g) {
      const float* out = &sums[r][g * T::kWidth];
      const int j = column + own_index<T>(0, g * T::kWidth);
      float* to = c + (size_t)i * p.c_stride + j;
      if constexpr (Fours && T::kWidth == 4) {
        if (j < p.columns) *reinterpret_cast<float4*>(to) = make_float4(out[0], out[1], out[2], out[3]);
      } else {
#pragma unroll
        for (int w = 0; w < T::kWidth; ++w)
          if (j + w < p.columns) to[w] = out[w];
      }
    }
  }
}

// ---- kernel ----

template <class T, Inside a_inside, Inside b_inside, Terms which, bool Fours>
__global__ void __launch_bounds__(kProductThreads, 2) product_kernel(const Product p) {
  __shared__ __align__(16) float a_shared[2][T::kTerms][T::kPadded];
  __shared__ __align__(16) float b_shared[2][T::kTerms][T::kPadded];
  const TilePlace place = tile_place<T>(p);
  const int row = place.row, column = place.column;
  if (which == Terms::outputs && column > row + T::kSide - 1) return;
  const size_t group = place.product / p.group, member = place.product % p.group;
  const float* a = p.a.data + group * p.a.group + member * p.a.member;
  const float* b = p.b.data + group * p.b.group + member * p.b.member;
  // A warp is 4 x 8 threads of the block's 16 x 16, so that its reads of shared memory are wide.
  const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
  const int row_place = warp / 2 * 4 + lane / 8, column_place = warp % 2 * 8 + lane % 8;

  const int begin = which == Terms::from ? row : 0;
  const int end = which == Terms::up_to && row + T::kSide < p.terms ? row + T::kSide : p.terms;
  Slice<T, a_inside, Fours> a_slice(a, p.a.stride, row, begin);
  Slice<T, b_inside, Fours> b_slice(b, p.b.stride, column, begin);
  const auto fetch = [&] {
    a_slice.fetch(p.a.stride, p.rows, p.terms, -0.0f);
    b_slice.fetch(p.b.stride, p.columns, p.terms, 0.0f);
  };
  float sums[T::kOwn][T::kOwn] = {};
  fetch();
  a_slice.store(a_shared[0]);
  b_slice.store(b_shared[0]);
  __syncthreads();
  int half = 0;
  for (int term = begin; term < end; term += T::kTerms, half ^= 1) {
    const bool more = term + T::kTerms < end;
    if (more) fetch();
    bool cut = false;
    if (which == Terms::up_to) cut = term + T::kTerms - 1 > row;
    if (which == Terms::from) cut = term < row + T::kSide - 1;
    if constexpr (which == Terms::up_to || which == Terms::from) {
      if (cut)
        add_slice<T, which, true>(sums, a_shared[half], b_shared[half], row_place, column_place, row, term);
      else
        add_slice<T, which, false>(sums, a_shared[half], b_shared[half], row_place, column_place, row, term);
    } else {
      add_slice<T, which, false>(sums, a_shared[half], b_shared[half], row_place, column_place, row, term);
    }
    if (!more) break;
    a_slice.store(a_shared[half ^ 1]);
    b_slice.store(b_shared[half ^ 1]);
    __syncthreads();
  }
  write_tile<T, Fours>(p, p.c + group * p.c_group + member * p.c_member, sums, row + row_place * T::kWidth,
                       column + column_place * T::kWidth);
}

// ---- launcher ----

template <class T>
size_t product_blocks(const Product& p) {
  return (size_t)cuda::blocks_for(p.rows, T::kSide) * cuda::blocks_for(p.columns, T::kSide) * p.count;
}

template <class T, Inside a_inside, Inside b_inside, Terms which, bool Fours>
cudaError_t launch_tile(const Product& p, cudaStream_t stream) {
  if (product_blocks<T>(p) > INT32_MAX) return cudaErrorInvalidConfiguration;
  return LAUNCH((product_kernel<T, a_inside, b_inside, which, Fours>), (unsigned)product_blocks<T>(p),
                kProductThreads, 0, stream, p);
}

// The largest tile that still gives every multiprocessor of a large card a block.
template <Inside a_inside, Inside b_inside, Terms which>
cudaError_t multiply(const Product& p, bool fours, cudaStream_t stream) {
  constexpr size_t kEnoughBlocks = 128;
  constexpr bool whole = which == Terms::all || which == Terms::outputs;
  constexpr int kMost = INT32_MAX - 256;  // so that a tile's end is an int too
  if (p.rows > kMost || p.columns > kMost || p.terms > kMost) return cudaErrorInvalidConfiguration;
  if constexpr (whole)
    if (fours && product_blocks<LargeTile>(p) >= kEnoughBlocks)
      return launch_tile<LargeTile, a_inside, b_inside, which, true>(p, stream);
  const bool medium = product_blocks<MediumTile>(p) >= kEnoughBlocks;
  if (fours)
    return medium ? launch_tile<MediumTile, a_inside, b_inside, which, true>(p, stream)
                  : launch_tile<SmallTile, a_inside, b_inside, which, true>(p, stream);
  return medium ? launch_tile<MediumTile, a_inside, b_inside, which, false>(p, stream)
                : launch_tile<SmallTile, a_inside, b_inside, which, false>(p, stream);
}

}  // namespace gradmesh::ops::device
