// One collective on its way: the executor's steps over the links of its group, and the agreement of the group
// on how it ends. Belongs to the I/O thread.
//
// Every rank opens with `begin`, which says what it thinks the operation is; frames of data follow. A rank
// that has done all its steps says `done`. It succeeds once every other rank has said so too, or is lost:
// whoever said done needs nothing more, so a rank that is lost then is no loss, and one that still needs
// something fails and says `abort` before it ever says done. So where ranks only crash, all survivors end
// alike: all with the same bytes, or all with the error of the first that failed.
#pragma once
#include <functional>
#include <unordered_map>

#include "base/cancel.h"
#include "collective/agreement.h"
#include "collective/executor.h"
#include "transport/link.h"

namespace gradmesh {

struct OperationRequest {
  uint64_t id = 0;  // ascending on an endpoint; the same on all ranks
  ScheduleRequest schedule;
  std::vector<int32_t> links{};  // [ranks], -1 at one's own
  uint64_t seed = 0, step = 0;   // what the codec's random numbers are keyed by; the same on all ranks
  device::SharedDevice
      device{};  // where input and output lie, complete when run() is called; null: on the host
  const float* input = nullptr;  // [schedule.elements]
  float* output = nullptr;       // [schedule.elements]
  double* report = nullptr;      // [kReportLength]
  uint32_t limit_ms = 0;
  std::shared_ptr<Cancel> cancel{};
  std::function<void(Status)> done{};  // called once, from the I/O thread
};
// payload bytes sent, framing bytes sent, bytes received, seconds, lost rank or -1, steps done
inline constexpr size_t kReportLength = 6;

// Where the steps of one operation read and write; device is null where the tensor is the host's.
struct OperationMemory {
  Buffers host;
  std::shared_ptr<DeviceWork> device;
};

class Operation {
 public:
  // links[rank]; null at one's own, and where the link is lost already. memory is what the executor works in.
  Operation(OperationRequest request, Schedule schedule, const OperationMemory& memory,
            std::vector<Link*> links, std::function<void(const Operation&)> after_step);

  uint64_t id() const { return request_.id; }
  uint32_t rank() const { return rank_; }
  uint32_t steps_done() const { return executor_.steps_done(); }
  bool ended() const { return ended_; }
  const Status& status() const { return status_; }

  void start();
  // The rank of the link; false where the link is not of the group.
  bool rank_of(const Link& link, uint32_t* rank) const;
  // The place of a data frame.
  Status arriving(uint32_t rank, const FrameHeader& header, Place* place, uint8_t** target);
  Status arrived(uint32_t rank, const FrameHeader& header, std::span<const uint8_t> payload);
  void sent(uint32_t rank, const OutgoingFrame& frame);
  void lost(uint32_t rank, const Status& why);
  // The rank is in a newer operation already: fine where it is done with this one, else the end of this one.
  void newer(uint32_t rank);
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

 private:
  struct Peer {
    Link* link = nullptr;
    bool begun = false, done = false, lost = false;
    uint32_t receives_left = 0, sends_left = 0;
    std::unordered_map<uint64_t, uint32_t> receives;  // tag -> step, of frames that have not begun to arrive
    uint32_t arriving = 0;                            // the step whose frame is arriving
    bool held = false;                                // its next frame waits for a step of ours
  };

  Signature signature(uint32_t peer) const;
  Status arrived_begin(uint32_t rank, std::span<const uint8_t> payload);
  Status arrived_done(uint32_t rank, std::span<const uint8_t> payload);
  Status arrived_abort(std::span<const uint8_t> payload);
  void step_completed(uint32_t step);
  void pump();
  void settle();
  void send_control(Link& link, FrameType type, const uint8_t* payload, uint32_t length);
  uint32_t awaited() const;
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
