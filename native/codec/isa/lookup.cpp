// The loops of the 4-bit codecs whose codes are places in a table of values: e3m0 and nf4.
#include "codec/e3m0.h"
#include "codec/isa/pow2_kernel.h"
#include "codec/nf4.h"

namespace gradmesh::GM_ISA {
namespace {

struct Nf4Kernel {
  using Codec = codecs::nf4;
  static constexpr size_t kScaleBytes = 4;

  HD void encode(const float* source, size_t count, uint8_t* codes, uint8_t* scale) {
    const int32_t largest = Wide32<codecs::e3m0>::kHas && count % 32 == 0 ? wide_largest(source, count)
                                                                          : largest_magnitude(source, count);
    const bool finite = largest < 0x7f800000;
    const uint32_t bits = finite ? static_cast<uint32_t>(largest) : exact::kNan;
    memcpy(scale, &bits, 4);
    if (!finite) return encode_zeros(count, codes);
    encode_elements(source, count, Codec::scaling(exact::from_bits(bits)), codes);
  }
  HD size_t encode_ahead(size_t, const float*, size_t, uint8_t*, uint8_t*) { return 0; }
  HD void encode_zeros(size_t count, uint8_t* codes) {
    constexpr uint8_t kBoth = Codec::kZeroCode * 0x11;
    memset(codes, kBoth, count / 2);
    if (count % 2 != 0) codes[count / 2] = Codec::kZeroCode;
  }
  HD void decode(const uint8_t* codes, const uint8_t* scale, size_t count, float* target) {
    uint32_t bits;
    memcpy(&bits, scale, 4);
    decode_elements(codes, exact::from_bits(bits), count, target);
  }

#if GM_ISA_avx512
  HD void encode_elements(const float* source, size_t count, Codec::Scaling scaling, uint8_t* codes) {
    const Nf4Search search = Nf4Search::make();
    // A lift of 1, nearly every block's, changes nothing: one product is enough.
    const __m512 inverse = _mm512_set1_ps(scaling.inverse);
    size_t i = 0;
    for (; i + 32 <= count && scaling.lift == 1.0f; i += 32) {
      const __m512 first = _mm512_mul_ps(_mm512_loadu_ps(source + i), inverse);
      const __m512 second = _mm512_mul_ps(_mm512_loadu_ps(source + i + 16), inverse);
      store_nibbles(low_bytes(Nf4Search::codes(search, first), Nf4Search::codes(search, second)),
                    codes + i / 2);
    }
    encode_each(source + i, count - i, scaling, codes + i / 2);
  }
  HD void decode_elements(const uint8_t* codes, float scale, size_t count, float* target) {
    const __m512 products = _mm512_mul_ps(Nf4Search::values(), _mm512_set1_ps(scale));
    const __mmask16 nan = _mm512_cmp_ps_mask(products, products, _CMP_UNORD_Q);
    const __m512 values = _mm512_mask_mov_ps(products, nan, _mm512_set1_ps(exact::quiet_nan()));
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
      _mm512_storeu_ps(target + i, _mm512_permutexvar_ps(spread_nibbles(codes + i / 2), values));
    for (; i < count; i++) target[i] = Codec::decode(Codec::value(code_at<Codec>(codes, i)), scale);
  }
#else
  HD void encode_elements(const float* source, size_t count, Codec::Scaling scaling, uint8_t* codes) {
    encode_each(source, count, scaling, codes);
  }
  HD void decode_elements(const uint8_t* codes, float scale, size_t count, float* target) {
    float table[16];
    for (uint32_t i = 0; i < 16; i++) table[i] = Codec::decode(Codec::value(i), scale);
    for (size_t i = 0; i < count; i++) target[i] = table[code_at<Codec>(codes, i)];
  }
#endif
  HD void encode_each(const float* __restrict source, size_t count, Codec::Scaling scaling,
                      uint8_t* __restrict codes) {
    alignas(64) uint8_t q[kTile + 1];
    for (size_t i = 0; i < count; i++)
      q[i] = static_cast<uint8_t>(Codec::encode(Codec::scaled(source[i], scaling)));
    pack_nibbles(q, count, codes);
  }
};

using Nf4 = PackedLoops<Nf4Kernel>;

}  // namespace

// extern: const alone would hide them from dispatch.cpp.
extern const CodecLoops e3m0_loops, nf4_loops;
const CodecLoops e3m0_loops = exact_loops<Pow2Kernel<codecs::e3m0>>();
const CodecLoops nf4_loops = {Nf4::encode, Nf4::decode, Nf4::decode_add, Nf4::decode_add_encode,
                              Nf4::mean,   nullptr,     nullptr,         nullptr};

}  // namespace gradmesh::GM_ISA
