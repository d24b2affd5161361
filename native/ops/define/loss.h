// Softmax, cross-entropy, and the factor that gradients are clipped by, element by element; the sums between
// these steps run in the order that ops.def writes.
#pragma once
#include "numeric/exact.h"

namespace gradmesh::ops::define {

HD float softmax_exponential(float scaled, float largest) { return exact::exp(exact::sub(scaled, largest)); }

// Of one row: log(sum) - (logit[target] - largest).
HD float cross_entropy(float sum, float target_logit, float largest) {
  return exact::sub(exact::log(sum), exact::sub(target_logit, largest));
}

// Of the mean loss: weight is exact::div(1, rows).
HD float cross_entropy_slope(float probability, bool is_target, float weight) {
  return exact::mul(is_target ? exact::sub(probability, 1.0f) : probability, weight);
}

// min(1, limit / norm); 1 where the limit is 0, and for a NaN: the run then fails by its loss, not here.
HD float clip_factor(float norm, float limit) {
  const bool over = limit > 0.0f && norm > limit;
  return over ? exact::div(limit, norm) : 1.0f;
}

}  // namespace gradmesh::ops::define
