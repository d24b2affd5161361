// One collective on its way: the executor's steps over the links of its group, and the agreement of the group
// on how it ends. Belongs to the I/O thread.
//
// Every rank opens with `begin`, which says what it thinks the operation is; frames of data follow. A rank
// that has done all its steps says `done`. It succeeds once every other rank has said so too, or is lost:
// whoever said done needs nothing more, so a rank that is lost then is no loss, and one that still needs
// something fails and says `abort` before it ever says done. So where ranks only crash, all survivors end
// alike: all with the same bytes, or all with the error of the first that failed.
//
// A caller with an agreement of its own above (a vote) may do without this one, which costs one more one-way
// delay: it then succeeds as soon as its own steps are done, though another rank may yet fail.
#pragma once
#include <functional>
#include <unordered_map>

#include "base/cancel.h"
#include "collective/agreement.h"
#include "collective/early.h"
#include "collective/executor.h"
#include "collective/plan.h"
#include "collective/salvage.h"
#include "transport/link.h"

namespace gradmesh {

struct OperationRequest {
  uint64_t id = 0;  // the same on all ranks, and of no earlier operation of the endpoint
  std::shared_ptr<const Plan> plan;
  std::vector<int32_t> links{};  // [ranks], -1 at one's own
  uint64_t seed = 0, step = 0;   // what the codec's random numbers are keyed by; the same on all ranks
  device::SharedDevice
      device{};  // where input and output lie, complete when run() is called; null: on the host
  const uint8_t* input = nullptr;  // [elements] of the plan's dtype
  uint8_t* output = nullptr;       // [elements]
  const float* state = nullptr;    // [elements], on the host, where the plan feeds back; read only
  float* next = nullptr;           // [elements], likewise: the owner's chunk of it is written
  double* report = nullptr;        // [kReportLength]
  uint32_t limit_ms = 0;
  bool agree = true;  // succeed only when all ranks are done
  std::shared_ptr<Cancel> cancel{};
  std::function<void(Status)> done{};  // called once, from the I/O thread
};
// payload bytes sent, framing bytes sent, bytes received, seconds, lost rank or -1, steps done
inline constexpr size_t kReportLength = 6;

// Where the steps of one operation read and write; device is null where the tensor is the host's.
struct OperationMemory {
  std::shared_ptr<const Schedule> schedule;  // the plan's, or that with a mirror of a device's tensor
  Buffers host;
  std::shared_ptr<DeviceWork> device;
};

class Operation {
 public:
  // links[rank]; null at one's own, and where the link is lost already. memory is what the executor works in.
  Operation(OperationRequest request, const OperationMemory& memory, std::vector<Link*> links,
            std::function<void(const Operation&)> after_step);

  uint64_t id() const { return request_.id; }
  uint32_t rank() const { return rank_; }
  uint32_t steps_done() const { return executor_.steps_done(); }
  bool ended() const { return ended_; }
  const Status& status() const { return status_; }
  // What of the output is final: all of it after success.
  std::vector<Range> finished() const { return finished_ranges(executor_.schedule(), executor_.done()); }

  void start();
  // What came of the rank before start(), and what is still landing of it.
  Status early(uint32_t rank, EarlyFrames::Frames frames);
  // The rank of the link; false where the link is not of the group.
  bool rank_of(const Link& link, uint32_t* rank) const;
  // The place of a data frame.
  Status arriving(uint32_t rank, const FrameHeader& header, Landing* landing);
  Status arrived(uint32_t rank, const FrameHeader& header, std::span<const uint8_t> payload, uint32_t step);
  void sent(uint32_t rank, const OutgoingFrame& frame);
  void lost(uint32_t rank, const Status& why);
  bool has_work() const { return !ended_ && (executor_.has_work() || executor_.waits_for_device()); }
  void work();
  void cancel();
  void tick(int64_t now);
  int64_t deadline_ms() const { return deadline_ms_; }
  // The endpoint ends: to the others this rank is lost.
  void close(const Status& why) { fail({.code = GM_PEER_LOST, .origin = rank_, .rank = rank_}, why); }
  // Once ended: lets go of links and the caller's memory; then fills in the report and calls done.
  void release();
  void report();

  // The step of data that landed in an early frame.
  static constexpr uint32_t kEarlyStep = ~uint32_t{0};

 private:
  struct Peer {
    Link* link = nullptr;
    bool begun = false, done = false, lost = false;
    bool held = false;  // a frame of its link waits for a step of ours
    uint32_t receives_left = 0, sends_left = 0;
    uint64_t eager_cost = 0;                          // of what was sent before it has begun
    std::deque<uint32_t> sends;                       // ready, but it has not begun
    std::unordered_map<uint64_t, uint32_t> receives;  // tag -> step, of frames that have not begun to arrive
    EarlyFrames::Frames early;                        // data not yet taken
  };

  Signature signature(uint32_t peer) const;
  Status arrived_begin(uint32_t rank, std::span<const uint8_t> payload);
  Status arrived_done(uint32_t rank, std::span<const uint8_t> payload);
  Status arrived_abort(std::span<const uint8_t> payload);
  Status expected(uint32_t rank, const FrameHeader& header, uint32_t* step) const;
  Status landed_early(uint32_t rank);
  bool take_early(uint32_t rank);
  void step_completed(uint32_t step);
  void pump();
  bool hand_over(uint32_t step);
  void settle();
  void send_control(Link& link, FrameType type, const uint8_t* payload, uint32_t length);
  uint64_t awaited() const;
  void count_received(uint32_t rank, const FrameHeader& header);
  void fail(const Abort& abort, Status status);

  OperationRequest request_;
  const uint32_t rank_;
  std::shared_ptr<DeviceWork> device_;  // which the executor uses
  Executor executor_;
  std::vector<Peer> peers_;
  std::function<void(const Operation&)> after_step_;
  const std::chrono::steady_clock::time_point started_;
  int64_t deadline_ms_;
  bool said_done_ = false, ended_ = false;
  Status status_;
  int32_t lost_rank_ = -1;
  double seconds_ = 0;
  uint64_t payload_sent_ = 0, framing_sent_ = 0, received_ = 0;
};

}  // namespace gradmesh
