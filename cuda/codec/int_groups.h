// What the kernels of int8_block, int4_block and int2_block share. A group of lanes codes a block of
// elements: a lane for each four elements (a quad), at most a warp. So a warp reads whole lines, a maximum is
// a few shuffles, and a lane writes whole bytes. Larger blocks take a lane several quads.
#pragma once
#include "codec/int2_block.h"
#include "codec/int4_block.h"
#include "codec/int8_block.h"
#include "launch.h"
#include "table.h"

namespace gradmesh::cuda {
namespace {

constexpr unsigned kIntThreads = 128;
constexpr unsigned kAllLanes = 0xffffffffu;

// The block that the calling thread's group codes: `count` elements from number `at`; none behind the last
// block.
struct Group {
  unsigned lanes, lane;
  size_t at, count;
};
inline unsigned lanes_of(uint32_t block) { return block / 4 < 32 ? block / 4 : 32; }
__device__ __forceinline__ Group group_of(uint32_t block, unsigned lanes, size_t elements) {
  const unsigned per_block = kIntThreads / lanes;
  const size_t at = (static_cast<size_t>(blockIdx.x) * per_block + threadIdx.x / lanes) * block;
  return {lanes, threadIdx.x % lanes, at, at >= elements ? 0 : elements - at < block ? elements - at : block};
}
inline unsigned grid_of(uint32_t block, size_t elements) {
  return blocks_for(elements, static_cast<size_t>(kIntThreads / lanes_of(block)) * block);
}

template <class T>
__device__ __forceinline__ T group_max(const Group& group, T value) {
  for (unsigned width = group.lanes / 2; width > 0; width /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, static_cast<int>(width));
    value = other > value ? other : value;
  }
  return value;
}

// The integers of elements i .. i + 3 of all `elements`, i a multiple of 4, in the low bits; those behind the
// end are 0.
template <int kBits>
__device__ __forceinline__ uint32_t load_quad(const uint8_t* q, size_t i, size_t elements) {
  const uint8_t* from = q + i * kBits / 8;
  if (i + 4 <= elements) {
    if (kBits == 8) return *reinterpret_cast<const uint32_t*>(from);
    if (kBits == 4) return *reinterpret_cast<const uint16_t*>(from);
    return *from;
  }
  const unsigned bits = static_cast<unsigned>(elements - i) * kBits;
  uint32_t word = 0;
  for (unsigned bit = 0; bit < bits; bit += 8) word |= static_cast<uint32_t>(from[bit / 8]) << bit;
  return word & ((1u << bits) - 1);
}
template <int kBits>
__device__ __forceinline__ void store_quad(uint8_t* q, size_t i, size_t elements, uint32_t word) {
  uint8_t* to = q + i * kBits / 8;
  if (i + 4 > elements) {
    const unsigned bits = static_cast<unsigned>(elements - i) * kBits;
    word &= (1u << bits) - 1;
    for (unsigned bit = 0; bit < bits; bit += 8) to[bit / 8] = static_cast<uint8_t>(word >> bit);
  } else if (kBits == 8) {
    *reinterpret_cast<uint32_t*>(to) = word;
  } else if (kBits == 4) {
    *reinterpret_cast<uint16_t*>(to) = static_cast<uint16_t>(word);
  } else {
    *to = static_cast<uint8_t>(word);
  }
}
template <int kBits>
__device__ __forceinline__ int32_t integer_of(uint32_t quad, int j) {
  return static_cast<int32_t>(quad << (32 - kBits * (j + 1))) >> (32 - kBits);
}
template <int kBits>
__device__ __forceinline__ uint32_t quad_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  constexpr uint32_t mask = (1u << kBits) - 1;
  return (static_cast<uint32_t>(a) & mask) | (static_cast<uint32_t>(b) & mask) << kBits |
         (static_cast<uint32_t>(c) & mask) << 2 * kBits | (static_cast<uint32_t>(d) & mask) << 3 * kBits;
}

// The half-words of elements i .. i + 3, by pairs; half a block of Philox.
struct HalfWords {
  uint32_t pairs[2];
  __device__ __forceinline__ uint32_t of(unsigned j) const {
    return codecs::IntBlock<8>::half_word(pairs[j / 2], j);
  }
};
template <int kBits>
__device__ __forceinline__ HalfWords half_words(const CodecKey& key, size_t i) {
  const uint64_t element = key.first + i;
  const prng::Words words = codecs::IntBlock<kBits>::draw(key, element);
  const bool upper = (element & 4) != 0;
  return {{upper ? words.word[2] : words.word[0], upper ? words.word[3] : words.word[1]}};
}

template <int kBits>
__device__ __forceinline__ float scale_of(const CodecOptions& options, const uint8_t* wire, size_t at,
                                          size_t elements) {
  using Block = codecs::IntBlock<kBits>;
  return Block::scale_of_word(Block::pow2(options),
                              Block::load_scale(options, wire + Block::scale_at(options, at, elements)));
}
template <int kBits>
__device__ __forceinline__ float4 decoded_quad(const CodecOptions& options, const uint8_t* wire, size_t i,
                                               size_t elements) {
  using Block = codecs::IntBlock<kBits>;
  const uint32_t quad = load_quad<kBits>(wire, i, elements);
  const float scale = scale_of<kBits>(options, wire, i, elements);
  return make_float4(
      Block::decode(integer_of<kBits>(quad, 0), scale), Block::decode(integer_of<kBits>(quad, 1), scale),
      Block::decode(integer_of<kBits>(quad, 2), scale), Block::decode(integer_of<kBits>(quad, 3), scale));
}

// source[i .. i + 3]; 0 behind the end.
__device__ __forceinline__ float4 float_quad(const float* source, size_t i, size_t elements) {
  if (i + 4 <= elements) return *reinterpret_cast<const float4*>(source + i);
  return make_float4(source[i], i + 1 < elements ? source[i + 1] : 0.0f,
                     i + 2 < elements ? source[i + 2] : 0.0f, 0.0f);
}
__device__ __forceinline__ void store_floats(float* target, size_t i, size_t elements, float4 x) {
  if (i + 4 <= elements) {
    *reinterpret_cast<float4*>(target + i) = x;
    return;
  }
  target[i] = x.x;
  if (i + 1 < elements) target[i + 1] = x.y;
  if (i + 2 < elements) target[i + 2] = x.z;
}
__device__ __forceinline__ float4 sum_quad(float4 a, float4 b) {
  return make_float4(exact::canonical(exact::add(a.x, b.x)), exact::canonical(exact::add(a.y, b.y)),
                     exact::canonical(exact::add(a.z, b.z)), exact::canonical(exact::add(a.w, b.w)));
}

}  // namespace

// Of int_block_sums.cu, for scale=pow2.
template <int kBits>
int int_block_mean(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
                   uint32_t ranks, size_t elements, uint8_t* wire, DeviceStream stream);
template <int kBits>
int int_block_accumulate(const CodecOptions& options, const CodecKey& key, const uint8_t* wire,
                         size_t elements, uint8_t* sum, void* scratch, DeviceStream stream);
template <int kBits>
int int_block_finish(const CodecOptions& options, const CodecKey& key, const uint8_t* sum, uint32_t ranks,
                     size_t elements, uint8_t* wire, void* scratch, DeviceStream stream);

}  // namespace gradmesh::cuda
