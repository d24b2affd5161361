// The twins of e3m0 and nf4: a lane for every four elements of a block, up to a warp.
#include "codec/e3m0.h"
#include "codec/exact_twin.h"
#include "codec/nf4.h"

namespace gradmesh::cuda {
namespace {

using codecs::nf4;

// ---- helpers ----

struct Nf4Twin {
  using Codec = nf4;
  static constexpr unsigned kScaleBytes = 4, kLanes = 0;

  struct Scale {
    uint32_t bits;
    nf4::Scaling scaling;
  };
  static __device__ __forceinline__ Scale scale_of(uint32_t largest) {
    if (largest >= 0x7f800000u) return {exact::kNan, {0.0f, 0.0f}};
    return {largest, nf4::scaling(exact::from_bits(largest))};
  }
  static __device__ __forceinline__ uint32_t encode(float x, Scale scale) {
    if (scale.bits == exact::kNan) return nf4::kZeroCode;
    return nf4::encode(nf4::scaled(x, scale.scaling));
  }
  static __device__ __forceinline__ void store(Scale scale, uint8_t* to) {
    for (int i = 0; i < 4; i++) to[i] = static_cast<uint8_t>(scale.bits >> 8 * i);
  }

  using Unscale = float;
  static __device__ __forceinline__ float load(const uint8_t* from) {
    return exact::from_bits(from[0] | static_cast<uint32_t>(from[1]) << 8 |
                            static_cast<uint32_t>(from[2]) << 16 | static_cast<uint32_t>(from[3]) << 24);
  }
  static __device__ __forceinline__ float decode(uint32_t code, float scale) {
    return nf4::decode(nf4::value(code), scale);
  }
};

// Added by rank.
struct Nf4Mean {
  CodecOptions options;
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  size_t elements;
  __device__ __forceinline__ packed::Quad operator()(size_t i, size_t count) const {
    packed::Quad total = packed::decoded<Nf4Twin>(options, wires, i, count, elements);
    for (uint32_t rank = 1; rank < ranks; rank++)
      total =
          packed::sum(total, packed::decoded<Nf4Twin>(options, wires + rank * stride, i, count, elements));
#pragma unroll
    for (unsigned n = 0; n < 4; n++)
      total.x[n] = exact::canonical(exact::div(total.x[n], static_cast<float>(ranks)));
    return total;
  }
};

// ---- launchers ----

using Nf4 = packed::Launchers<Nf4Twin>;

int nf4_mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride,
             uint32_t ranks, size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  return Nf4::launch_encode(options, Nf4Mean{options, wires, stride, ranks, elements}, elements, wire,
                            stream);
}

}  // namespace

extern const DeviceCodecLoops e3m0_loops, nf4_loops;
const DeviceCodecLoops e3m0_loops = packed::exact_device_loops<packed::Pow2Twin<codecs::e3m0, 0>>();
const DeviceCodecLoops nf4_loops = {Nf4::encode, Nf4::decode, Nf4::decode_add, Nf4::decode_add_encode,
                                    nf4_mean,    nullptr,     nullptr,         nullptr};

}  // namespace gradmesh::cuda
