// Exact quotients rounded to odd in float32: cut off, with the last bit set where something was cut off.
// Rounding that once more, to fewer bits, gives what rounding the exact quotient gives (Boldo and Melquiond
// 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd"): so a mean is
// coded by its codec's own encoder, and still rounded once.
#pragma once
#include <cstdint>

#include "codec/fixed_sum.h"
#include "codec/wide.h"
#include "numeric/exact.h"

namespace gradmesh::codecs::round_to_odd {

// The bits of whole * 2^exponent, `rest` of which something below the last bit of whole is left; whole is not
// 0, and where rest is set it has 25 bits or more, or is in units at most half of the result's. Above the
// largest float: Inf.
HD uint32_t bits_of(uint64_t whole, bool rest, int exponent) {
  const int top = exponent + 63 - __builtin_clzll(whole);  // of the leading one
  if (top > 127) return 0x7f800000u;
  const int last = top < -126 ? -149 : top - 23;  // the exponent of the result's last bit
  const int cut = last - exponent;
  const bool below = cut > 0 && (cut > 63 || (whole & ((uint64_t{1} << cut) - 1)) != 0);
  const uint32_t kept = static_cast<uint32_t>(cut > 63 ? 0 : cut > 0 ? whole >> cut : whole << -cut);
  // A normal number's leading one counts as an exponent.
  const uint32_t field = top < -126 ? 0 : static_cast<uint32_t>(top + 126);
  return ((field << 23) + kept) | (below || rest ? 1u : 0u);
}

// The bits of sum / ranks * 2^exponent, for |sum| < 2^60, not 0.
HD uint32_t quotient(int64_t sum, uint32_t ranks, int exponent) {
  const uint64_t magnitude = static_cast<uint64_t>(sum < 0 ? -sum : sum);
  const int shift = __builtin_clzll(magnitude);
  const uint64_t scaled = magnitude << shift;  // from 2^63 on, so that the quotient has 47 bits or more
  const uint32_t bits = bits_of(scaled / ranks, scaled % ranks != 0, exponent - shift);
  return bits | (sum < 0 ? 0x80000000u : 0);
}

// The same of a wide sum, not 0.
HD uint32_t quotient(const Wide& sum, uint32_t ranks, int exponent) {
  const Wide magnitude = Wide::magnitude(sum);
  const int shift = Wide::bit_length(magnitude) - 48;  // the quotient has 31 bits or more, and times ranks 48
  const fixed_sum::Quotient quotient = fixed_sum::divide(magnitude, ranks, shift);
  const uint32_t bits = bits_of(quotient.whole, quotient.rest, exponent + shift);
  return bits | (Wide::negative(sum) ? 0x80000000u : 0);
}

// The bits of sum / ranks, whose sum of decoded values is exact in a double (a signed zero, an Inf or a NaN
// too), for ranks <= 65536. The division rounds to 53 bits before the rest is cut off. That changes nothing
// for an encoder whose rounding boundaries b are integers below 2^7 times a power of two 2^j, and whose
// smallest 2^j is at least 2^-34 of the block's largest mean M: if the sum is S < 2^52 in an integer unit,
// then |S / ranks - b| is 0 or at least 1 / ranks where 2^j >= 1, and 2^j / ranks otherwise. The division
// errs by at most 2^-54 S / ranks, which is less than the former as S < 2^52, and less than the latter as S /
// ranks <= M <= 2^(j + 34) and ranks <= 2^16.
HD uint32_t quotient(double sum, double ranks) {
  const double mean = sum / ranks;
  const float nearest = static_cast<float>(mean);
  const double back = static_cast<double>(nearest);
  const uint32_t bits = exact::bits(nearest);
  const bool above = mean < 0 ? back < mean : back > mean;
  // A mean beyond the largest float is the average of floats: it cannot be. Inf and NaN are equal, or not, to
  // themselves.
  return back == mean ? bits : mean == mean ? (bits - (above ? 1u : 0u)) | 1u : 0x7fc00000u;
}

}  // namespace gradmesh::codecs::round_to_odd
