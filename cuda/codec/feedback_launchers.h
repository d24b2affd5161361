// The steps of error feedback in device memory, as native/codec/feedback_element.h has them on the CPU;
// between them the codec encodes the state and decodes what it sent. Pointers are multiples of 16; the result
// is CUDA's error.
#pragma once
#include "table.h"

namespace gradmesh::cuda {

int feedback_advance(float decay, const float* x, size_t elements, float* state, DeviceStream stream);
int feedback_settle(float alpha, const float* sent, size_t elements, float* state, DeviceStream stream);

}  // namespace gradmesh::cuda
