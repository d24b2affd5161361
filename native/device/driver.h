// The NVIDIA driver itself, asked without CUDA: why a machine has no GPU, or what its GPUs are called.
#pragma once
#include <string>
#include <vector>

namespace gradmesh::device {

struct Driver {
  std::string reason;  // why there is no GPU, a clause without a full stop; empty when there is one
  std::vector<std::string> names;  // of the GPUs
};

// Starting a driver takes long: looks once a process.
const Driver& driver();

}  // namespace gradmesh::device
