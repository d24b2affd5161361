// Keeping finite what began finite: the clamp of codecs whose products may leave the range of float32.
#pragma once
#include "numeric/exact.h"

namespace gradmesh {

constexpr float kFloatMost = 0x1.fffffep127f;

// x between the largest floats; x is no NaN.
HD float clamp_finite(float x) { return x > kFloatMost ? kFloatMost : x < -kFloatMost ? -kFloatMost : x; }

// NaN or Inf.
HD bool not_finite(float x) { return (exact::bits(x) & 0x7fffffffu) >= 0x7f800000u; }

}  // namespace gradmesh
