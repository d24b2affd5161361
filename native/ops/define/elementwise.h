// The operators on every element alone, one element each: what the loops of ops/isa and the kernels of
// cuda/ops run. GELU is in its tanh form (arXiv 1606.08415).
#pragma once
#include "numeric/convert.h"
#include "numeric/exact.h"

namespace gradmesh::ops::define {

constexpr float kSqrtTwoOverPi = 0x1.988454p-1f;
constexpr float kCubic = 0x1.6e4e26p-5f;  // 0.044715

// sqrt(2/pi) (x + 0.044715 x^3)
HD float gelu_angle(float x, float square) {
  return exact::mul(exact::mul(kSqrtTwoOverPi, x), exact::fma(kCubic, square, 1.0f));
}

// h + h tanh(angle) with h = x / 2
HD float gelu(float x) {
  const float half = exact::mul(0.5f, x);
  return exact::fma(half, exact::tanh(gelu_angle(x, exact::mul(x, x))), half);
}

// d gelu / dx = (1 + t) / 2 + x (1 - t^2) angle' / 2. From |x| = 16 on t is +-1; x is held there, so that 0
// Inf cannot occur.
HD float gelu_slope(float x) {
  float z = x > 16.0f ? 16.0f : x;
  z = z < -16.0f ? -16.0f : z;
  const float square = exact::mul(z, z);
  const float t = exact::tanh(gelu_angle(z, square));
  const float angle_slope = exact::mul(kSqrtTwoOverPi, exact::fma(3.0f * kCubic, square, 1.0f));
  const float falling = exact::mul(exact::mul(exact::mul(0.5f, z), angle_slope), exact::fma(-t, t, 1.0f));
  return exact::add(exact::fma(0.5f, t, 0.5f), falling);
}

HD float gelu_backward(float x, float d_y) { return exact::mul(d_y, gelu_slope(x)); }

HD float add(float a, float b) { return exact::canonical(exact::add(a, b)); }
HD float subtract(float a, float b) { return exact::canonical(exact::sub(a, b)); }

// a x + b y, the sum rounded once
HD float axpby(float a, float x, float b, float y) {
  return exact::canonical(exact::fma(a, x, exact::mul(b, y)));
}
HD float scale_by(float x, float factor) { return exact::canonical(exact::mul(x, factor)); }

}  // namespace gradmesh::ops::define
