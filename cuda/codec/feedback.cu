// The twins of error feedback's two steps (native/codec/feedback.h): four elements to a thread, in place on
// the state.
#include "codec/feedback_element.h"
#include "codec/feedback_launchers.h"
#include "launch.h"

namespace gradmesh::cuda {
namespace {

// ---- helpers ----

constexpr unsigned kThreads = 256, kQuads = 4;
constexpr unsigned kTile = kThreads * 4 * kQuads;

// state[i] = step(state[i], x[i]) for the elements of this thread block, several loads in flight.
template <class Step>
__device__ __forceinline__ void each_element(const float* x, size_t elements, float* state, Step step) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kTile + 4 * threadIdx.x;
  float4 read[kQuads], before[kQuads];
#pragma unroll
  for (unsigned quad = 0; quad < kQuads; quad++) {
    const size_t i = first + quad * 4 * kThreads;
    if (i + 4 > elements) continue;
    read[quad] = *reinterpret_cast<const float4*>(x + i);
    before[quad] = *reinterpret_cast<const float4*>(state + i);
  }
#pragma unroll
  for (unsigned quad = 0; quad < kQuads; quad++) {
    const size_t i = first + quad * 4 * kThreads;
    if (i + 4 <= elements)
      *reinterpret_cast<float4*>(state + i) =
          make_float4(step(before[quad].x, read[quad].x), step(before[quad].y, read[quad].y),
                      step(before[quad].z, read[quad].z), step(before[quad].w, read[quad].w));
    else
      for (size_t j = i; j < elements; j++) state[j] = step(state[j], x[j]);
  }
}

// ---- kernels ----

__global__ void __launch_bounds__(kThreads)
    feedback_advance_kernel(float decay, const float* x, size_t elements, float* state) {
  each_element(x, elements, state,
               [=](float before, float value) { return feedback::advance(decay, before, value); });
}

__global__ void __launch_bounds__(kThreads)
    feedback_settle_kernel(float alpha, const float* sent, size_t elements, float* state) {
  each_element(sent, elements, state,
               [=](float before, float value) { return feedback::settle(alpha, before, value); });
}

}  // namespace

// ---- launchers ----

int feedback_advance(float decay, const float* x, size_t elements, float* state, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(feedback_advance_kernel, blocks_for(elements, kTile), kThreads, 0, stream, decay, x, elements,
                state);
}

int feedback_settle(float alpha, const float* sent, size_t elements, float* state, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(feedback_settle_kernel, blocks_for(elements, kTile), kThreads, 0, stream, alpha, sent,
                elements, state);
}

}  // namespace gradmesh::cuda
