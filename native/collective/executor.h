// Runs the steps of any schedule: knows which are ready, and does those that need no peer. It touches no
// network: the operation asks it for sends and gives it what was received.
#pragma once
#include <deque>
#include <span>

#include "collective/device_work.h"
#include "collective/schedule.h"

namespace gradmesh {

// The memory that a schedule's regions name.
struct Buffers {
  const float* input = nullptr;  // [elements], never written
  float* output = nullptr;       // [elements]
  uint8_t* staging = nullptr;    // [schedule.staging_bytes]
  DeviceWork* device = nullptr;  // does the steps that a device does; null: the tensor is the host's
};

class Executor {
 public:
  // seed and round key the codec's random numbers.
  Executor(Schedule schedule, const Codec& codec, uint32_t ranks, uint64_t seed, uint64_t round,
           const Buffers& buffers);

  const Step& step(uint32_t index) const { return schedule_.steps[index]; }
  uint32_t steps() const { return static_cast<uint32_t>(schedule_.steps.size()); }
  uint32_t steps_done() const { return done_; }
  bool finished() const { return done_ == steps(); }

  // Every wait of the step is done, so its memory may be used.
  bool ready(uint32_t index) const { return waits_left_[index] == 0; }
  // A send that has become ready, in the order of readiness; false when there is none.
  bool next_send(uint32_t* index);
  // A recv that has become ready likewise; each is given once.
  bool next_recv(uint32_t* index);
  bool has_work() const { return !local_.empty(); }
  // Does the local step that has been ready longest, or starts it where a device does it. The error of a
  // device.
  Status work();
  // Steps that a device does now; poll() completes those that have ended, one a call, and says whether it
  // did.
  bool waits_for_device() const { return buffers_.device != nullptr && buffers_.device->pending(); }
  Status poll(bool* completed);
  // A send has left, or a recv has arrived.
  void complete(uint32_t index);

  // The bytes of a send, and the place of a recv.
  std::span<const uint8_t> payload(uint32_t index) const;
  std::span<uint8_t> target(uint32_t index) const;

 private:
  void make_ready(uint32_t index);
  void run(const Step& step);
  const uint8_t* bytes_of(const Region& region) const;
  uint8_t* writable(const Region& region) const;
  const float* floats_of(const Region& region) const;
  float* output(const Region& region) const;
  void mean(const Step& step);
  CodecKey key(const Step& step) const { return {seed_, step_, step.first, step.coder}; }

  const Schedule schedule_;
  const Codec& codec_;
  const CodecLoops& loops_;
  const uint32_t ranks_;
  const uint64_t seed_, step_;
  const Buffers buffers_;
  std::vector<uint32_t> waits_left_;
  std::vector<uint32_t> dependents_,
      dependents_begin_;  // of step i: [dependents_begin_[i], dependents_begin_[i + 1])
  std::deque<uint32_t> local_, sends_, recvs_;
  uint32_t done_ = 0;
};

}  // namespace gradmesh
