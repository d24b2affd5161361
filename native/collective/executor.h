// Runs the steps of any schedule: knows which are ready, and does those that need no peer. It touches no
// network: the operation asks it for sends and gives it what was received.
#pragma once
#include <deque>
#include <memory>
#include <span>

#include "collective/device_work.h"
#include "collective/region.h"
#include "collective/schedule.h"

namespace gradmesh {

// The memory that a schedule's regions name.
struct Buffers {
  const uint8_t* input = nullptr;  // [elements] of the dtype, never written
  uint8_t* output = nullptr;       // [elements] of the dtype
  uint8_t* staging = nullptr;      // [schedule.staging_bytes], aligned to 64
  const float* state = nullptr;    // [elements] of an owner's error feedback, or null where there is none
  float* next = nullptr;           // [elements], likewise
  DeviceWork* device = nullptr;    // does the steps that a device does; null: the tensor is the host's
};

class Executor {
 public:
  // What the arithmetic depends on; seed and step key the codec's random numbers.
  struct Arguments {
    Wires wires;
    Dtype dtype;
    Reduction reduction;
    uint32_t ranks;
    uint64_t seed, step;
  };
  Executor(std::shared_ptr<const Schedule> schedule, const Arguments& arguments, const Buffers& buffers);
  static Arguments arguments_of(const ScheduleRequest& request, uint64_t seed, uint64_t step) {
    return {wires_of(request), request.dtype, request.reduction, request.ranks, seed, step};
  }

  const Step& step(uint32_t index) const { return schedule_->steps[index]; }
  uint32_t steps() const { return static_cast<uint32_t>(schedule_->steps.size()); }
  uint32_t steps_done() const { return done_count_; }
  bool finished() const { return done_count_ == steps(); }
  const std::vector<bool>& done() const { return done_; }
  const Schedule& schedule() const { return *schedule_; }

  // Every wait of the step is done, so its memory may be used.
  bool ready(uint32_t index) const { return waits_left_[index] == 0; }
  // A send that has become ready, in the order of readiness; false when there is none. Segments of one phase
  // and chunk go to a peer in the schedule's order: whoever lends memory in turns takes the first of them
  // first, and one that came too soon could keep it behind itself in the last stream that is still read.
  bool next_send(uint32_t* index);
  // A recv that has become ready likewise; each is given once.
  bool next_recv(uint32_t* index) { return take(recvs_, index); }
  bool has_work() const { return !local_.empty(); }
  // Does the local step that has been ready longest, or starts it where a device does it. The error of a
  // device.
  Status work();
  // For whoever orders local steps on a host himself: the one that has been ready longest, each given once;
  // and doing it.
  bool next_work(uint32_t* index) { return take(local_, index); }
  void work(uint32_t index) {
    run(step(index));
    complete(index);
  }
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
  static bool take(std::deque<uint32_t>& ready, uint32_t* index);
  void make_ready(uint32_t index);
  void order_sends();
  void run(const Step& step);
  void reduce(const Step& step);
  void average(const Step& step);
  void sum_exactly(const Step& step, float* decoded);
  void elementwise(const Step& step);
  bool sixteen(const Region& region) const;
  uint64_t bytes(const Region& region) const;
  const uint8_t* at(const Region& region) const;
  uint8_t* writable(const Region& region) const;
  // The elements as fp32: where they lie, or converted to scratch `which`.
  const float* floats(const Region& region, size_t which);
  const CodecLoops& loops_of(const Region& wire) const {
    return wire.space == Space::down ? down_loops_ : loops_;
  }
  const CodecOptions& options_of(const Region& wire) const { return arguments_.wires.of(wire.space).options; }
  // Where fp32 results go: to the region itself, or to scratch until put() rounds them to 16 bits.
  float* result(const Region& region, size_t which);
  void put(const Region& region, const float* results);
  CodecKey key(const Step& step) const { return {arguments_.seed, arguments_.step, step.first, step.coder}; }

  const std::shared_ptr<const Schedule> schedule_;
  const Arguments arguments_;
  const CodecLoops &loops_, &down_loops_;
  const Codec& own_;  // the dtype's codec, whose wire is the tensor's own memory
  const CodecLoops& own_loops_;
  const Buffers buffers_;
  std::vector<uint32_t> waits_left_;  // a send also waits for the one before it (follower_)
  std::vector<uint32_t> follower_;    // of a send: the next of its phase, chunk and peer; 0: none
  std::vector<uint32_t> dependents_,
      dependents_begin_;  // of step i: [dependents_begin_[i], dependents_begin_[i + 1])
  std::deque<uint32_t> local_, sends_, recvs_;
  std::vector<bool> done_;
  uint32_t done_count_ = 0;
  std::vector<const uint8_t*> wires_;
  std::vector<float> scratch_[3];
  std::vector<double> sums_;
};

}  // namespace gradmesh
