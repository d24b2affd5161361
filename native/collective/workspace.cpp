// Holding memory for operations.
#include "collective/workspace.h"

#include <algorithm>

#include "collective/mirror.h"
#include "collective/partition.h"

namespace gradmesh {
namespace {

// Whether a device can do all that touches the tensor: coding it. Else the host works on a mirror.
bool codes_only(const Schedule& schedule) {
  const auto tensor = [](const Region& region) {
    return region.space == Space::input || region.space == Space::output;
  };
  return std::all_of(schedule.steps.begin(), schedule.steps.end(), [&](const Step& step) {
    const bool touches = std::any_of(step.sources.begin(), step.sources.end(), tensor) ||
                         (step.kind != StepKind::send && tensor(step.target));
    return !touches || DeviceWork::codes(step);
  });
}

// scratch_bytes becomes what the codec's twin needs for a segment, where that is more.
Status check_device_codec(const Codec& codec, const DeviceTable& table, uint64_t segment,
                          uint64_t* scratch_bytes) {
  const DeviceCodecLoops* loops = codec.row < table.codecs ? table.codec[codec.row] : nullptr;
  if (loops == nullptr)
    return {GM_UNSUPPORTED, "codec is " + codec.spec + ", which the CUDA plugin of this build lacks"};
  if (codec.traits.block_elements % 4 != 0)
    return {GM_INVALID_ARGUMENT,
            "codec is " + codec.spec + ", whose blocks of " + std::to_string(codec.traits.block_elements) +
                " elements leave the 16-byte alignment that a device needs; allowed there: "
                "blocks of a multiple of 4 elements"};
  if (loops->scratch_bytes != nullptr)
    *scratch_bytes = std::max<uint64_t>(*scratch_bytes, loops->scratch_bytes(codec.options, segment, 1));
  return Status::ok();
}

}  // namespace

Status Workspace::hold(const OperationRequest& request, OperationMemory* memory) {
  memory->schedule = {request.plan, &request.plan->schedule};
  memory->host.input = request.input;
  memory->host.output = request.output;
  memory->host.state = request.state;
  memory->host.next = request.next;
  if (request.device != nullptr) return hold_device(request, memory);
  return arena_.hold(request.plan->schedule.staging_bytes, &memory->host.staging);
}

Status Workspace::hold_device(const OperationRequest& request, OperationMemory* memory) {
  const ScheduleRequest& plan = request.plan->request;
  const Wires wires = wires_of(plan);
  if (plan.dtype != Dtype::fp32)
    return {GM_UNSUPPORTED,
            std::string("dtype is ") + dtype_name(plan.dtype) + "; allowed for a tensor on a device: fp32"};
  uint64_t mirror_bytes = 0, scratch_bytes = 0;
  const bool mirrored =
      wires.up->traits.identity || wires.down->traits.identity || !codes_only(request.plan->schedule);
  if (mirrored) {
    auto schedule = std::make_shared<Schedule>(request.plan->schedule);
    mirror_on_host(schedule.get());
    memory->schedule = std::move(schedule);
    mirror_bytes = (plan.elements * sizeof(float) + 63) / 64 * 64;
  } else {
    const uint64_t segment =
        std::min(plan.elements, segment_length(plan.segment_elements, plan.block_elements()));
    for (const Codec* codec : {wires.up, wires.down})
      GM_TRY(check_device_codec(*codec, request.device->table(), segment, &scratch_bytes));
  }
  if (device_ == nullptr || device_->device()->index() != request.device->index() ||
      &device_->device()->table() != &request.device->table())
    GM_TRY(DeviceStaging::create(request.device, &device_));
  const uint64_t staging_bytes = memory->schedule->staging_bytes;
  const uint64_t wire_bytes = mirrored ? 0 : staging_bytes;
  GM_TRY(device_->hold(staging_bytes + 2 * mirror_bytes, wire_bytes, scratch_bytes));
  memory->host.staging = device_->pinned();
  DeviceWork::Memory device{reinterpret_cast<const float*>(request.input),
                            reinterpret_cast<float*>(request.output), nullptr, nullptr};
  if (mirrored) {
    device.input_mirror = reinterpret_cast<float*>(device_->pinned() + staging_bytes);
    device.output_mirror = reinterpret_cast<float*>(device_->pinned() + staging_bytes + mirror_bytes);
    memory->host.input = device_->pinned() + staging_bytes;
    memory->host.output = device_->pinned() + staging_bytes + mirror_bytes;
  }
  memory->device = std::make_shared<DeviceWork>(*device_, wires, device);
  memory->host.device = memory->device.get();
  return Status::ok();
}

std::unique_ptr<Workspace> Workspaces::take() {
  if (free_.empty()) return std::make_unique<Workspace>();
  auto workspace = std::move(free_.back());
  free_.pop_back();
  return workspace;
}

void Workspaces::give_back(std::unique_ptr<Workspace> workspace) {
  if (free_.size() < kKept) free_.push_back(std::move(workspace));
}

}  // namespace gradmesh
