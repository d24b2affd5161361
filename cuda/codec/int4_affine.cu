// The twin of int4_affine: encoding by groups of lanes, decoding four quads a thread.
#include "codec/int4_affine.h"
#include "codec/int_groups.h"

namespace gradmesh::cuda {
namespace {

using codecs::int4_affine;

// ---- helpers ----

constexpr unsigned kDecodeQuads = 4;  // in flight together
constexpr unsigned kDecodeTile = kIntThreads * 4 * kDecodeQuads;
constexpr unsigned kQuads = 2;  // of a lane: blocks have at most 256 elements

// A float32 at any address.
__device__ __forceinline__ float load_float(const uint8_t* at) {
  uint32_t word = 0;
  for (int i = 0; i < 4; i++) word |= static_cast<uint32_t>(at[i]) << 8 * i;
  return exact::from_bits(word);
}
__device__ __forceinline__ void store_float(uint8_t* at, float x) {
  for (int i = 0; i < 4; i++) at[i] = static_cast<uint8_t>(exact::bits(x) >> 8 * i);
}
__device__ __forceinline__ float4 affine_quad(const CodecOptions& options, const uint8_t* wire, size_t i,
                                              size_t elements) {
  const uint32_t quad = load_quad<4>(wire, i, elements);
  const uint8_t* at = wire + int4_affine::scale_at(options, i, elements);
  const float offset = load_float(at), scale = load_float(at + 4);
  return make_float4(int4_affine::decode(quad & 15, offset, scale),
                     int4_affine::decode(quad >> 4 & 15, offset, scale),
                     int4_affine::decode(quad >> 8 & 15, offset, scale),
                     int4_affine::decode(quad >> 12 & 15, offset, scale));
}

// What is coded, by quads.
struct Plain {
  const float* source;
  size_t elements;
  __device__ __forceinline__ float4 operator()(size_t i) const { return float_quad(source, i, elements); }
};
struct Hop {
  CodecOptions options;
  const uint8_t* wire;
  const float* source;
  size_t elements;
  __device__ __forceinline__ float4 operator()(size_t i) const {
    return sum_quad(float_quad(source, i, elements), affine_quad(options, wire, i, elements));
  }
};
struct Mean {
  CodecOptions options;
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  size_t elements;
  __device__ __forceinline__ float over(float sum) const {
    return exact::canonical(exact::div(sum, static_cast<float>(ranks)));
  }
  __device__ __forceinline__ float4 operator()(size_t i) const {
    float4 sum = affine_quad(options, wires, i, elements);
    for (uint32_t rank = 1; rank < ranks; rank++)
      sum = sum_quad(sum, affine_quad(options, wires + rank * stride, i, elements));
    return make_float4(over(sum.x), over(sum.y), over(sum.z), over(sum.w));
  }
};

// The largest key of the elements of a quad that are among the `left` ones there are, and the complement of
// the smallest, so that both are maxima.
__device__ __forceinline__ void widen(float4 x, size_t left, int32_t* most, int32_t* least_complement) {
  const float values[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
  for (unsigned j = 0; j < 4; j++) {
    if (j >= left) continue;
    const int32_t key = order::key(values[j]);
    *most = max(*most, key);
    *least_complement = max(*least_complement, ~key);
  }
}

// ---- kernels ----

template <class Source>
__global__ void __launch_bounds__(kIntThreads)
    affine_encode_kernel(CodecOptions options, unsigned lanes, Source x, size_t elements, uint8_t* wire) {
  const Group group = group_of(options.block, lanes, elements);
  float4 values[kQuads];
  int32_t most = order::kLowest, least_complement = order::kLowest;
#pragma unroll
  for (unsigned k = 0; k < kQuads; k++) {
    const size_t i = 4 * (group.lane + k * lanes);
    if (i >= group.count) continue;
    values[k] = x(group.at + i);
    widen(values[k], group.count - i, &most, &least_complement);
  }
  most = group_max(group, most);
  least_complement = group_max(group, least_complement);
  const int4_affine::Scale scale = int4_affine::scale_for(~least_complement, most);
  if (group.lane == 0 && group.count > 0) {
    uint8_t* at = wire + int4_affine::scale_at(options, group.at, elements);
    store_float(at, scale.offset);
    store_float(at + 4, scale.scale);
  }
  const float half = exact::mul(scale.offset, 0.5f);
#pragma unroll
  for (unsigned k = 0; k < kQuads; k++) {
    const size_t i = 4 * (group.lane + k * lanes);
    if (i >= group.count) continue;
    const float4 v = values[k];
    const uint32_t word = scale.factor == 0.0f ? 0
                                               : int4_affine::encode(v.x, half, scale.factor) |
                                                     int4_affine::encode(v.y, half, scale.factor) << 4 |
                                                     int4_affine::encode(v.z, half, scale.factor) << 8 |
                                                     int4_affine::encode(v.w, half, scale.factor) << 12;
    store_quad<4>(wire, group.at + i, elements, word);
  }
}

template <bool kAdds>
__global__ void __launch_bounds__(kIntThreads)
    affine_decode_kernel(CodecOptions options, const uint8_t* wire, size_t elements, float* target) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kDecodeTile + 4 * threadIdx.x;
  float4 values[kDecodeQuads];
#pragma unroll
  for (unsigned k = 0; k < kDecodeQuads; k++) {
    const size_t i = first + k * 4 * kIntThreads;
    if (i >= elements) continue;
    values[k] = affine_quad(options, wire, i, elements);
    if (kAdds) values[k] = sum_quad(float_quad(target, i, elements), values[k]);
  }
#pragma unroll
  for (unsigned k = 0; k < kDecodeQuads; k++) {
    const size_t i = first + k * 4 * kIntThreads;
    if (i < elements) store_floats(target, i, elements, values[k]);
  }
}

// ---- launchers ----

template <class Source>
int launch_encode(const CodecOptions& options, const Source& x, size_t elements, uint8_t* wire,
                  DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(affine_encode_kernel<Source>, grid_of(options.block, elements), kIntThreads, 0, stream,
                options, lanes_of(options.block), x, elements, wire);
}
int encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements, uint8_t* wire,
           void*, DeviceStream stream) {
  return launch_encode(options, Plain{source, elements}, elements, wire, stream);
}
int decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&, const uint8_t* wire,
                      const float* source, size_t elements, uint8_t* result, void*, DeviceStream stream) {
  return launch_encode(options, Hop{options, wire, source, elements}, elements, result, stream);
}
int mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride, uint32_t ranks,
         size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  return launch_encode(options, Mean{options, wires, stride, ranks, elements}, elements, wire, stream);
}
template <bool kAdds>
int decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements, float* target,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(affine_decode_kernel<kAdds>, blocks_for(elements, kDecodeTile), kIntThreads, 0, stream,
                options, wire, elements, target);
}

}  // namespace

extern const DeviceCodecLoops int4_affine_loops;
const DeviceCodecLoops int4_affine_loops = {encode, decode<false>, decode<true>, decode_add_encode,
                                            mean,   nullptr,       nullptr,      nullptr};

}  // namespace gradmesh::cuda
