// The loops of arithmetic.h for one instruction set.
#include "collective/arithmetic.h"

#include "codec/feedback_element.h"
#include "numeric/lanes.h"
#include "numeric/order.h"

namespace gradmesh::GM_ISA {
namespace {

// target[i] = body of the sources' lanes; the tail as part of a vector.
template <class Body>
HD void each(size_t elements, float* target, Body&& body) {
  size_t at = 0;
  for (; at + kLanes <= elements; at += kLanes)
    store(target + at, canonical(body([=](const float* p) { return load(p + at); })));
  const size_t rest = elements - at;
  if (rest != 0)
    store_part(target + at, canonical(body([=](const float* p) { return load_part(p + at, rest); })), rest);
}

void add_loop(const float* a, const float* b, size_t elements, float* target) {
  each(elements, target, [=](auto&& lanes) { return add(lanes(a), lanes(b)); });
}

void maximum_loop(const float* a, const float* b, size_t elements, float* target) {
  for (size_t at = 0; at < elements; ++at) {
    const int32_t left = order::key(a[at]), right = order::key(b[at]);
    const float largest = order::from_key(left > right ? left : right);
    const bool number = a[at] == a[at] && b[at] == b[at];
    target[at] = number ? largest : exact::from_bits(exact::kNan);
  }
}

void divide_loop(const float* source, float divisor, size_t elements, float* target) {
  each(elements, target, [=](auto&& lanes) { return div(lanes(source), spread(divisor)); });
}

void scale_loop(const float* source, float factor, size_t elements, float* target) {
  each(elements, target, [=](auto&& lanes) { return mul(lanes(source), spread(factor)); });
}

void fold_loop(const float* source, float factor, size_t elements, float* target) {
  each(elements, target, [=](auto&& lanes) { return fma(spread(factor), lanes(source), lanes(target)); });
}

void advance_loop(const float* residue, float factor, const float* source, size_t elements, float* target) {
  each(elements, target, [=](auto&& lanes) { return fma(spread(factor), lanes(residue), lanes(source)); });
}

void settle_loop(const float* source, size_t elements, float* target) {
  for (size_t at = 0; at < elements; ++at) target[at] = feedback::settle(1.0f, target[at], source[at]);
}

// What an addition rounded away is nothing, by Knuth's two-sum.
uint32_t accumulate_loop(const float* __restrict source, size_t elements, double* __restrict sums) {
  int64_t lost = 0;
  for (size_t at = 0; at < elements; ++at) {
    const double before = sums[at], term = static_cast<double>(source[at]), sum = before + term;
    const double back = sum - before, error = (before - (sum - back)) + (term - back);
    lost |= error == 0.0 ? 0 : 1;
    sums[at] = sum;
  }
  return lost != 0;
}

void quotients_loop(const double* __restrict sums, double divisor, size_t elements,
                    float* __restrict target) {
  for (size_t at = 0; at < elements; ++at)
    target[at] = exact::canonical(static_cast<float>(sums[at] / divisor));
}

}  // namespace

extern const Arithmetic arithmetic_loops;
const Arithmetic arithmetic_loops = {add_loop,     maximum_loop, divide_loop,     scale_loop,    fold_loop,
                                     advance_loop, settle_loop,  accumulate_loop, quotients_loop};

}  // namespace gradmesh::GM_ISA
