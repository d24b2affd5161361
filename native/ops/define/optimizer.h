// The optimizers, one element each: AdamW (arXiv 1711.05101) inside a round, Nesterov momentum between
// rounds. What they write is a peer's state, which others compare by digest, so that also its NaNs have one
// form.
#pragma once
#include <cstdint>

#include "numeric/convert.h"
#include "numeric/exact.h"

namespace gradmesh::ops::define {

// base^exponent in double precision, by squaring: the bits of the exponent from the lowest to the highest.
HD double power(double base, uint32_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

// The operator's floats, in the order of ops.def.
struct AdamSettings {
  double beta1, beta2, epsilon, weight_decay;
};

// What all elements of a step have in common.
struct AdamFactors {
  float beta1, rest1, beta2, rest2, epsilon;
  float rate;             // learning rate / (1 - beta1^step)
  float second_unbiased;  // 1 / (1 - beta2^step)
  float shrink;           // learning rate x weight decay
};
HD AdamFactors adam_factors(const AdamSettings& settings, const float* schedule) {
  const uint32_t step = schedule[1] >= 1.0f ? (uint32_t)(schedule[1] < 0x1p24f ? schedule[1] : 0x1p24f) : 1u;
  AdamFactors f;
  f.beta1 = (float)settings.beta1, f.rest1 = (float)(1.0 - settings.beta1);
  f.beta2 = (float)settings.beta2, f.rest2 = (float)(1.0 - settings.beta2);
  f.epsilon = (float)settings.epsilon;
  f.rate = exact::div(schedule[0], (float)(1.0 - power(settings.beta1, step)));
  f.second_unbiased = exact::div(1.0f, (float)(1.0 - power(settings.beta2, step)));
  f.shrink = exact::mul(schedule[0], (float)settings.weight_decay);
  return f;
}

HD void adamw(const AdamFactors& f, float clip, float gradient, float decay, float& parameter, float& first,
              float& second) {
  const float g = exact::mul(gradient, clip);
  const float m = exact::fma(f.rest1, g, exact::mul(f.beta1, first));
  const float v = exact::fma(exact::mul(f.rest2, g), g, exact::mul(f.beta2, second));
  const float spread = exact::add(exact::sqrt(exact::mul(v, f.second_unbiased)), f.epsilon);
  const float kept = exact::fma(-exact::mul(f.shrink, decay), parameter, parameter);
  first = exact::canonical(m);
  second = exact::canonical(v);
  parameter = exact::canonical(exact::fma(-f.rate, exact::div(m, spread), kept));
}

// b = keep b + g; p = p - rate (g + keep b)
HD void nesterov(float rate, float keep, float gradient, float& parameter, float& momentum) {
  const float b = exact::canonical(exact::fma(keep, momentum, gradient));
  momentum = b;
  parameter = exact::canonical(exact::fma(-rate, exact::fma(keep, b, gradient), parameter));
}

}  // namespace gradmesh::ops::define
