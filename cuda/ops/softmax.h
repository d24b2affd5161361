// The softmax of a row by sixteen threads, in the order of ops.def: the largest element, then the
// exponentials' sum in the fixed tree, then each times 1 / sum.
#pragma once
#include "lanes.h"
#include "ops/define/loss.h"

namespace gradmesh::ops::device {

struct SoftmaxOfRow {
  float largest, sum;
};

// x scaled -> out[count], which may be where x came from: a lane writes only elements that it has read
// before. What x held is lost. All threads of a warp call it; only those with `writes` write.
template <int Items>
__device__ __forceinline__ SoftmaxOfRow softmax_row(LaneOfRow<Items>& x, float scale, float* out,
                                                    bool writes) {
  int32_t top = order::kLowest;
  each_of_lane(
      [&](unsigned, bool inside, float value) {
        const int32_t key = order::key(exact::mul(value, scale));
        if (inside && key > top) top = key;
      },
      x);
  const float largest = order::from_key(largest_of_lanes(top));
  const auto exponential = [&](float value) {
    return define::softmax_exponential(exact::mul(value, scale), largest);
  };
  float lane_sum = 0.0f;
  each_of_lane(
      [&](unsigned, bool inside, float& value) {
        const float term = inside ? exponential(value) : 0.0f;
        lane_sum = exact::add(lane_sum, term);
        if constexpr (Items > 0) value = term;
      },
      x);
  const float sum = fold_lanes(lane_sum);
  const float inverse = exact::div(1.0f, sum);
  each_of_lane(
      [&](unsigned i, bool inside, float& value) {
        if (inside && writes) out[i] = exact::mul(Items > 0 ? value : exponential(value), inverse);
      },
      x);
  return {largest, sum};
}

}  // namespace gradmesh::ops::device
