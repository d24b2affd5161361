// The device that this suite runs on, and how much it may ask of it: a real GPU, or the emulator with small
// sizes.
#pragma once
#include <string>
#include <vector>

#include "check.h"
#include "device/device.h"

namespace gpu_test {

struct Suite {
  gradmesh::device::SharedDevice device;
  bool large = false;  // lengths that only a GPU codes in time
};

// Filled by main.cpp before the first test.
Suite& suite();

}  // namespace gpu_test
