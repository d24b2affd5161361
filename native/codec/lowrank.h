// The lowrank codec: a matrix as the product of two thin factors (PowerSGD, 1905.13727). This file defines
// every byte of it.
//
// The elements are matrices M of rows x columns, one after the other, each row after row. A factor is `rank`
// vectors, each contiguous: p[c][i] for i < rows, q[c][j] for j < columns.
//
// The steps, whose sums are written down:
// - left, p = M q: p[c][i] = tree::dot (numeric/tree.h) of row i of M and q[c];
// - right, q = M^T p: q[c][j] starts at +0 and takes exact::fma(M[i][j], p[c][i], q[c][j]) by ascending i;
// - expand, M = p q^T: M[i][j] starts at +0 and takes exact::fma(p[c][i], q[c][j], M[i][j]) by ascending c;
//   every NaN that one of the three makes is 0x7fc00000;
// - orthogonalize: vectors x = f[0], f[1], .. in this order, by Gram and Schmidt:
//   1. the maximum over x's integer magnitude bits is NaN or Inf (here or in step 4, where an earlier vector
//   is NaN): x
//      becomes NaN, 0x7fc00000; 0: x becomes +0; both end here;
//   2. x times 2^-e, where 2^e is the power of two of the maximum, kept within [-126, 126];
//   3. for each earlier vector b, by ascending order: x[i] = fma(-tree::dot(b, x), b[i], x[i]);
//   4. if the maximum is now below 2^-12, x is a combination of the earlier vectors but for rounding: it
//   becomes +0,
//      which ends here;
//   5. step 3 again, which takes away what rounding left ("twice is enough");
//   6. x[i] = mul(x[i], exact::rsqrt(tree::dot(x, x)));
// - start: element (c, j) is prng::normal(seed, codec_stream(Draw::basis, step, 0), c columns + j, 1): the
// same on all
//   ranks.
//
// basis=power: q0 = start; p = orthogonalize(left(M, q0)); q = right(M, p). Wire of a matrix: p, q.
// basis=shared: q = orthogonalize(start); p = left(M, q). Wire of a matrix: p. As q is the same for all,
// words of wires
//   add up: linear.
// Decoding is expand(p, q). Wires are float32 words, little-endian: of each matrix, and at the end the
// elements that are left and make no whole matrix, as they are.
//
// The decoded matrix is M projected, on the span of p from the left (power) or of q from the right (shared):
// contractive but for rounding, by about (rank / columns) for shared, and much more for power where few
// directions carry M. The mean of shared wires adds their words in the order of ranks, then exact::div. That
// of power wires is as of every codec that is not linear.
//
// NaN or Inf in a matrix: with power all of it decodes to NaN; with shared its row does not decode to finite
// numbers. Sums beyond the largest float (elements above 2^127 / sqrt(rows + columns)) are Inf, and then the
// same holds: seen, never taken for zeros.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/finite.h"
#include "codec/options.h"
#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/tree.h"

namespace gradmesh::codecs {

struct lowrank {
  static constexpr size_t kFactorMost = 65536;  // floats of q that are kept beside the wire

  HD bool shared(const CodecOptions& options) {
    return options.basis == static_cast<uint32_t>(Basis::shared);
  }

  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.rows * options.columns;
    traits.linear = shared(options);
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    if (options.rank > options.rows || options.rank > options.columns)
      return "option \"rank\" is above rows or columns; allowed: at most the lesser of them";
    if (size_t{options.columns} * options.rank > kFactorMost)
      return "columns * rank is above 65536; allowed: a smaller rank, or the matrix turned so that columns "
             "are fewer";
    return nullptr;
  }

  // Floats of a matrix's wire: those of p, then those of q.
  HD size_t p_floats(const CodecOptions& options) { return size_t{options.rows} * options.rank; }
  HD size_t q_floats(const CodecOptions& options) { return size_t{options.columns} * options.rank; }
  HD size_t wire_floats(const CodecOptions& options) {
    return p_floats(options) + (shared(options) ? 0 : q_floats(options));
  }
  HD size_t matrix_elements(const CodecOptions& options) { return size_t{options.rows} * options.columns; }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    const size_t matrices = elements / matrix_elements(options), rest = elements % matrix_elements(options);
    return sizeof(float) * (matrices * wire_floats(options) + rest);
  }

  HD float start(const CodecKey& key, size_t element) {
    return prng::normal(key.seed, codec_stream(Draw::basis, key.step, 0), element, 1.0f);
  }
  // Of step 2: 2^-e of the largest magnitude's bits.
  HD float inverse_power(uint32_t largest) {
    const uint32_t byte = largest >> 23;
    return exact::from_bits((254 - (byte < 1 ? 1 : byte > 253 ? 253 : byte)) << 23);
  }
  static constexpr uint32_t kInfinity = 0x7f800000, kDependent = (127 - 12) << 23;

  // The steps in their plainest form; loops and kernels do the same for many outputs at once.
  HD void left(const float* m, size_t rows, size_t columns, const float* q, size_t rank, float* p) {
    for (size_t c = 0; c < rank; c++)
      for (size_t i = 0; i < rows; i++)
        p[c * rows + i] = exact::canonical(tree::dot(m + i * columns, q + c * columns, columns));
  }
  HD void right(const float* m, size_t rows, size_t columns, const float* p, size_t rank, float* q) {
    for (size_t c = 0; c < rank; c++)
      for (size_t j = 0; j < columns; j++) {
        float sum = 0.0f;
        for (size_t i = 0; i < rows; i++) sum = exact::fma(m[i * columns + j], p[c * rows + i], sum);
        q[c * columns + j] = exact::canonical(sum);
      }
  }
  HD void expand(const float* p, const float* q, size_t rows, size_t columns, size_t rank, float* m) {
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < columns; j++) {
        float sum = 0.0f;
        for (size_t c = 0; c < rank; c++) sum = exact::fma(p[c * rows + i], q[c * columns + j], sum);
        m[i * columns + j] = exact::canonical(sum);
      }
  }
  HD uint32_t largest(const float* x, size_t length) {
    uint32_t largest = 0;
    for (size_t i = 0; i < length; i++) {
      const uint32_t magnitude = exact::bits(x[i]) & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
  }
  HD void fill(float* x, size_t length, uint32_t bits) {
    for (size_t i = 0; i < length; i++) x[i] = exact::from_bits(bits);
  }
  HD void subtract_earlier(const float* f, size_t length, size_t earlier, float* x) {
    for (size_t b = 0; b < earlier; b++) {
      const float along = -tree::dot(f + b * length, x, length);
      for (size_t i = 0; i < length; i++) x[i] = exact::fma(along, f[b * length + i], x[i]);
    }
  }
  HD void orthogonalize(float* f, size_t length, size_t rank) {
    for (size_t c = 0; c < rank; c++) {
      float* const x = f + c * length;
      const uint32_t before = largest(x, length);
      if (before == 0 || before >= kInfinity) {
        fill(x, length, before == 0 ? 0 : exact::kNan);
        continue;
      }
      for (size_t i = 0; i < length; i++) x[i] = exact::mul(x[i], inverse_power(before));
      subtract_earlier(f, length, c, x);
      const uint32_t after = largest(x, length);
      if (after < kDependent || after >= kInfinity) {
        fill(x, length, after < kDependent ? 0 : exact::kNan);
        continue;
      }
      subtract_earlier(f, length, c, x);
      const float inverse = exact::rsqrt(tree::dot(x, x, length));
      for (size_t i = 0; i < length; i++) x[i] = exact::mul(x[i], inverse);
    }
  }
};

}  // namespace gradmesh::codecs
