// The steps of a schedule whose tensor lies on a device: they are started in a stream and end some time
// later, while the I/O thread goes on sending and receiving. Coding runs on the device, so only wires cross
// the bus.
//
// Two streams, one for each direction, so that copies up and down and the kernels overlap.
#pragma once
#include <deque>

#include "codec/codec.h"
#include "collective/region.h"
#include "device/device.h"

namespace gradmesh {

// Memory and streams of one device that an endpoint keeps between operations; its content means nothing
// between them.
class DeviceStaging {
 public:
  static Status create(const device::SharedDevice& device, std::unique_ptr<DeviceStaging>* staging);
  // Grows what is too small; what data() gave before is gone.
  Status hold(uint64_t pinned_bytes, uint64_t wire_bytes, uint64_t scratch_bytes);

  const device::SharedDevice& device() const { return device_; }
  uint8_t* pinned() const {
    return pinned_.data();
  }  // host memory that copies to and from the device need no detour for
  uint8_t* wires() const { return wires_.data(); }  // device memory at the offsets of the schedule's staging

 private:
  friend class DeviceWork;
  struct Lane {
    device::Stream stream;
    device::Memory scratch;
    std::deque<std::pair<uint32_t, device::Event>> started;  // in order: what is done first comes first
  };
  device::SharedDevice device_;
  device::Memory pinned_, wires_;
  Lane down_, up_;  // from the device, to the device
  std::vector<device::Event> events_;
};

class DeviceWork {
 public:
  // input and output lie on the device; mirrors in pinned memory, null where only coding touches the tensor.
  struct Memory {
    const float* input;
    float* output;
    float *input_mirror, *output_mirror;
  };
  DeviceWork(DeviceStaging& staging, const Wires& wires, const Memory& memory);
  // Waits for what has been started: it reads and writes the caller's memory.
  ~DeviceWork();

  // Whether the step only codes the tensor, which a device can do: encode from the input, decode to the
  // output.
  static bool codes(const Step& step);
  // load and store; and coding, unless the host does it on mirrors. The others work on pinned memory alone.
  bool takes(const Step& step) const;
  Status start(uint32_t index, const Step& step, const CodecKey& key);
  bool pending() const { return !staging_.down_.started.empty() || !staging_.up_.started.empty(); }
  // A step that has ended, each once; false where none has.
  Status ended(uint32_t* index, bool* found);

 private:
  Status encode(const Step& step, const CodecKey& key);
  Status decode(const Step& step, const CodecKey& key);
  Status mark(uint32_t index, DeviceStaging::Lane& lane);
  Status ended(DeviceStaging::Lane& lane, uint32_t* index, bool* found);

  DeviceStaging& staging_;
  const DeviceCodecLoops& loops(const Codec& codec) const {
    return *staging_.device()->table().codec[codec.row];
  }
  const Wires wires_;
  const Memory memory_;
};

}  // namespace gradmesh
