// The twin of sign1. Encoding: sixteen threads to a block, each one lane of the written sum, so that a warp
// reads whole lines and its ballots are the signs. Decoding: four elements to a thread.
#include "codec/kept_values.h"
#include "codec/sign1.h"

namespace gradmesh::cuda {
namespace {

using codecs::sign1;

// ---- helpers ----

constexpr unsigned kLanes = 16;                    // of the tree
constexpr unsigned kThreads = 128;                 // 8 blocks of elements
constexpr unsigned kAtOnce = 16;                   // groups whose loads are in flight together
constexpr unsigned kQuads = 4;                     // of elements, in flight together
constexpr unsigned kTile = kThreads * 4 * kQuads;  // elements of a thread block that decodes

__device__ __forceinline__ uint32_t load_word(const uint8_t* from) {
  return from[0] | static_cast<uint32_t>(from[1]) << 8 | static_cast<uint32_t>(from[2]) << 16 |
         static_cast<uint32_t>(from[3]) << 24;
}
__device__ __forceinline__ float decoded(const CodecOptions& options, const uint8_t* wire, size_t i,
                                         size_t elements) {
  const uint32_t scale = load_word(wire + sign1::scale_at(options, i, elements));
  return exact::from_bits(sign1::decode(wire[i / 8] >> i % 8 & 1u, scale));
}

// What is coded, by element.
struct Plain {
  const float* source;
  __device__ __forceinline__ float operator()(size_t i) const { return source[i]; }
};
struct Hop {
  CodecOptions options;
  const uint8_t* wire;
  const float* source;
  size_t elements;
  __device__ __forceinline__ float operator()(size_t i) const {
    return exact::canonical(exact::add(source[i], decoded(options, wire, i, elements)));
  }
};
struct Mean {
  CodecOptions options;
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  size_t elements;
  __device__ __forceinline__ float operator()(size_t i) const {
    float sum = decoded(options, wires, i, elements);
    for (uint32_t rank = 1; rank < ranks; rank++)
      sum = exact::canonical(exact::add(sum, decoded(options, wires + rank * stride, i, elements)));
    return exact::canonical(exact::div(sum, static_cast<float>(ranks)));
  }
};

// Lane 0's level[0] of tree::fold, in all of the sixteen.
__device__ __forceinline__ float fold(float lane) {
  for (int width = kLanes / 2; width > 0; width /= 2)
    lane = exact::add(lane, __shfl_down_sync(kEvery, lane, width, 16));
  return __shfl_sync(kEvery, lane, 0, 16);
}

// The sum did not come out finite in one of the warp's two blocks: the definition's other cases.
template <class Source>
__device__ __forceinline__ float rare_scale(const Source& x, size_t at, size_t count, float sum) {
  float lane = 0.0f;
  bool bad = false;
  for (size_t i = threadIdx.x % kLanes; i < count; i += kLanes) {
    const float value = x(at + i);
    bad = bad || !sign1::finite(value);
    lane = exact::add(lane, exact::mul(exact::magnitude(value), sign1::kShrink));
  }
  const uint32_t mine = 0xffffu << (threadIdx.x & kLanes);
  const bool any_bad = (__ballot_sync(kEvery, bad) & mine) != 0;
  const float shrunk = fold(lane);
  if (sign1::finite(sum)) return sign1::mean_of(sum, count);
  return any_bad ? exact::from_bits(exact::kNan) : sign1::mean_of_shrunk(shrunk, count);
}

// ---- kernels ----

template <class Source>
__global__ void __launch_bounds__(kThreads)
    sign1_encode_kernel(CodecOptions options, Source x, size_t elements, uint8_t* wire) {
  const unsigned lane = threadIdx.x % kLanes, half = threadIdx.x & kLanes;
  const size_t at = (static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kLanes * options.block;
  const size_t count = at >= elements ? 0 : elements - at < options.block ? elements - at : options.block;
  float sum = 0.0f;
  for (unsigned first = 0; first < options.block; first += kLanes * kAtOnce) {
    float value[kAtOnce];
#pragma unroll
    for (unsigned g = 0; g < kAtOnce; g++) {
      const size_t i = first + g * kLanes + lane;
      value[g] = i < count ? x(at + i) : 0.0f;
    }
    uint32_t signs = 0;  // of group `lane`
#pragma unroll
    for (unsigned g = 0; g < kAtOnce; g++) {
      sum = exact::add(sum, exact::magnitude(value[g]));
      const uint32_t ballot = __ballot_sync(kEvery, sign1::sign(value[g]) != 0);
      if (lane == g) signs = ballot >> half & 0xffffu;
    }
    const size_t byte = first + lane * kLanes;  // of the block, in elements
    if (byte + 8 < count)                       // at an even address, as blocks are multiples of 64
      *reinterpret_cast<uint16_t*>(wire + (at + byte) / 8) = static_cast<uint16_t>(signs);
    else if (byte < count)
      wire[(at + byte) / 8] = static_cast<uint8_t>(signs);
  }
  sum = fold(sum);
  float scale = sign1::mean_of(sum, count);
  if (__any_sync(kEvery, !sign1::finite(sum)) != 0) scale = rare_scale(x, at, count, sum);
  if (lane == 0 && count > 0) store_word(wire + sign1::scale_at(options, at, elements), exact::bits(scale));
}

template <bool adds>
__global__ void __launch_bounds__(kThreads)
    sign1_decode_kernel(CodecOptions options, const uint8_t* wire, size_t elements, float* target) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kTile + 4 * threadIdx.x;
#pragma unroll
  for (unsigned quad = 0; quad < kQuads; quad++) {
    const size_t i = first + quad * 4 * kThreads;
    if (i + 4 <= elements) {
      const uint32_t scale = load_word(wire + sign1::scale_at(options, i, elements));
      const uint32_t signs = static_cast<uint32_t>(wire[i / 8]) >> i % 8;
      float4* to = reinterpret_cast<float4*>(target + i);
      float4 value = make_float4(exact::from_bits(sign1::decode(signs & 1u, scale)),
                                 exact::from_bits(sign1::decode(signs >> 1 & 1u, scale)),
                                 exact::from_bits(sign1::decode(signs >> 2 & 1u, scale)),
                                 exact::from_bits(sign1::decode(signs >> 3 & 1u, scale)));
      if (adds) {
        const float4 before = *to;
        value = make_float4(
            exact::canonical(exact::add(before.x, value.x)), exact::canonical(exact::add(before.y, value.y)),
            exact::canonical(exact::add(before.z, value.z)), exact::canonical(exact::add(before.w, value.w)));
      }
      *to = value;
    } else {
      for (size_t j = i; j < elements; j++)
        write_decoded<adds>(target + j, exact::bits(decoded(options, wire, j, elements)));
    }
  }
}

// ---- launchers ----

template <class Source>
int launch_encode(const CodecOptions& options, const Source& x, size_t elements, uint8_t* wire,
                  DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const unsigned grid = blocks_for(elements, size_t{kThreads / kLanes} * options.block);
  return LAUNCH(sign1_encode_kernel<Source>, grid, kThreads, 0, stream, options, x, elements, wire);
}
int encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements, uint8_t* wire,
           void*, DeviceStream stream) {
  return launch_encode(options, Plain{source}, elements, wire, stream);
}
int decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&, const uint8_t* wire,
                      const float* source, size_t elements, uint8_t* result, void*, DeviceStream stream) {
  return launch_encode(options, Hop{options, wire, source, elements}, elements, result, stream);
}
int mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride, uint32_t ranks,
         size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  return launch_encode(options, Mean{options, wires, stride, ranks, elements}, elements, wire, stream);
}
int decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements, float* target,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(sign1_decode_kernel<false>, blocks_for(elements, kTile), kThreads, 0, stream, options, wire,
                elements, target);
}
int decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
               float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(sign1_decode_kernel<true>, blocks_for(elements, kTile), kThreads, 0, stream, options, wire,
                elements, target);
}

}  // namespace

extern const DeviceCodecLoops sign1_loops;
const DeviceCodecLoops sign1_loops = {encode, decode,  decode_add, decode_add_encode,
                                      mean,   nullptr, nullptr,    nullptr};

}  // namespace gradmesh::cuda
