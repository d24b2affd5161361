// The float arithmetic of schedules' steps, on the active backend. Every element is the exact:: operation of
// the same name; a NaN that comes of it is always 0x7fc00000.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gradmesh {

// target may be the memory of a source (the same start), else overlaps none.
struct Arithmetic {
  void (*add)(const float* a, const float* b, size_t elements, float* target);
  // By numeric/order.h's order; NaN where either is.
  void (*maximum)(const float* a, const float* b, size_t elements, float* target);
  void (*divide)(const float* source, float divisor, size_t elements, float* target);
  void (*scale)(const float* source, float factor, size_t elements, float* target);
  // target = fma(factor, source, target)
  void (*fold)(const float* source, float factor, size_t elements, float* target);
  // target = fma(factor, residue, source)
  void (*advance)(const float* residue, float factor, const float* source, size_t elements, float* target);
  // target = target - source, +0 where source is not finite
  void (*settle)(const float* source, size_t elements, float* target);
  // sums += source in doubles; not 0 where an addition of finite numbers was rounded (or one is not finite).
  uint32_t (*accumulate)(const float* source, size_t elements, double* sums);
  // target = sums / divisor, rounded to a double, then to a float.
  void (*quotients)(const double* sums, double divisor, size_t elements, float* target);
};
const Arithmetic& arithmetic();

}  // namespace gradmesh
