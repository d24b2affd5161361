// The optimizers: AdamW (arXiv 1711.05101) inside a round, Nesterov momentum between rounds. What they write
// is a peer's state, which others compare by digest, so that also its NaNs have one form.
#include "numeric/convert.h"
#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {
namespace {

// base^exponent in double precision, by squaring: the bits of the exponent from the lowest to the highest.
HD double power(double base, uint32_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

struct AdamFactors {
  float beta1, rest1, beta2, rest2, epsilon;
  float rate;             // learning rate / (1 - beta1^step)
  float second_unbiased;  // 1 / (1 - beta2^step)
  float shrink;           // learning rate x weight decay
};
HD AdamFactors adam_factors(const double* floats, const float* schedule) {
  const uint32_t step = schedule[1] >= 1.0f ? (uint32_t)(schedule[1] < 0x1p24f ? schedule[1] : 0x1p24f) : 1u;
  AdamFactors f;
  f.beta1 = (float)floats[0], f.rest1 = (float)(1.0 - floats[0]);
  f.beta2 = (float)floats[1], f.rest2 = (float)(1.0 - floats[1]);
  f.epsilon = (float)floats[2];
  f.rate = exact::div(schedule[0], (float)(1.0 - power(floats[0], step)));
  f.second_unbiased = exact::div(1.0f, (float)(1.0 - power(floats[1], step)));
  f.shrink = exact::mul(schedule[0], (float)floats[3]);
  return f;
}

}  // namespace

void adamw(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict gradients = input(arguments, 0);
  const float* __restrict decay = input(arguments, 3);
  float* __restrict parameters = output(arguments, 0);
  float* __restrict first = output(arguments, 1);
  float* __restrict second = output(arguments, 2);
  const float clip = input(arguments, 1)[0];
  const AdamFactors f = adam_factors(arguments.floats, input(arguments, 2));
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 0));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i) {
    const float g = exact::mul(gradients[i], clip);
    const float m = exact::fma(f.rest1, g, exact::mul(f.beta1, first[i]));
    const float v = exact::fma(exact::mul(f.rest2, g), g, exact::mul(f.beta2, second[i]));
    const float spread = exact::add(exact::sqrt(exact::mul(v, f.second_unbiased)), f.epsilon);
    const float kept = exact::fma(-exact::mul(f.shrink, decay[i]), parameters[i], parameters[i]);
    first[i] = exact::canonical(m);
    second[i] = exact::canonical(v);
    parameters[i] = exact::canonical(exact::fma(-f.rate, exact::div(m, spread), kept));
  }
}

void nesterov(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict gradient = input(arguments, 0);
  float* __restrict parameters = output(arguments, 0);
  float* __restrict momentum = output(arguments, 1);
  const float rate = input(arguments, 1)[0], keep = input(arguments, 1)[1];
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 0));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i) {
    const float b = exact::canonical(exact::fma(keep, momentum[i], gradient[i]));
    momentum[i] = b;
    parameters[i] = exact::canonical(exact::fma(-rate, exact::fma(keep, b, gradient[i]), parameters[i]));
  }
}

}  // namespace gradmesh::ops::GM_ISA
