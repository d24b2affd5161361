// A float is a whole number below 2^24 times 2^-149 times up to 2^253: with a sign and 16 bits for their
// number they add in 294 bits.
#include "collective/wide_sums.h"

#include <bit>
#include <cmath>
#include <cstdint>

namespace gradmesh {
namespace {

using codecs::Wide;

constexpr uint32_t kInfinity = 0x7f800000u;

// Rounded to the nearest double, ties to even.
double rounded(const Wide& sum) {
  const Wide magnitude = Wide::magnitude(sum);
  // The leading 62 bits, with the last one set where anything follows: the conversion rounds that as it would
  // round the whole.
  const int shift = std::max(0, Wide::bit_length(magnitude) - 62);
  const uint64_t leading = Wide::shifted_down(magnitude, shift) | (Wide::any_below(magnitude, shift) ? 1 : 0);
  const double value = std::ldexp(static_cast<double>(static_cast<int64_t>(leading)), shift - 149);
  return Wide::negative(sum) ? -value : value;
}

}  // namespace

void WideSums::add(const float* source) {
  for (size_t at = 0; at < sums_.size(); ++at) {
    const auto bits = std::bit_cast<uint32_t>(source[at]);
    const uint32_t exponent = bits >> 23 & 0xff, fraction = bits & 0x7fffffu;
    if ((bits & kInfinity) == kInfinity || (bits & 0x7fffffffu) == 0) continue;
    const uint64_t whole = exponent == 0 ? fraction : fraction | 0x800000u;
    const Wide term = Wide::shifted(whole, static_cast<int>(exponent == 0 ? 0 : exponent - 1));
    sums_[at] = Wide::sum(sums_[at], term, (bits >> 31) != 0);
  }
}

void WideSums::round(double* sums) const {
  for (size_t at = 0; at < sums_.size(); ++at) {
    if (!std::isfinite(sums[at])) continue;
    const bool zero = Wide::bit_length(sums_[at]) == 0;
    if (!zero || sums[at] != 0) sums[at] = zero ? 0 : rounded(sums_[at]);
  }
}

}  // namespace gradmesh
