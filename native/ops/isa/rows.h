// What operators over rows share: sums in the fixed tree, the largest element, and softmax.
#pragma once
#include "numeric/order.h"
#include "ops/define/loss.h"
#include "ops/isa/vector.h"

namespace gradmesh::ops::GM_ISA {

// tree::sum and tree::dot (numeric/tree.h), in registers.
HD float row_sum(const float* x, size_t count) {
  F16 lanes = zero();
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) lanes = add(lanes, load(x + i));
  if (i < count) lanes = add(lanes, load_part(x + i, count - i));
  return tree_fold(lanes);
}
HD float row_dot(const float* x, const float* y, size_t count) {
  F16 lanes = zero();
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) lanes = fma(load(x + i), load(y + i), lanes);
  if (i < count) lanes = fma(load_part(x + i, count - i), load_part(y + i, count - i), lanes);
  return tree_fold(lanes);
}

HD size_t whole_vectors(size_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// The softmax of scale x[count], in place; x has room for whole_vectors(count). Returns the largest scaled
// element and the sum of the exponentials. One NaN in the row makes every result NaN.
struct Softmax {
  float largest, sum;
};
HD Softmax softmax_row(float* x, size_t count, float scale) {
  const size_t padded = whole_vectors(count);
  for (size_t i = count; i < padded; ++i) x[i] = -exact::infinity();  // its exponential is +0
  int32_t tops[kLanes];
  for (size_t i = 0; i < kLanes; ++i) tops[i] = order::kLowest;
  for (size_t group = 0; group < padded; group += kLanes)
    for (size_t i = 0; i < kLanes; ++i) {
      x[group + i] = exact::mul(x[group + i], scale);
      const int32_t key = order::key(x[group + i]);
      tops[i] = key > tops[i] ? key : tops[i];
    }
  int32_t top = tops[0];
  for (size_t i = 1; i < kLanes; ++i) top = tops[i] > top ? tops[i] : top;
  const float largest = order::from_key(top);
  F16 lanes = zero();
  for (size_t group = 0; group < padded; group += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) x[group + i] = define::softmax_exponential(x[group + i], largest);
    lanes = add(lanes, load(x + group));
  }
  const float sum = tree_fold(lanes);
  const F16 inverse = spread(exact::div(1.0f, sum));
  for (size_t group = 0; group < padded; group += kLanes) store(x + group, mul(load(x + group), inverse));
  return {largest, sum};
}

}  // namespace gradmesh::ops::GM_ISA
