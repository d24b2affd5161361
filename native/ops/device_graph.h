// An operator graph on a GPU: the nodes run in order on one stream. Each binding has a mirror in the GPU's
// memory, so that parameters and optimizer state can stay there from run to run; the caller says what is
// copied when.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"
#include "ops/profile.h"
#include "ops/runner.h"

namespace gradmesh::ops {

class DeviceGraph : public Runner {
 public:
  // GM_INVALID_ARGUMENT as make_plan says; GM_UNSUPPORTED for a plugin that lacks an operator of the plan;
  // GM_OUT_OF_MEMORY when the GPU cannot hold the mirrors and the intermediate tensors.
  static Status create(const Description& description, device::SharedDevice device,
                       std::shared_ptr<DeviceGraph>* graph);
  ~DeviceGraph() override;

  Status run(std::span<const gm_bytes> bindings, std::span<const int32_t> transfers,
             const Cancel* cancel) override;
  Status trace(std::span<const gm_bytes>, uint32_t, uint32_t, std::span<uint8_t>) override;
  Status read(uint32_t, uint64_t, std::span<float>) override;
  Status write(uint32_t, uint64_t, std::span<const float>) override;
  std::string profile() const override;

 private:
  // Elements [begin, end) of a binding.
  struct Range {
    uint64_t begin, end;
  };
  struct Binding {
    device::Memory mirror;
    bool mirrored = false;       // it has f32 tensors; i32 ones are in indices_
    std::vector<Range> written;  // by any node; sorted and apart
    bool read = false;           // by a node, where none has written before
    bool current = false;  // the mirror holds what it should: it was uploaded, or a whole run has written it
  };

  DeviceGraph(Plan plan, device::SharedDevice device);
  Status prepare();
  Status check_operators() const;
  void find_ranges();
  Status start(std::span<const gm_bytes> bindings, const std::vector<bool>& uploads);
  Status upload(std::span<const gm_bytes> bindings, const std::vector<bool>& uploads);
  Status run_nodes(bool timed, const Cancel* cancel);
  Status launch(size_t node);
  Status download(std::span<const gm_bytes> bindings, std::span<const int32_t> transfers);
  Status count_nodes(bool timed);
  void* address(uint32_t tensor) const;
  static void add_range(std::vector<Range>* ranges, Range range);
  static bool covers(const std::vector<Range>& ranges, Range range);

  const Plan plan_;
  const device::SharedDevice device_;
  device::Memory arena_, scratch_, indices_, staging_;  // staging: pinned, where indices are checked
  std::vector<Binding> bindings_;
  device::Stream stream_;
  std::vector<device::Event> events_;  // before each node, and after the last; none until times are asked for
  mutable std::atomic<bool> timed_ = false;
  std::mutex running_;
  Profile profile_;
};

}  // namespace gradmesh::ops
