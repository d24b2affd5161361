// The twins of codecs with exact means in power-of-two scales (native/codec/exact_block.h), on top of
// packed_twin.h.
#pragma once
#include "codec/exact_block.h"
#include "codec/packed_twin.h"

namespace gradmesh::cuda::packed {

template <class Codec_, unsigned kLanes_>
struct Pow2Twin {
  using Codec = Codec_;
  static constexpr unsigned kScaleBytes = 1, kLanes = kLanes_;

  struct Scale {
    uint32_t byte;
    float inverse;
  };
  static __device__ __forceinline__ Scale scale_of(uint32_t largest) {
    const uint32_t byte = Codec::scale_byte(static_cast<int32_t>(largest));
    return {byte, byte == codecs::kNanByte ? 0.0f : codecs::inverse_scale_of(byte)};
  }
  static __device__ __forceinline__ uint32_t encode(float x, Scale scale) {
    return scale.byte == codecs::kNanByte ? 0 : Codec::encode(x, scale.inverse);
  }
  static __device__ __forceinline__ void store(Scale scale, uint8_t* to) {
    *to = static_cast<uint8_t>(scale.byte);
  }

  struct Unscale {
    uint32_t byte;
    float scale;
  };
  static __device__ __forceinline__ Unscale load(const uint8_t* from) {
    const uint32_t byte = *from;
    return {byte, codecs::scale_of(byte)};
  }
  static __device__ __forceinline__ float decode(uint32_t code, Unscale scale) {
    const float number = Codec::decode(code, scale.scale);
    return scale.byte == codecs::kNanByte ? exact::from_bits(exact::kNan) : number;
  }
};

// The mean of contributions, rounded to odd: in doubles where they are exact, else in integers.
template <class Twin>
struct ExactMean {
  using Codec = typename Twin::Codec;
  using Exact = codecs::ExactBlock<Codec>;

  CodecOptions options;
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  size_t elements;

  // Rare, and long: out of line, so that its registers are not everybody's.
  __device__ __attribute__((noinline)) float wide_mean(size_t i) const {
    codecs::Wide sum = codecs::Wide::zero();
    bool bad = false, negative = Codec::kSignedZero;
    for (uint32_t rank = 0; rank < ranks; rank++) {
      const uint8_t* wire = wires + rank * stride;
      const uint32_t byte = wire[scale_at<Twin>(options, i, elements)], code = code_at<Codec>(wire, i);
      const int64_t term = Codec::term(code);
      bad = bad || byte == codecs::kNanByte || Codec::special(code) || !Exact::finite(term, byte);
      if (bad) break;
      negative = negative && (code & Codec::kSign) != 0;
      const uint64_t magnitude = static_cast<uint64_t>(term < 0 ? -term : term);
      sum = codecs::Wide::sum(sum, codecs::Wide::shifted(magnitude, static_cast<int>(byte)), term < 0);
    }
    if (bad) return exact::from_bits(exact::kNan);
    if (codecs::Wide::bit_length(sum) == 0) return negative ? -0.0f : 0.0f;
    return exact::from_bits(codecs::round_to_odd::quotient(sum, ranks, Exact::kExponent));
  }
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    double sums[4] = {-0.0, -0.0, -0.0, -0.0};
    uint32_t least = 255, most = 0;  // scales of blocks with something in these elements
    for (uint32_t rank = 0; rank < ranks && count > 0; rank++) {
      const uint8_t* wire = wires + rank * stride;
      const Quad quad = decoded<Twin>(options, wire, i, count, elements);
      bool any = false;
#pragma unroll
      for (unsigned n = 0; n < 4; n++) {
        sums[n] = sums[n] + static_cast<double>(quad.x[n]);
        any = any || (exact::bits(quad.x[n]) & 0x7fffffffu) != 0;
      }
      const uint32_t byte = wire[scale_at<Twin>(options, i, elements)];
      if (any && byte != codecs::kNanByte) least = min(least, byte), most = max(most, byte);
    }
    const bool fits = Exact::fits(ranks, least < most ? most - least : 0);
    Quad result = {{0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll
    for (unsigned n = 0; n < 4; n++)
      if (n < count)
        result.x[n] =
            fits ? exact::from_bits(codecs::round_to_odd::quotient(sums[n], static_cast<double>(ranks)))
                 : wide_mean(i + n);
    return result;
  }
};

// The mean that accumulators hold, rounded to odd.
template <class Twin>
struct Accumulated {
  using Codec = typename Twin::Codec;
  using Exact = codecs::ExactBlock<Codec>;
  using Sum = typename Exact::Sum;

  CodecOptions options;
  const uint8_t* sum;
  uint32_t ranks;
  size_t elements;

  __device__ __attribute__((noinline)) float mean(size_t i) const {
    const size_t block = Codec::block(options), stride = Sum::row_bytes(elements) / 8;
    const uint64_t header = reinterpret_cast<const uint64_t*>(sum)[i / block];
    if ((header & Sum::kNan) != 0) return exact::from_bits(exact::kNan);
    const int64_t* limbs = reinterpret_cast<const int64_t*>(sum + Sum::row_at(elements, block, i));
    return exact::from_bits(Exact::mean_bits(limbs, stride, header, static_cast<uint32_t>(i % 32), ranks));
  }
  __device__ __forceinline__ Quad operator()(size_t i, size_t count) const {
    Quad result = {{0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll
    for (unsigned n = 0; n < 4; n++)
      if (n < count) result.x[n] = mean(i + n);
    return result;
  }
};

// One warp to a block, its lanes to elements 32 apart.
template <class Twin>
__global__ void __launch_bounds__(kThreads)
    accumulate_kernel(CodecOptions options, const uint8_t* wire, size_t elements, uint8_t* sum) {
  using Codec = typename Twin::Codec;
  using Exact = codecs::ExactBlock<Codec>;
  using Sum = typename Exact::Sum;
  const size_t block = Codec::block(options), stride = Sum::row_bytes(elements) / 8;
  const size_t at = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp * block;
  if (at >= elements) return;
  const size_t count = elements - at < block ? elements - at : block;
  const unsigned lane = threadIdx.x % kWarp;
  const uint32_t byte = wire[scale_at<Twin>(options, at, elements)];
  uint64_t* header = reinterpret_cast<uint64_t*>(sum) + at / block;
  const uint64_t before = *header;
  if (byte == codecs::kNanByte) {
    if (lane == 0) *header = before | Sum::kNan;
    return;
  }
  // What the block is as a whole, before anything is added.
  bool some = false, bad = false;
  uint64_t flags = 0;
  for (size_t i = 0; i < block; i += kWarp) {
    const bool here = i + lane < count;
    const uint32_t code = here ? code_at<Codec>(wire, at + i + lane) : 0;
    some = some || code != 0;
    bad = bad || Codec::special(code) || !Exact::finite(Codec::term(code), byte);
    const bool counts = Codec::kSignedZero && here && (code & Codec::kSign) == 0;
    flags |= static_cast<uint64_t>(__ballot_sync(kEvery, counts)) << Exact::kNotNegativeBit;
  }
  const bool any_some = __any_sync(kEvery, some) != 0, any_bad = __any_sync(kEvery, bad) != 0;
  const uint64_t rows = byte == 0 && !any_some ? 0 : Sum::limbs_of(byte);
  int64_t* limbs = reinterpret_cast<int64_t*>(sum + Sum::row_at(elements, block, at));
  for (size_t i = lane; i < count && rows != 0; i += kWarp) {
    const int64_t term = any_bad ? 0 : Codec::term(code_at<Codec>(wire, at + i));
    for (uint32_t part = 0; part < (Sum::kSplit ? 2u : 1u); part++) {
      const uint32_t limb = Sum::limb_of(byte) + part;
      int64_t* to = limbs + limb * stride + i;
      const int64_t old = (before >> limb & 1) != 0 ? *to : 0;
      *to = old + Sum::part(Sum::shifted(term, byte), static_cast<int>(part));
    }
  }
  if (lane == 0) *header = before | rows | flags | (any_bad ? Sum::kNan : 0);
}

// ---- launchers ----

template <class Twin>
struct ExactLaunchers : Launchers<Twin> {
  static int mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride,
                  uint32_t ranks, size_t elements, uint8_t* wire, void*, DeviceStream stream) {
    return Launchers<Twin>::launch_encode(options, ExactMean<Twin>{options, wires, stride, ranks, elements},
                                          elements, wire, stream);
  }
  static int accumulate(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                        uint8_t* sum, void*, DeviceStream stream) {
    if (elements == 0) return cudaSuccess;
    const unsigned grid = blocks_for(elements, Twin::Codec::block(options) * (kThreads / kWarp));
    return LAUNCH(accumulate_kernel<Twin>, grid, kThreads, 0, stream, options, wire, elements, sum);
  }
  static int finish(const CodecOptions& options, const CodecKey&, const uint8_t* sum, uint32_t ranks,
                    size_t elements, uint8_t* wire, void*, DeviceStream stream) {
    return Launchers<Twin>::launch_encode(options, Accumulated<Twin>{options, sum, ranks, elements}, elements,
                                          wire, stream);
  }
};

template <class Twin>
constexpr DeviceCodecLoops exact_device_loops() {
  using Each = ExactLaunchers<Twin>;
  return {Each::encode, Each::decode,     Each::decode_add, Each::decode_add_encode,
          Each::mean,   Each::accumulate, Each::finish,     nullptr};
}

}  // namespace gradmesh::cuda::packed
