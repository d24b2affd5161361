// The twins of int8_block, int4_block and int2_block: encoding by groups of lanes, decoding four quads a
// thread.
#include "codec/int_groups.h"

namespace gradmesh::cuda {
namespace {

using codecs::IntBlock;

// ---- helpers ----

constexpr unsigned kDecodeQuads = 4;  // in flight together
constexpr unsigned kDecodeTile = kIntThreads * 4 * kDecodeQuads;

// What is coded, by quads.
template <int kBits>
struct Plain {
  const float* source;
  size_t elements;
  __device__ __forceinline__ float4 operator()(size_t i) const { return float_quad(source, i, elements); }
};
template <int kBits>
struct Hop {
  CodecOptions options;
  const uint8_t* wire;
  const float* source;
  size_t elements;
  __device__ __forceinline__ float4 operator()(size_t i) const {
    return sum_quad(float_quad(source, i, elements), decoded_quad<kBits>(options, wire, i, elements));
  }
};
// Of scale=fp32: by rank.
template <int kBits>
struct FloatMean {
  CodecOptions options;
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  size_t elements;
  __device__ __forceinline__ float over(float sum) const {
    return exact::canonical(exact::div(sum, static_cast<float>(ranks)));
  }
  __device__ __forceinline__ float4 operator()(size_t i) const {
    float4 sum = decoded_quad<kBits>(options, wires, i, elements);
    for (uint32_t rank = 1; rank < ranks; rank++)
      sum = sum_quad(sum, decoded_quad<kBits>(options, wires + rank * stride, i, elements));
    return make_float4(over(sum.x), over(sum.y), over(sum.z), over(sum.w));
  }
};

template <int kBits>
__device__ __forceinline__ int32_t largest_of(float4 x, int32_t largest) {
  using Block = IntBlock<kBits>;
  return max(max(max(Block::magnitude(x.x), Block::magnitude(x.y)),
                 max(Block::magnitude(x.z), Block::magnitude(x.w))),
             largest);
}
template <int kBits>
__device__ __forceinline__ uint32_t quantized(const CodecOptions& options, const CodecKey& key, float4 x,
                                              size_t i, float inverse) {
  using Block = IntBlock<kBits>;
  if (inverse == 0.0f) return 0;
  if (!Block::stochastic(options))
    return quad_of<kBits>(Block::nearest(x.x, inverse), Block::nearest(x.y, inverse),
                          Block::nearest(x.z, inverse), Block::nearest(x.w, inverse));
  const HalfWords h = half_words<kBits>(key, i);
  return quad_of<kBits>(Block::stochastic(x.x, inverse, h.of(0)), Block::stochastic(x.y, inverse, h.of(1)),
                        Block::stochastic(x.z, inverse, h.of(2)), Block::stochastic(x.w, inverse, h.of(3)));
}

// ---- kernels ----

// A lane holds kQuads quads of its block, read together; a block that has more is read again to be coded.
template <int kBits, unsigned kQuads, class Source>
__global__ void __launch_bounds__(kIntThreads)
    int_encode_kernel(CodecOptions options, CodecKey key, unsigned lanes, Source x, size_t elements,
                      uint8_t* wire) {
  using Block = IntBlock<kBits>;
  const Group group = group_of(options.block, lanes, elements);
  const unsigned part = lanes * 4 * kQuads;  // elements read together
  float4 values[kQuads];
  int32_t largest = 0;
  for (size_t from = 4 * group.lane; from < options.block; from += part) {
#pragma unroll
    for (unsigned k = 0; k < kQuads; k++) {
      const size_t i = from + k * 4 * lanes;
      values[k] = i < group.count ? x(group.at + i) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
#pragma unroll
    for (unsigned k = 0; k < kQuads; k++) largest = largest_of<kBits>(values[k], largest);
  }
  const auto scale = Block::scale_for(Block::pow2(options), group_max(group, largest));
  if (group.lane == 0 && group.count > 0)
    Block::store_scale(options, wire + Block::scale_at(options, group.at, elements), scale.word);
  for (size_t from = 4 * group.lane; from < options.block; from += part) {
#pragma unroll
    for (unsigned k = 0; k < kQuads; k++) {
      const size_t i = from + k * 4 * lanes;
      if (i >= group.count) continue;
      const float4 value = options.block <= part ? values[k] : x(group.at + i);
      store_quad<kBits>(wire, group.at + i, elements,
                        quantized<kBits>(options, key, value, group.at + i, scale.inverse));
    }
  }
}

template <int kBits, bool kAdds>
__global__ void __launch_bounds__(kIntThreads)
    int_decode_kernel(CodecOptions options, const uint8_t* wire, size_t elements, float* target) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kDecodeTile + 4 * threadIdx.x;
  float4 values[kDecodeQuads];
#pragma unroll
  for (unsigned k = 0; k < kDecodeQuads; k++) {
    const size_t i = first + k * 4 * kIntThreads;
    if (i >= elements) continue;
    values[k] = decoded_quad<kBits>(options, wire, i, elements);
    if (kAdds) values[k] = sum_quad(float_quad(target, i, elements), values[k]);
  }
#pragma unroll
  for (unsigned k = 0; k < kDecodeQuads; k++) {
    const size_t i = first + k * 4 * kIntThreads;
    if (i < elements) store_floats(target, i, elements, values[k]);
  }
}

// ---- launchers ----

template <int kBits, class Source>
int launch_encode(const CodecOptions& options, const CodecKey& key, const Source& x, size_t elements,
                  uint8_t* wire, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const unsigned grid = grid_of(options.block, elements), lanes = lanes_of(options.block);
  if (options.block <= 128)
    return LAUNCH((int_encode_kernel<kBits, 1, Source>), grid, kIntThreads, 0, stream, options, key, lanes, x,
                  elements, wire);
  if (options.block == 256)
    return LAUNCH((int_encode_kernel<kBits, 2, Source>), grid, kIntThreads, 0, stream, options, key, lanes, x,
                  elements, wire);
  return LAUNCH((int_encode_kernel<kBits, 4, Source>), grid, kIntThreads, 0, stream, options, key, lanes, x,
                elements, wire);
}
template <int kBits>
int encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
           uint8_t* wire, void*, DeviceStream stream) {
  return launch_encode<kBits>(options, key, Plain<kBits>{source, elements}, elements, wire, stream);
}
template <int kBits>
int decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey& to, const uint8_t* wire,
                      const float* source, size_t elements, uint8_t* result, void*, DeviceStream stream) {
  return launch_encode<kBits>(options, to, Hop<kBits>{options, wire, source, elements}, elements, result,
                              stream);
}
template <int kBits>
int mean(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
         uint32_t ranks, size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  CodecKey to = key;
  to.rank = kMeanRank;
  if (IntBlock<kBits>::pow2(options))
    return int_block_mean<kBits>(options, to, wires, stride, ranks, elements, wire, stream);
  return launch_encode<kBits>(options, to, FloatMean<kBits>{options, wires, stride, ranks, elements},
                              elements, wire, stream);
}
template <int kBits, bool kAdds>
int decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements, float* target,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH((int_decode_kernel<kBits, kAdds>), blocks_for(elements, kDecodeTile), kIntThreads, 0, stream,
                options, wire, elements, target);
}

template <int kBits>
constexpr DeviceCodecLoops loops() {
  return {encode<kBits>, decode<kBits, false>,        decode<kBits, true>,     decode_add_encode<kBits>,
          mean<kBits>,   int_block_accumulate<kBits>, int_block_finish<kBits>, nullptr};
}

}  // namespace

extern const DeviceCodecLoops int8_block_loops, int4_block_loops, int2_block_loops;
const DeviceCodecLoops int8_block_loops = loops<8>();
const DeviceCodecLoops int4_block_loops = loops<4>();
const DeviceCodecLoops int2_block_loops = loops<2>();

}  // namespace gradmesh::cuda
