// What a codec is told: its options, fixed for a run, and the key of one call. Plain data that CPU loops and
// CUDA kernels take alike.
#pragma once
#include <cstdint>

#include "base/prng.h"

namespace gradmesh {

// Choices are indices into the names that codecs.def gives; enum order and name order are the same.
enum class BlockScale : uint32_t { pow2, fp32 };
enum class Rounding : uint32_t { nearest, stochastic };
enum class Values : uint32_t { fp32, int8, sign, int2 };
enum class Basis : uint32_t { power, shared };

// Every option of every codec; a codec reads those that codecs.def lists for it, the others are 0.
struct CodecOptions {
  uint32_t block;     // elements that share a scale, or among which the largest are kept
  uint32_t scale;     // BlockScale
  uint32_t rounding;  // Rounding
  uint32_t k;         // kept of a block or tile
  uint32_t values;    // Values: how kept elements are coded
  uint32_t kept_ppm;  // elements kept, in parts per million
  uint32_t bits;      // a coded element
  uint32_t rank;      // columns of the factors
  uint32_t rows;      // of the matrix
  uint32_t columns;   // of the matrix
  uint32_t basis;     // Basis
};

// What random numbers are keyed by besides the option values. A codec without any ignores it.
struct CodecKey {
  uint64_t seed;   // the run's
  uint64_t step;   // the round or inner step, below 2^32
  uint64_t first;  // the index in the tensor of the call's first element, a multiple of the codec's block
  uint32_t
      rank;  // who codes: 0.., or kMeanRank for the mean of all; where all must draw alike it takes no part
};
inline constexpr uint32_t kMeanRank = 0xffff;

// What a codec with these options is; each row's definition says it.
struct CodecTraits {
  uint32_t block_elements = 1;  // chunks and segments are cut at multiples of it
  bool identity = false;        // the wire is the float32 elements themselves
  bool linear = false;          // wires are float32 words whose sums decode to the sum
  bool unbiased = false;        // E[decode(encode(x))] = x
  bool contractive = false;     // |x - decode(encode(x))| <= (1 - d)|x|: the kind that error feedback accepts
  bool exact_sum = false;       // mean() is exact in integers, free of order
};

// Every use of random numbers draws from a stream of its own.
enum class Draw : uint32_t { rounding = 1, mask = 2, signs = 3, basis = 4 };

// The stream of one use: what is drawn, in which step, by whom.
HD uint64_t codec_stream(Draw draw, uint64_t step, uint32_t rank) {
  return (uint64_t)draw << 56 | (uint64_t)(rank & 0xffffu) << 32 | (step & 0xffffffffu);
}

}  // namespace gradmesh
