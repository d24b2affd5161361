// The fixed tree: the written order of a sum over one row. It depends on the number of elements only, never
// on the SIMD width or the thread count:
//   16 lanes start at +0; element i goes to lane i mod 16, by ascending i; the last group is filled up with
//   +0; then lane j gets lane j + 8 added for j < 8, then j + 4, j + 2, j + 1; lane 0 is the sum.
// These loops are the definition; the operators run the same order in vector registers (numeric/lanes.h).
#pragma once
#include <cstddef>

#include "numeric/exact.h"

namespace tree {

constexpr size_t kLanes = 16;

HD float fold(const float* lanes) {
  float level[kLanes];
  for (size_t i = 0; i < kLanes; ++i) level[i] = lanes[i];
  for (size_t width = kLanes / 2; width > 0; width /= 2)
    for (size_t i = 0; i < width; ++i) level[i] = exact::add(level[i], level[i + width]);
  return level[0];
}

// x[count] -> the sum of x[i]; +0 for no elements.
HD float sum(const float* x, size_t count) {
  float lanes[kLanes] = {};
  for (size_t group = 0; group < count; group += kLanes)
    for (size_t i = 0; i < kLanes; ++i)
      lanes[i] = exact::add(lanes[i], group + i < count ? x[group + i] : 0.0f);
  return fold(lanes);
}

// x[count], y[count] -> the sum of x[i] y[i], each term one exact::fma into its lane.
HD float dot(const float* x, const float* y, size_t count) {
  float lanes[kLanes] = {};
  for (size_t group = 0; group < count; group += kLanes)
    for (size_t i = 0; i < kLanes; ++i) {
      const bool inside = group + i < count;
      lanes[i] = exact::fma(inside ? x[group + i] : 0.0f, inside ? y[group + i] : 0.0f, lanes[i]);
    }
  return fold(lanes);
}

}  // namespace tree
