// Operators on every element alone: add, subtract, copy, and GELU in its tanh form (arXiv 1606.08415).
#include "numeric/convert.h"
#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {
namespace {

constexpr float kSqrtTwoOverPi = 0x1.988454p-1f;
constexpr float kCubic = 0x1.6e4e26p-5f;  // 0.044715

struct Range {
  size_t begin, end;
};
HD Range elements(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  return {unit_begin * kElementsPerUnit, smaller(unit_end * kElementsPerUnit, integer(arguments, 0))};
}

// sqrt(2/pi) (x + 0.044715 x^3)
HD float gelu_angle(float x, float square) {
  return exact::mul(exact::mul(kSqrtTwoOverPi, x), exact::fma(kCubic, square, 1.0f));
}

// h + h tanh(angle) with h = x / 2
HD float gelu_element(float x) {
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

}  // namespace

void gelu(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict x = input(arguments, 0);
  float* __restrict y = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) y[i] = gelu_element(x[i]);
}

void gelu_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict x = input(arguments, 0);
  const float* __restrict d_y = input(arguments, 1);
  float* __restrict d_x = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) d_x[i] = exact::mul(d_y[i], gelu_slope(x[i]));
}

void add(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict a = input(arguments, 0);
  const float* __restrict b = input(arguments, 1);
  float* __restrict out = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) out[i] = exact::canonical(exact::add(a[i], b[i]));
}

void subtract(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict a = input(arguments, 0);
  const float* __restrict b = input(arguments, 1);
  float* __restrict out = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) out[i] = exact::canonical(exact::sub(a[i], b[i]));
}

void copy(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  memcpy(output(arguments, 0) + range.begin, input(arguments, 0) + range.begin,
         (range.end - range.begin) * 4);
}

}  // namespace gradmesh::ops::GM_ISA
