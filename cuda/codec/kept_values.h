// What the twins of the sparse codecs share: how a thread block codes the values that it kept
// (native/codec/kept.h).
#pragma once
#include "codec/kept.h"
#include "launch.h"
#include "table.h"

namespace gradmesh::cuda {

constexpr unsigned kSparseThreads = 256;
constexpr unsigned kWarp = 32, kEvery = 0xffffffffu;

// The sum of |x[i]| * factor in the fixed tree's order, in every lane of a warp that calls it whole: lanes j
// and j + 16 both add the tree's lane j.
__device__ __forceinline__ float warp_magnitude_sum(const float* x, size_t m, float factor) {
  float sum = 0.0f;
  for (size_t i = threadIdx.x % 16; i < m; i += 16)
    sum = exact::add(sum, exact::mul(exact::magnitude(x[i]), factor));
  for (int width = 8; width > 0; width /= 2) sum = exact::add(sum, __shfl_down_sync(kEvery, sum, width, 16));
  return __shfl_sync(kEvery, sum, 0, 16);
}

__device__ __forceinline__ bool warp_all_finite(const float* x, size_t m) {
  bool finite = true;
  for (size_t i = threadIdx.x % kWarp; i < m; i += kWarp) finite = finite && codecs::sign1::finite(x[i]);
  return __any_sync(kEvery, !finite) == 0;
}

// sign1's scale of x[m], by one whole warp.
__device__ __forceinline__ float warp_mean_magnitude(const float* x, size_t m) {
  using codecs::sign1;
  const float sum = warp_magnitude_sum(x, m, 1.0f);
  if (sign1::finite(sum)) return sign1::mean_of(sum, m);
  if (!warp_all_finite(x, m)) return exact::from_bits(exact::kNan);
  return sign1::mean_of_shrunk(warp_magnitude_sum(x, m, sign1::kShrink), m);
}

// two_means' split of x[m], by one whole warp: its lower half adds what is not above the threshold, its upper
// half what is, each as the tree's 16 lanes.
__device__ __forceinline__ kept::two_means::Split warp_split(const float* x, size_t m) {
  using codecs::sign1;
  using kept::two_means;
  float factor = 1.0f, sum = warp_magnitude_sum(x, m, factor);
  if (!sign1::finite(sum)) {
    if (!warp_all_finite(x, m)) return two_means::not_a_number();
    factor = sign1::kShrink;
    sum = warp_magnitude_sum(x, m, factor);
  }
  two_means::Split split = two_means::first(sum, factor, m);
  const bool adds_above = threadIdx.x % kWarp >= 16;
  for (int round = 0; round < two_means::kSplits; round++) {
    two_means::set_threshold(&split, round);
    float own = 0.0f;
    unsigned count = 0;
    for (size_t i = threadIdx.x % 16; i < m; i += 16) {
      const bool meant = two_means::above(split, x[i]) == adds_above;
      own = exact::add(own, meant ? two_means::scaled(split, x[i]) : 0.0f);
      count += meant ? 1 : 0;
    }
    for (int width = 8; width > 0; width /= 2) {
      own = exact::add(own, __shfl_down_sync(kEvery, own, width, 16));
      count += __shfl_down_sync(kEvery, count, width, 16);
    }
    two_means::set_levels(&split, __shfl_sync(kEvery, own, 0), __shfl_sync(kEvery, own, 16),
                          __shfl_sync(kEvery, count, 16), m);
  }
  return split;
}

__device__ __forceinline__ void store_word(uint8_t* to, uint32_t word) {
  for (int i = 0; i < 4; i++) to[i] = static_cast<uint8_t>(word >> 8 * i);
}

// x[m] in shared memory -> out and scale, by the whole thread block; `word` is shared. What x holds must be
// there for all threads before. out is a multiple of 4 where values are fp32.
__device__ __forceinline__ void encode_kept(uint32_t values, const float* x, size_t m, uint8_t* out,
                                            uint8_t* scale, uint32_t* word) {
  if (values == kept::kFp32) {
    for (size_t i = threadIdx.x; i < m; i += blockDim.x) reinterpret_cast<float*>(out)[i] = x[i];
  } else if (values == kept::kInt8) {
    if (threadIdx.x == 0) *word = 0;
    __syncthreads();
    uint32_t largest = 0;
    for (size_t i = threadIdx.x; i < m; i += blockDim.x)
      largest = max(largest, static_cast<uint32_t>(kept::Int8::magnitude(x[i])));
    atomicMax(word, largest);
    __syncthreads();
    const kept::Int8::Scale found = kept::Int8::scale_for(true, static_cast<int32_t>(*word));
    if (threadIdx.x == 0) *scale = static_cast<uint8_t>(found.word);
    for (size_t i = threadIdx.x; i < m; i += blockDim.x)
      out[i] = static_cast<uint8_t>(kept::quantize(x[i], found.inverse));
  } else if (values == kept::kSign) {
    if (threadIdx.x < kWarp) {
      const float mean = warp_mean_magnitude(x, m);
      if (threadIdx.x == 0) store_word(scale, exact::bits(mean));
    }
    for (size_t at = 8 * threadIdx.x; at < m; at += 8 * blockDim.x) {
      uint32_t byte = 0;
      for (size_t i = at; i < m && i < at + 8; i++) byte |= codecs::sign1::sign(x[i]) << (i - at);
      out[at / 8] = static_cast<uint8_t>(byte);
    }
  } else {
    __shared__ kept::two_means::Split split;
    if (threadIdx.x < kWarp) {
      const kept::two_means::Split found = warp_split(x, m);
      if (threadIdx.x == 0) split = found;
      if (threadIdx.x < 2)
        store_word(scale + 4 * threadIdx.x, kept::two_means::level_bits(found, threadIdx.x));
    }
    __syncthreads();
    for (size_t at = 4 * threadIdx.x; at < m; at += 4 * blockDim.x)
      out[at / 4] = kept::int2_byte(split, x, at, m);
  }
}

// target[i] = what decoding gave, or target[i] plus it.
template <bool adds>
__device__ __forceinline__ void write_decoded(float* target, uint32_t bits) {
  if (adds)
    *target = exact::canonical(exact::add(*target, exact::from_bits(bits)));
  else
    *reinterpret_cast<uint32_t*>(target) = bits;
}

// The same for target[count] at a multiple of 16, by the whole thread block, sixteen bytes at a time;
// bits_of(i) is what element i decodes to.
template <bool adds, class BitsOf>
__device__ __forceinline__ void write_decoded_block(float* target, unsigned count, BitsOf bits_of) {
  const unsigned quads = count / 4;
  for (unsigned quad = threadIdx.x; quad < quads; quad += blockDim.x) {
    uint4 bits = make_uint4(0, 0, 0, 0);
    uint4* to = reinterpret_cast<uint4*>(target) + quad;
    if (adds) bits = *to;
    const auto combined = [&](uint32_t before, unsigned i) {
      const uint32_t decoded = bits_of(4 * quad + i);
      return adds ? exact::bits(
                        exact::canonical(exact::add(exact::from_bits(before), exact::from_bits(decoded))))
                  : decoded;
    };
    *to = make_uint4(combined(bits.x, 0), combined(bits.y, 1), combined(bits.z, 2), combined(bits.w, 3));
  }
  for (unsigned i = 4 * quads + threadIdx.x; i < count; i += blockDim.x)
    write_decoded<adds>(target + i, bits_of(i));
}

}  // namespace gradmesh::cuda
