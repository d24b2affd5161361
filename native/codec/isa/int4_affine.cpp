// The loops of int4_affine.
#include "codec/int4_affine.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/blocks.h"
#include "codec/isa/int_pack.h"
#include "codec/isa/stream.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::int4_affine;

// One block.
struct AffineCodes {
  static constexpr size_t kBlockMost = 256;

#if GM_ISA_avx512
  // Reading runs ahead of the work, as in int_block_codes.h.
  HD __m512i keys(const float* x) {
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(x) + 8192), _MM_HINT_T0);
    const __m512i bits = _mm512_castps_si512(_mm512_loadu_ps(x));
    return _mm512_xor_si512(bits, _mm512_srli_epi32(_mm512_srai_epi32(bits, 31), 1));
  }
  HD void ends16(const float* x, size_t count, int32_t* least, int32_t* most) {
    __m512i low = keys(x), high = low;
    for (size_t i = 16; i < count; i += 16) {
      const __m512i key = keys(x + i);
      low = _mm512_min_epi32(low, key);
      high = _mm512_max_epi32(high, key);
    }
    *least = _mm512_reduce_min_epi32(low);
    *most = _mm512_reduce_max_epi32(high);
  }
  HD void encode64(const float* x, size_t count, float half_offset, float factor, uint8_t* codes) {
    const __m512 half = _mm512_set1_ps(0.5f), from = _mm512_set1_ps(half_offset), by = _mm512_set1_ps(factor);
    const auto group = [&](size_t i) __attribute__((always_inline)) {
      const __m512 above = _mm512_sub_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), half), from);
      return _mm512_cvtps_epi32(_mm512_mul_ps(above, by));
    };
    for (size_t i = 0; i < count; i += 64)
      store64<4>(_mm512_min_epi8(bytes_of(group(i), group(i + 16), group(i + 32), group(i + 48)),
                                 _mm512_set1_epi8(15)),
                 codes + i / 2);
  }
  HD __m512 canonical16(__m512 x) {
    const __m512 nan = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(exact::kNan)));
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), nan);
  }
  HD void decode16(const uint8_t* codes, size_t count, float offset, float scale, const float* base,
                   float* target) {
    const __m512 code = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512 table = canonical16(_mm512_fmadd_ps(code, _mm512_set1_ps(scale), _mm512_set1_ps(offset)));
    for (size_t i = 0; i < count; i += 16) {
      const __m512 x = _mm512_permutexvar_ps(codes16<4>(codes + i / 2), table);
      _mm512_storeu_ps(target + i,
                       base == nullptr ? x : canonical16(_mm512_add_ps(_mm512_loadu_ps(base + i), x)));
    }
  }
#endif

  HD void ends(const float* x, size_t count, int32_t* least, int32_t* most) {
#if GM_ISA_avx512
    if (count % 16 == 0) return ends16(x, count, least, most);
#endif
    int32_t low = order::key(x[0]), high = low;
    for (size_t i = 1; i < count; i++) {
      const int32_t key = order::key(x[i]);
      low = key < low ? key : low;
      high = key > high ? key : high;
    }
    *least = low;
    *most = high;
  }
  HD void encode(const float* source, size_t count, uint8_t* codes, uint8_t* scale_at) {
    int32_t least, most;
    ends(source, count, &least, &most);
    const auto scale = int4_affine::scale_for(least, most);
    memcpy(scale_at, &scale.offset, 4);
    memcpy(scale_at + 4, &scale.scale, 4);
    if (scale.factor == 0.0f) {
      memset(codes, 0, int4_affine::code_bytes(count));
      return;
    }
    const float half_offset = exact::mul(scale.offset, 0.5f);
#if GM_ISA_avx512
    if (count % 64 == 0) return encode64(source, count, half_offset, scale.factor, codes);
#endif
    int8_t whole[kBlockMost];
    for (size_t i = 0; i < count; i++)
      whole[i] = static_cast<int8_t>(int4_affine::encode(source[i], half_offset, scale.factor));
    pack<4>(whole, count, codes);
  }
  // target[i] = decoded, or canonical(base[i] + decoded) where base is not null; base may be target.
  HD void decode(const uint8_t* codes, const uint8_t* scale_at, size_t count, const float* base,
                 float* target) {
    float offset, scale;
    memcpy(&offset, scale_at, 4);
    memcpy(&scale, scale_at + 4, 4);
#if GM_ISA_avx512
    if (count % 16 == 0) return decode16(codes, count, offset, scale, base, target);
#endif
    int8_t whole[kBlockMost];
    unpack<4>(codes, count, whole);
    for (size_t i = 0; i < count; i++) {
      const float x = int4_affine::decode(static_cast<uint32_t>(whole[i]) & 15u, offset, scale);
      target[i] = base == nullptr ? x : exact::canonical(exact::add(base[i], x));
    }
  }
};

struct AffineLoops {
  template <class Body>
  HD void each(size_t elements, size_t size, Body body) {
    for (size_t at = 0; at < elements; at += size) body(at, elements - at < size ? elements - at : size);
  }
  HD void decode_block(const CodecOptions& options, const uint8_t* wire, size_t at, size_t count,
                       size_t elements, const float* base, float* target) {
    AffineCodes::decode(wire + at / 2, wire + int4_affine::scale_at(options, at, elements), count, base,
                        target);
  }
  // body(at, count, codes) for blocks, whose codes it writes; those of a large wire go past the caches.
  template <class Body>
  HD void each_coded(const CodecOptions& options, size_t elements, uint8_t* wire, Body body) {
    const bool streams = int4_affine::code_bytes(elements) >= kStreamBytes;
    alignas(64) uint8_t tile[kTile];
    each(elements, kTile, [&](size_t chunk, size_t chunk_count) {
      uint8_t* const codes = streams ? tile : wire + chunk / 2;
      each(chunk_count, options.block,
           [&](size_t at, size_t count) { body(chunk + at, count, codes + at / 2); });
      if (streams) stream_out(wire + chunk / 2, tile, int4_affine::code_bytes(chunk_count));
    });
    if (streams) stream_end();
  }

  static void encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements,
                     uint8_t* wire) {
    each_coded(options, elements, wire, [&](size_t at, size_t count, uint8_t* codes) {
      AffineCodes::encode(source + at, count, codes, wire + int4_affine::scale_at(options, at, elements));
    });
  }
  static void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                     float* target) {
    const bool streams = elements * sizeof(float) >= kStreamBytes;
    alignas(64) float tile[kTile];
    each(elements, kTile, [&](size_t chunk, size_t chunk_count) {
      float* const decoded = streams ? tile : target + chunk;
      each(chunk_count, options.block, [&](size_t at, size_t count) {
        decode_block(options, wire, chunk + at, count, elements, nullptr, decoded + at);
      });
      if (streams)
        stream_out(reinterpret_cast<uint8_t*>(target + chunk), reinterpret_cast<const uint8_t*>(tile),
                   chunk_count * sizeof(float));
    });
    if (streams) stream_end();
  }
  static void decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         float* target) {
    each(elements, options.block, [&](size_t at, size_t count) {
      decode_block(options, wire, at, count, elements, target + at, target + at);
    });
  }
  static void decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&,
                                const uint8_t* wire, const float* source, size_t elements, uint8_t* result) {
    alignas(64) float sum[AffineCodes::kBlockMost];
    each_coded(options, elements, result, [&](size_t at, size_t count, uint8_t* codes) {
      decode_block(options, wire, at, count, elements, source + at, sum);
      AffineCodes::encode(sum, count, codes, result + int4_affine::scale_at(options, at, elements));
    });
  }

  // For the order of means.
  struct AsBlock {
    static size_t block(const CodecOptions& options) { return options.block; }
    HD void encode(const CodecOptions& options, const CodecKey&, const float* source, size_t at, size_t count,
                   uint8_t* wire, size_t elements) {
      AffineCodes::encode(source, count, wire + at / 2, wire + int4_affine::scale_at(options, at, elements));
    }
    HD void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t at, size_t count,
                   size_t elements, float* target) {
      decode_block(options, wire, at, count, elements, nullptr, target);
    }
  };
};

}  // namespace

extern const CodecLoops int4_affine_loops;
const CodecLoops int4_affine_loops = {AffineLoops::encode,
                                      AffineLoops::decode,
                                      AffineLoops::decode_add,
                                      AffineLoops::decode_add_encode,
                                      BlockLoops<AffineLoops::AsBlock>::mean,
                                      nullptr,
                                      nullptr,
                                      nullptr};

}  // namespace gradmesh::GM_ISA
