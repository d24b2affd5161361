// The loops of error feedback and momentum residue.
#include <cstddef>

#include "codec/feedback_element.h"

namespace gradmesh::GM_ISA {
namespace {

void advance(float decay, const float* __restrict x, size_t elements, float* __restrict state) {
  for (size_t i = 0; i < elements; i++) state[i] = feedback::advance(decay, state[i], x[i]);
}

void settle(float alpha, const float* __restrict sent, size_t elements, float* __restrict state) {
  for (size_t i = 0; i < elements; i++) state[i] = feedback::settle(alpha, state[i], sent[i]);
}

}  // namespace

extern const feedback::Loops feedback_loops;
const feedback::Loops feedback_loops = {advance, settle};

}  // namespace gradmesh::GM_ISA
