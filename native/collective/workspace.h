// The scratch memory of one operation, on the host and on a device; an endpoint keeps some between
// operations.
#pragma once
#include <memory>
#include <vector>

#include "collective/arena.h"
#include "collective/operation.h"

namespace gradmesh {

class Workspace {
 public:
  // What the request's schedule reads and writes: the caller's tensors and scratch memory of its own.
  Status hold(const OperationRequest& request, OperationMemory* memory);

 private:
  Status hold_device(const OperationRequest& request, OperationMemory* memory);

  Arena arena_;
  std::unique_ptr<DeviceStaging> device_;  // of the device of the last operation that had one
};

class Workspaces {
 public:
  std::unique_ptr<Workspace> take();
  void give_back(std::unique_ptr<Workspace> workspace);

 private:
  static constexpr size_t kKept = 2;
  std::vector<std::unique_ptr<Workspace>> free_;
};

}  // namespace gradmesh
