// What error feedback does with one element (feedback.h says the rule): the definition that CPU and CUDA
// share.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/convert.h"
#include "numeric/exact.h"

namespace gradmesh::feedback {

HD float advance(float decay, float state, float x) { return exact::canonical(exact::fma(decay, state, x)); }
HD float settle(float alpha, float state, float sent) {
  const bool finite = (exact::bits(sent) & 0x7fffffffu) < 0x7f800000u;
  return finite ? exact::canonical(exact::fma(-alpha, sent, state)) : 0.0f;
}

// The loops of one backend, in place on state[elements].
struct Loops {
  void (*advance)(float decay, const float* x, size_t elements, float* state);
  void (*settle)(float alpha, const float* sent, size_t elements, float* state);
};

}  // namespace gradmesh::feedback
