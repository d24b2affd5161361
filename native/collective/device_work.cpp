// Device steps: which stream each runs in, and how its end is seen.
#include "collective/device_work.h"

#include "base/assert.h"

namespace gradmesh {

Status DeviceStaging::create(const device::SharedDevice& device, std::unique_ptr<DeviceStaging>* staging) {
  auto made = std::make_unique<DeviceStaging>();
  made->device_ = device;
  GM_TRY(device::Stream::create(device, &made->down_.stream));
  GM_TRY(device::Stream::create(device, &made->up_.stream));
  *staging = std::move(made);
  return Status::ok();
}

Status DeviceStaging::hold(uint64_t pinned_bytes, uint64_t wire_bytes, uint64_t scratch_bytes) {
  const auto grow = [&](device::Memory::Kind kind, uint64_t bytes, device::Memory* memory) {
    if (memory->bytes() >= bytes) return Status::ok();
    *memory = {};  // the old first, so that there is room for the new
    return device::Memory::allocate(device_, kind, bytes, memory);
  };
  GM_TRY(grow(device::Memory::Kind::pinned, pinned_bytes, &pinned_));
  GM_TRY(grow(device::Memory::Kind::device, wire_bytes, &wires_));
  GM_TRY(grow(device::Memory::Kind::device, scratch_bytes, &down_.scratch));
  return grow(device::Memory::Kind::device, scratch_bytes, &up_.scratch);
}

DeviceWork::DeviceWork(DeviceStaging& staging, const Wires& wires, const Memory& memory)
    : staging_(staging), wires_(wires), memory_(memory) {}

DeviceWork::~DeviceWork() {
  for (DeviceStaging::Lane* lane : {&staging_.down_, &staging_.up_}) {
    (void)lane->stream.synchronize();  // a broken device has ended its work too
    for (auto& [index, event] : lane->started) staging_.events_.push_back(std::move(event));
    lane->started.clear();
  }
}

bool DeviceWork::codes(const Step& step) {
  return (step.kind == StepKind::encode && step.sources[0].space == Space::input) ||
         (step.kind == StepKind::decode && step.target.space == Space::output);
}

bool DeviceWork::takes(const Step& step) const {
  if (step.kind == StepKind::load || step.kind == StepKind::store) return true;
  return memory_.input_mirror == nullptr && codes(step);
}

Status DeviceWork::start(uint32_t index, const Step& step, const CodecKey& key) {
  GM_TRY(staging_.device()->use());
  const uint64_t at = step.target.offset, bytes = step.target.elements * sizeof(float);
  switch (step.kind) {
    case StepKind::encode:
      GM_TRY(encode(step, key));
      return mark(index, staging_.down_);
    case StepKind::load:
      GM_TRY(staging_.down_.stream.copy(memory_.input_mirror + at, memory_.input + at, bytes));
      return mark(index, staging_.down_);
    case StepKind::decode:
      GM_TRY(decode(step, key));
      return mark(index, staging_.up_);
    case StepKind::store:
      GM_TRY(staging_.up_.stream.copy(memory_.output + at, memory_.output_mirror + at, bytes));
      return mark(index, staging_.up_);
    default:
      GM_ASSERT(false);
  }
}

// On the device, then the wire down.
Status DeviceWork::encode(const Step& step, const CodecKey& key) {
  const auto& [stream, scratch, started] = staging_.down_;
  const uint64_t elements = step.target.elements, at = step.target.offset;
  const Codec& codec = wires_.of(step.target.space);
  uint8_t* wire = staging_.wires() + at;
  GM_TRY(
      staging_.device()->check(loops(codec).encode(codec.options, key, memory_.input + step.sources[0].offset,
                                                   elements, wire, scratch.data(), stream.handle()),
                               "encoding"));
  return stream.copy(staging_.pinned() + at, wire, codec.bytes(elements));
}

// The wire up, then on the device.
Status DeviceWork::decode(const Step& step, const CodecKey& key) {
  const auto& [stream, scratch, started] = staging_.up_;
  const uint64_t elements = step.target.elements, at = step.sources[0].offset;
  const Codec& codec = wires_.of(step.sources[0].space);
  uint8_t* wire = staging_.wires() + at;
  GM_TRY(stream.copy(wire, staging_.pinned() + at, codec.bytes(elements)));
  return staging_.device()->check(
      loops(codec).decode(codec.options, key, wire, elements, memory_.output + step.target.offset,
                          scratch.data(), stream.handle()),
      "decoding");
}

Status DeviceWork::mark(uint32_t index, DeviceStaging::Lane& lane) {
  device::Event event;
  if (staging_.events_.empty()) {
    GM_TRY(device::Event::create(staging_.device(), &event));
  } else {
    event = std::move(staging_.events_.back());
    staging_.events_.pop_back();
  }
  GM_TRY(event.record(lane.stream));
  lane.started.emplace_back(index, std::move(event));
  return Status::ok();
}

Status DeviceWork::ended(uint32_t* index, bool* found) {
  GM_TRY(ended(staging_.down_, index, found));
  return *found ? Status::ok() : ended(staging_.up_, index, found);
}

Status DeviceWork::ended(DeviceStaging::Lane& lane, uint32_t* index, bool* found) {
  *found = false;
  if (lane.started.empty()) return Status::ok();
  GM_TRY(lane.started.front().second.done(found));
  if (!*found) return Status::ok();
  *index = lane.started.front().first;
  staging_.events_.push_back(std::move(lane.started.front().second));
  lane.started.pop_front();
  return Status::ok();
}

}  // namespace gradmesh
