// What the twins of mx.cu and lookup.cu share: codecs of packed codes of 8 or 4 bits, then a scale a block. A
// group of lanes takes a block, four elements a lane at a time: 16 bytes of floats, and the codes of a warp
// side by side.
//
// Twin gives:
//   using Codec                                       the definition
//   kScaleBytes, kLanes                               lanes of a group, or 0: as the block's size has it
//   struct Scale; Scale scale_of(uint32_t largest)    what encodes a block whose largest magnitude has these
//   bits uint32_t encode(float x, Scale)                   a code void store(Scale, uint8_t* to) struct
//   Unscale; Unscale load(const uint8_t* from) what decodes a block float decode(uint32_t code, Unscale) a
//   number, NaN of a NaN block
#pragma once
#include "codec/options.h"
#include "launch.h"
#include "table.h"

namespace gradmesh::cuda::packed {

constexpr unsigned kThreads = 256, kWarp = 32, kEvery = 0xffffffffu;
constexpr unsigned kQuads = 4;  // of elements, in flight together
constexpr unsigned kDecodeTile = kThreads * 4 * kQuads;

struct Quad {
  float x[4];
};

template <class Codec>
__device__ __forceinline__ uint32_t code_at(const uint8_t* codes, size_t i) {
  return Codec::kBits == 8 ? codes[i] : codes[i / 2] >> i % 2 * 4 & 15u;
}
// Four codes from element i on, a multiple of 4, one a byte or one a nibble.
template <class Codec>
__device__ __forceinline__ uint32_t load_codes(const uint8_t* codes, size_t i) {
  if (Codec::kBits == 8) return *reinterpret_cast<const uint32_t*>(codes + i);
  return *reinterpret_cast<const uint16_t*>(codes + i / 2);
}
template <class Codec>
__device__ __forceinline__ uint32_t nth_code(uint32_t codes, unsigned n) {
  return codes >> n * Codec::kBits & ((1u << Codec::kBits) - 1);
}

// The place of the scale of the block that holds element i. Blocks are powers of two: a shift, where the
// compiler would divide 64 bits.
template <class Twin>
__device__ __forceinline__ size_t scale_at(const CodecOptions& options, size_t i, size_t elements) {
  using Codec = typename Twin::Codec;
  const int shift = 31 - __clz(static_cast<int>(Codec::block(options)));
  return Codec::code_bytes(elements) + (i >> shift) * Twin::kScaleBytes;
}
// Elements i to i + 3, of which the first `count` exist.
template <class Twin>
__device__ __forceinline__ Quad decoded(const CodecOptions& options, const uint8_t* wire, size_t i,
                                        size_t count, size_t elements) {
  using Codec = typename Twin::Codec;
  Quad result = {{0.0f, 0.0f, 0.0f, 0.0f}};
  if (count == 0) return result;
  const typename Twin::Unscale scale = Twin::load(wire + scale_at<Twin>(options, i, elements));
  if (count == 4) {
    const uint32_t codes = load_codes<Codec>(wire, i);
#pragma unroll
    for (unsigned n = 0; n < 4; n++) result.x[n] = Twin::decode(nth_code<Codec>(codes, n), scale);
  } else {
#pragma unroll
    for (unsigned n = 0; n < 4; n++)
      if (n < count) result.x[n] = Twin::decode(code_at<Codec>(wire, i + n), scale);
  }
  return result;
}
__device__ __forceinline__ Quad load_quad(const float* source, size_t i, size_t count) {
  if (count == 4) {
    const float4 four = *reinterpret_cast<const float4*>(source + i);
    return {{four.x, four.y, four.z, four.w}};
  }
  Quad result = {{0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll
  for (unsigned n = 0; n < 4; n++)
    if (n < count) result.x[n] = source[i + n];
  return result;
}
__device__ __forceinline__ Quad sum(Quad a, const Quad& b) {
#pragma unroll
  for (unsigned n = 0; n < 4; n++) a.x[n] = exact::canonical(exact::add(a.x[n], b.x[n]));
  return a;
}

// What is coded: four elements from i on.
struct Plain {
  const float* source;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    return load_quad(source, i, count);
  }
};
template <class Twin>
struct Hop {
  CodecOptions options;
  const uint8_t* wire;
  const float* source;
  size_t elements;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    return sum(load_quad(source, i, count), decoded<Twin>(options, wire, i, count, elements));
  }
};

__device__ __forceinline__ uint32_t largest_of(const Quad& quad, uint32_t largest) {
#pragma unroll
  for (unsigned n = 0; n < 4; n++) largest = max(largest, exact::bits(quad.x[n]) & 0x7fffffffu);
  return largest;
}
__device__ __forceinline__ uint32_t largest_of_group(uint32_t largest, unsigned lanes) {
  for (unsigned width = lanes / 2; width > 0; width /= 2)
    largest = max(largest, __shfl_xor_sync(kEvery, largest, static_cast<int>(width)));
  return largest;
}
template <class Twin>
__device__ __forceinline__ void store_quad(const Quad& quad, typename Twin::Scale scale, size_t i,
                                           size_t count, uint8_t* wire) {
  using Codec = typename Twin::Codec;
  uint32_t codes = 0;
#pragma unroll
  for (unsigned n = 0; n < 4; n++)
    if (n < count) codes |= Twin::encode(quad.x[n], scale) << n * Codec::kBits;
  if (count == 4) {
    if (Codec::kBits == 8)
      *reinterpret_cast<uint32_t*>(wire + i) = codes;
    else
      *reinterpret_cast<uint16_t*>(wire + i / 2) = static_cast<uint16_t>(codes);
  } else {
    const unsigned bytes = (static_cast<unsigned>(count) * Codec::kBits + 7) / 8;
    for (unsigned byte = 0; byte < bytes; byte++)
      wire[i * Codec::kBits / 8 + byte] = static_cast<uint8_t>(codes >> 8 * byte);
  }
}
__device__ __forceinline__ size_t existing(size_t i, size_t elements) {
  return i >= elements ? 0 : elements - i < 4 ? elements - i : 4;
}

// A block is `chunks` times what its group takes at once. Where that is one, kQuads blocks a group are in
// flight, and each element is read once; else each of several is read twice, the second time mostly from a
// cache.
template <class Twin, class Source>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(CodecOptions options, Source source, size_t elements, unsigned lanes_given, uint8_t* wire) {
  using Codec = typename Twin::Codec;
  const unsigned lanes = Twin::kLanes != 0 ? Twin::kLanes : lanes_given;
  const unsigned lane = threadIdx.x % lanes, groups = kThreads / lanes;
  const size_t block = Codec::block(options);
  const size_t first =
      (static_cast<size_t>(blockIdx.x) * kQuads * groups + threadIdx.x / lanes) * block + 4 * lane;
  if (4 * lanes == block) {
    Quad quad[kQuads];
#pragma unroll
    for (unsigned q = 0; q < kQuads; q++) {
      const size_t i = first + q * groups * block;
      quad[q] = source(i, existing(i, elements));
    }
#pragma unroll
    for (unsigned q = 0; q < kQuads; q++) {
      const size_t i = first + q * groups * block, count = existing(i, elements);
      const typename Twin::Scale scale = Twin::scale_of(largest_of_group(largest_of(quad[q], 0), lanes));
      if (count > 0) store_quad<Twin>(quad[q], scale, i, count, wire);
      if (count > 0 && lane == 0) Twin::store(scale, wire + scale_at<Twin>(options, i, elements));
    }
    return;
  }
  for (unsigned q = 0; q < kQuads; q++) {
    const size_t begin = first + q * groups * block;
    uint32_t largest = 0;
    for (size_t at = 0; at < block; at += 4 * lanes)
      largest = largest_of(source(begin + at, existing(begin + at, elements)), largest);
    const typename Twin::Scale scale = Twin::scale_of(largest_of_group(largest, lanes));
    for (size_t at = 0; at < block; at += 4 * lanes) {
      const size_t i = begin + at, count = existing(i, elements);
      if (count > 0) store_quad<Twin>(source(i, count), scale, i, count, wire);
    }
    if (lane == 0 && begin < elements) Twin::store(scale, wire + scale_at<Twin>(options, begin, elements));
  }
}

template <class Twin, bool adds>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(CodecOptions options, const uint8_t* wire, size_t elements, float* target) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kDecodeTile + 4 * threadIdx.x;
#pragma unroll
  for (unsigned q = 0; q < kQuads; q++) {
    const size_t i = first + q * 4 * kThreads, count = existing(i, elements);
    if (count == 0) continue;
    Quad quad = decoded<Twin>(options, wire, i, count, elements);
    if (adds) quad = sum(load_quad(target, i, count), quad);
    if (count == 4) {
      *reinterpret_cast<float4*>(target + i) = make_float4(quad.x[0], quad.x[1], quad.x[2], quad.x[3]);
    } else {
#pragma unroll
      for (unsigned n = 0; n < 4; n++)
        if (n < count) target[i + n] = quad.x[n];
    }
  }
}

// ---- launchers ----

template <class Twin>
struct Launchers {
  using Codec = typename Twin::Codec;

  template <class Source>
  static int launch_encode(const CodecOptions& options, const Source& source, size_t elements, uint8_t* wire,
                           DeviceStream stream) {
    if (elements == 0) return cudaSuccess;
    const size_t block = Codec::block(options);
    const unsigned lanes = static_cast<unsigned>(block / 4 < kWarp ? block / 4 : kWarp);
    const unsigned grid = blocks_for(elements, block * (kThreads / lanes) * kQuads);
    return LAUNCH((encode_kernel<Twin, Source>), grid, kThreads, 0, stream, options, source, elements, lanes,
                  wire);
  }
  static int encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements,
                    uint8_t* wire, void*, DeviceStream stream) {
    return launch_encode(options, Plain{source}, elements, wire, stream);
  }
  static int decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&,
                               const uint8_t* wire, const float* source, size_t elements, uint8_t* result,
                               void*, DeviceStream stream) {
    return launch_encode(options, Hop<Twin>{options, wire, source, elements}, elements, result, stream);
  }
  static int decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                    float* target, void*, DeviceStream stream) {
    if (elements == 0) return cudaSuccess;
    return LAUNCH((decode_kernel<Twin, false>), blocks_for(elements, kDecodeTile), kThreads, 0, stream,
                  options, wire, elements, target);
  }
  static int decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                        float* target, void*, DeviceStream stream) {
    if (elements == 0) return cudaSuccess;
    return LAUNCH((decode_kernel<Twin, true>), blocks_for(elements, kDecodeTile), kThreads, 0, stream,
                  options, wire, elements, target);
  }
};

}  // namespace gradmesh::cuda::packed
