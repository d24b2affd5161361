// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): random numbers that are
// a pure function of (seed, stream, element). So they are the same in C++, CUDA and TypeScript
// (lib/base/random.ts), whatever the order, the threads or the devices that compute them. Give every use a
// stream of its own: words, uniforms and normals of one stream are made of the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

#ifndef HD  // the same text as in numeric/exact.h, which is a later room
#if defined(__CUDACC__)
#define HD static __host__ __device__ __forceinline__
#else
#define HD static inline __attribute__((always_inline))
#endif
#endif

namespace prng {

struct Words {
  uint32_t word[4];
};

// Ten rounds; counter and key as in the paper.
HD Words philox(Words counter, uint32_t key_low, uint32_t key_high) {
  for (int round = 0; round < 10; round++) {
    const uint64_t a = static_cast<uint64_t>(counter.word[0]) * 0xd2511f53u;
    const uint64_t b = static_cast<uint64_t>(counter.word[2]) * 0xcd9e8d57u;
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ key_low, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ key_high, static_cast<uint32_t>(a)}};
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
  return counter;
}

// Block number `block` of a stream: the key is the seed, the counter is (block, stream), each low word first.
HD Words block(uint64_t seed, uint64_t stream, uint64_t block) {
  const Words counter = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                          static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}};
  return philox(counter, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// 32 random bits: word element mod 4 of block element / 4.
HD uint32_t bits(uint64_t seed, uint64_t stream, uint64_t element) {
  return block(seed, stream, element / 4).word[element % 4];
}

// [0, 1) in steps of 2^-24: the upper 24 bits of a word. Exact.
HD float uniform_of(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
HD float uniform(uint64_t seed, uint64_t stream, uint64_t element) {
  return uniform_of(bits(seed, stream, element));
}

// A normal deviate of mean 0: the sum of the 12 uniforms of blocks 3 element .. 3 element + 2, less 6, times
// `deviation` (Irwin-Hall; within 6 deviations, tails lighter than normal from about 3 on). The sum is an
// integer in units of 2^-24, so it has no order; it is rounded once to float, and once more by the product.
HD float normal(uint64_t seed, uint64_t stream, uint64_t element, float deviation) {
  int32_t sum = -(6 << 24);
  for (uint64_t i = 0; i < 3; i++) {
    const Words words = block(seed, stream, 3 * element + i);
    for (int j = 0; j < 4; j++) sum += static_cast<int32_t>(words.word[j] >> 8);
  }
  return static_cast<float>(sum) * 0x1p-24f * deviation;
}

}  // namespace prng

namespace gradmesh {

// target[i] = the value of element first + i.
void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, float* target, size_t elements);
void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, float deviation, float* target,
                 size_t elements);

}  // namespace gradmesh
