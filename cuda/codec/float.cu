// The twins of fp32, bf16 and fp16: four elements to a thread at a time.
#include "codec/bf16.h"
#include "codec/fp16.h"
#include "codec/fp32.h"
#include "codec/options.h"
#include "launch.h"
#include "table.h"

namespace gradmesh::cuda {
namespace {

// ---- helpers ----

constexpr unsigned kThreads = 256;
constexpr unsigned kQuads = 4;  // of elements, in flight together
constexpr unsigned kTile = kThreads * 4 * kQuads;

struct Quad {
  uint32_t x[4];  // the bits of floats: a register for floats could quiet a NaN
};
__device__ __forceinline__ Quad load_floats(const float* source, size_t i, size_t count) {
  Quad result = {{0, 0, 0, 0}};
  const uint32_t* const words = reinterpret_cast<const uint32_t*>(source);
  if (count == 4) {
    const uint4 four = *reinterpret_cast<const uint4*>(words + i);
    return {{four.x, four.y, four.z, four.w}};
  }
#pragma unroll
  for (unsigned n = 0; n < 4; n++)
    if (n < count) result.x[n] = words[i + n];
  return result;
}
__device__ __forceinline__ void store_floats(const Quad& quad, float* target, size_t i, size_t count) {
  uint32_t* const words = reinterpret_cast<uint32_t*>(target);
  if (count == 4) {
    *reinterpret_cast<uint4*>(words + i) = make_uint4(quad.x[0], quad.x[1], quad.x[2], quad.x[3]);
    return;
  }
#pragma unroll
  for (unsigned n = 0; n < 4; n++)
    if (n < count) words[i + n] = quad.x[n];
}
// The wire's words, not yet decoded, and back.
template <class Codec>
__device__ __forceinline__ Quad load_words(const uint8_t* wire, size_t i, size_t count) {
  using Wire = typename Codec::Wire;
  if (sizeof(Wire) == 4) return load_floats(reinterpret_cast<const float*>(wire), i, count);
  const uint16_t* const words = reinterpret_cast<const uint16_t*>(wire);
  if (count == 4) {
    const uint2 pair = *reinterpret_cast<const uint2*>(words + i);
    return {{pair.x & 0xffffu, pair.x >> 16, pair.y & 0xffffu, pair.y >> 16}};
  }
  Quad result = {{0, 0, 0, 0}};
#pragma unroll
  for (unsigned n = 0; n < 4; n++)
    if (n < count) result.x[n] = words[i + n];
  return result;
}
template <class Codec>
__device__ __forceinline__ void store_words(const Quad& quad, uint8_t* wire, size_t i, size_t count) {
  using Wire = typename Codec::Wire;
  if (sizeof(Wire) == 4) return store_floats(quad, reinterpret_cast<float*>(wire), i, count);
  uint16_t* const words = reinterpret_cast<uint16_t*>(wire);
  if (count == 4) {
    *reinterpret_cast<uint2*>(words + i) =
        make_uint2(quad.x[0] | quad.x[1] << 16, quad.x[2] | quad.x[3] << 16);
    return;
  }
#pragma unroll
  for (unsigned n = 0; n < 4; n++)
    if (n < count) words[i + n] = static_cast<uint16_t>(quad.x[n]);
}
template <class Codec>
__device__ __forceinline__ Quad load_decoded(const uint8_t* wire, size_t i, size_t count) {
  Quad quad = load_words<Codec>(wire, i, count);
#pragma unroll
  for (unsigned n = 0; n < 4; n++) quad.x[n] = Codec::decode(static_cast<typename Codec::Wire>(quad.x[n]));
  return quad;
}
__device__ __forceinline__ uint32_t sum_bits(uint32_t a, uint32_t b) {
  return exact::bits(exact::canonical(exact::add(exact::from_bits(a), exact::from_bits(b))));
}
__device__ __forceinline__ Quad sum(Quad a, const Quad& b) {
#pragma unroll
  for (unsigned n = 0; n < 4; n++) a.x[n] = sum_bits(a.x[n], b.x[n]);
  return a;
}

// What a kernel makes of elements i to i + 3, as bits of floats.
struct Plain {
  const float* source;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    return load_floats(source, i, count);
  }
};
template <class Codec>
struct Decoded {
  const uint8_t* wire;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    return load_decoded<Codec>(wire, i, count);
  }
};
template <class Codec>
struct Added {
  const uint8_t* wire;
  const float* source;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    return sum(load_floats(source, i, count), load_decoded<Codec>(wire, i, count));
  }
};
// By rank.
template <class Codec>
struct Mean {
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    Quad total = load_decoded<Codec>(wires, i, count);
    for (uint32_t rank = 1; rank < ranks; rank++)
      total = sum(total, load_decoded<Codec>(wires + rank * stride, i, count));
    const float divisor = static_cast<float>(ranks);
#pragma unroll
    for (unsigned n = 0; n < 4; n++)
      total.x[n] = exact::bits(exact::canonical(exact::div(exact::from_bits(total.x[n]), divisor)));
    return total;
  }
};
// fp16's, exact in doubles up to codecs::fp16::kDoublesMost; rounded to odd.
template <>
struct Mean<codecs::fp16> {
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    double sums[4] = {-0.0, -0.0, -0.0, -0.0};
    for (uint32_t rank = 0; rank < ranks; rank++) {
      const Quad quad = load_decoded<codecs::fp16>(wires + rank * stride, i, count);
#pragma unroll
      for (unsigned n = 0; n < 4; n++) sums[n] = sums[n] + static_cast<double>(exact::from_bits(quad.x[n]));
    }
    Quad result;
#pragma unroll
    for (unsigned n = 0; n < 4; n++)
      result.x[n] = codecs::round_to_odd::quotient(sums[n], static_cast<double>(ranks));
    return result;
  }
};
__device__ __forceinline__ size_t existing(size_t i, size_t elements) {
  return i >= elements ? 0 : elements - i < 4 ? elements - i : 4;
}

// ---- kernels ----

template <class Codec, class Source>
__global__ void __launch_bounds__(kThreads) encode_kernel(Source source, size_t elements, uint8_t* wire) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kTile + 4 * threadIdx.x;
  Quad quad[kQuads];
#pragma unroll
  for (unsigned q = 0; q < kQuads; q++) {
    const size_t i = first + q * 4 * kThreads;
    quad[q] = source(i, existing(i, elements));
  }
#pragma unroll
  for (unsigned q = 0; q < kQuads; q++) {
    const size_t i = first + q * 4 * kThreads;
#pragma unroll
    for (unsigned n = 0; n < 4; n++) quad[q].x[n] = Codec::encode(quad[q].x[n]);
    store_words<Codec>(quad[q], wire, i, existing(i, elements));
  }
}

template <class Source>
__global__ void __launch_bounds__(kThreads) decode_kernel(Source source, size_t elements, float* target) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kTile + 4 * threadIdx.x;
  Quad quad[kQuads];
#pragma unroll
  for (unsigned q = 0; q < kQuads; q++) {
    const size_t i = first + q * 4 * kThreads;
    quad[q] = source(i, existing(i, elements));
  }
#pragma unroll
  for (unsigned q = 0; q < kQuads; q++) {
    const size_t i = first + q * 4 * kThreads;
    store_floats(quad[q], target, i, existing(i, elements));
  }
}

// fp16's sums in integers, an element a thread.
__global__ void __launch_bounds__(kThreads)
    fp16_accumulate_kernel(const uint16_t* wire, size_t elements, int64_t* sums) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < elements) sums[i] = codecs::fp16::add(sums[i], wire[i]);
}
__global__ void __launch_bounds__(kThreads)
    fp16_finish_kernel(const int64_t* sums, uint32_t ranks, size_t elements, uint16_t* wire) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < elements) wire[i] = codecs::fp16::finish(sums[i], ranks);
}
__global__ void __launch_bounds__(kThreads)
    fp16_mean_kernel(const uint8_t* wires, size_t stride, uint32_t ranks, size_t elements, uint16_t* wire) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= elements) return;
  int64_t sum = 0;
  for (uint32_t rank = 0; rank < ranks; rank++)
    sum = codecs::fp16::add(sum, reinterpret_cast<const uint16_t*>(wires + rank * stride)[i]);
  wire[i] = codecs::fp16::finish(sum, ranks);
}

// ---- launchers ----

template <class Codec>
struct Launchers {
  template <class Source>
  static int launch_encode(const Source& source, size_t elements, uint8_t* wire, DeviceStream stream) {
    if (elements == 0) return cudaSuccess;
    return LAUNCH((encode_kernel<Codec, Source>), blocks_for(elements, kTile), kThreads, 0, stream, source,
                  elements, wire);
  }
  template <class Source>
  static int launch_decode(const Source& source, size_t elements, float* target, DeviceStream stream) {
    if (elements == 0) return cudaSuccess;
    return LAUNCH(decode_kernel<Source>, blocks_for(elements, kTile), kThreads, 0, stream, source, elements,
                  target);
  }
  static int encode(const CodecOptions&, const CodecKey&, const float* source, size_t elements, uint8_t* wire,
                    void*, DeviceStream stream) {
    return launch_encode(Plain{source}, elements, wire, stream);
  }
  static int decode(const CodecOptions&, const CodecKey&, const uint8_t* wire, size_t elements, float* target,
                    void*, DeviceStream stream) {
    return launch_decode(Decoded<Codec>{wire}, elements, target, stream);
  }
  // A thread writes only what it has read itself.
  static int decode_add(const CodecOptions&, const CodecKey&, const uint8_t* wire, size_t elements,
                        float* target, void*, DeviceStream stream) {
    return launch_decode(Added<Codec>{wire, target}, elements, target, stream);
  }
  static int decode_add_encode(const CodecOptions&, const CodecKey&, const CodecKey&, const uint8_t* wire,
                               const float* source, size_t elements, uint8_t* result, void*,
                               DeviceStream stream) {
    return launch_encode(Added<Codec>{wire, source}, elements, result, stream);
  }
  static int mean(const CodecOptions&, const CodecKey&, const uint8_t* wires, size_t stride, uint32_t ranks,
                  size_t elements, uint8_t* wire, void*, DeviceStream stream) {
    return launch_encode(Mean<Codec>{wires, stride, ranks}, elements, wire, stream);
  }
};

int fp16_mean(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
              uint32_t ranks, size_t elements, uint8_t* wire, void* scratch, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  if (ranks <= codecs::fp16::kDoublesMost)
    return Launchers<codecs::fp16>::mean(options, key, wires, stride, ranks, elements, wire, scratch, stream);
  return LAUNCH(fp16_mean_kernel, blocks_for(elements, kThreads), kThreads, 0, stream, wires, stride, ranks,
                elements, reinterpret_cast<uint16_t*>(wire));
}
int fp16_accumulate(const CodecOptions&, const CodecKey&, const uint8_t* wire, size_t elements, uint8_t* sum,
                    void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(fp16_accumulate_kernel, blocks_for(elements, kThreads), kThreads, 0, stream,
                reinterpret_cast<const uint16_t*>(wire), elements, reinterpret_cast<int64_t*>(sum));
}
int fp16_finish(const CodecOptions&, const CodecKey&, const uint8_t* sum, uint32_t ranks, size_t elements,
                uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(fp16_finish_kernel, blocks_for(elements, kThreads), kThreads, 0, stream,
                reinterpret_cast<const int64_t*>(sum), ranks, elements, reinterpret_cast<uint16_t*>(wire));
}

template <class Codec>
constexpr DeviceCodecLoops float_loops() {
  using Each = Launchers<Codec>;
  return {Each::encode, Each::decode, Each::decode_add, Each::decode_add_encode,
          Each::mean,   nullptr,      nullptr,          nullptr};
}

}  // namespace

extern const DeviceCodecLoops fp32_loops, bf16_loops, fp16_loops;
const DeviceCodecLoops fp32_loops = float_loops<codecs::fp32>();
const DeviceCodecLoops bf16_loops = float_loops<codecs::bf16>();
const DeviceCodecLoops fp16_loops = {Launchers<codecs::fp16>::encode,
                                     Launchers<codecs::fp16>::decode,
                                     Launchers<codecs::fp16>::decode_add,
                                     Launchers<codecs::fp16>::decode_add_encode,
                                     fp16_mean,
                                     fp16_accumulate,
                                     fp16_finish,
                                     nullptr};

}  // namespace gradmesh::cuda
