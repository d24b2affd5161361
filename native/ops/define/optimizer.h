// The optimizers, one element each: AdamW (arXiv 1711.05101) inside a round; Nesterov momentum, the sign step
// and the adaptive ones of FedOpt (arXiv 2003.00295) between rounds. What they write is a peer's state, which
// others compare by digest, so that also its NaNs have one form.
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

// -1, 0 (of either zero) or 1; NaN of NaN.
HD float sign(float x) {
  const float s = x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : 0.0f);
  return exact::is_nan(x) ? exact::quiet_nan() : s;
}

HD float sign_keep(float rate, float decay) { return exact::sub(1.0f, exact::mul(rate, decay)); }

// p = p keep - rate sign(g), rounded once
HD void sign_step(float rate, float keep, float gradient, float& parameter) {
  parameter = exact::canonical(exact::fma(keep, parameter, -exact::mul(rate, sign(gradient))));
}

// How the second moment of FedOpt follows the squared gradient; the operator's second integer.
enum class Adaptive : int32_t { adam, yogi, adagrad };
constexpr int32_t kAdaptiveKinds = 3;

struct AdaptiveFactors {
  float beta1, rest1, beta2, rest2, epsilon, rate;
};
// floats and schedule in the order of ops.def.
HD AdaptiveFactors adaptive_factors(double beta1, double beta2, double epsilon, const float* schedule) {
  AdaptiveFactors f;
  f.beta1 = (float)beta1, f.rest1 = (float)(1.0 - beta1);
  f.beta2 = (float)beta2, f.rest2 = (float)(1.0 - beta2);
  f.epsilon = (float)epsilon, f.rate = schedule[0];
  return f;
}

// Inf - Inf has no sign, so that Yogi's v is NaN where v and g^2 are both Inf.
HD float adaptive_second(Adaptive kind, const AdaptiveFactors& f, float g, float v) {
  if (kind == Adaptive::adam) return exact::fma(exact::mul(f.rest2, g), g, exact::mul(f.beta2, v));
  if (kind == Adaptive::adagrad) return exact::fma(g, g, v);
  const float square = exact::mul(g, g);
  return exact::fma(-sign(exact::sub(v, square)), exact::mul(f.rest2, square), v);
}

// p = p - rate m / (sqrt(v) + epsilon)
HD void adaptive(Adaptive kind, const AdaptiveFactors& f, float gradient, float& parameter, float& first,
                 float& second) {
  const float m = exact::fma(f.rest1, gradient, exact::mul(f.beta1, first));
  const float v = adaptive_second(kind, f, gradient, second);
  const float spread = exact::add(exact::sqrt(v), f.epsilon);
  first = exact::canonical(m);
  second = exact::canonical(v);
  parameter = exact::canonical(exact::fma(-f.rate, exact::div(m, spread), parameter));
}

}  // namespace gradmesh::ops::define
