// Measuring a link: pings for the round trip, then a burst for the bandwidth, which the receiver times. One
// side asks (Probe), the other answers (ProbeMeter); both are pure: time comes as an argument.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "base/cancel.h"
#include "transport/frame.h"

namespace gradmesh {

inline constexpr uint64_t kProbeBytesMax = uint64_t{256} << 20;  // of one burst
inline constexpr uint32_t kProbePingsMax = 64;

struct ProbeRequest {
  uint64_t bytes = 0;    // of the burst, at most kProbeBytesMax; 0: pings only
  uint32_t streams = 1;  // that carry the burst, at most the link's
  uint32_t pings = 8;    // 1 to kProbePingsMax
  uint32_t limit_ms = 5000;
  std::shared_ptr<Cancel> cancel{};
};

struct ProbeResult {
  double round_trip_seconds = 0;         // the least of the pings
  double round_trip_median_seconds = 0;  // of the pings
  // Of payload, over the fastest quarter of what arrived, by when the sockets had found their speed; 0
  // without a burst. TCP takes some ten round trips to that: `bytes` should be several times what the link
  // carries in one. A burst is cut short at limit_ms; the rate is that of what arrived.
  double bytes_per_second = 0;
  uint64_t bytes = 0;    // that arrived
  uint32_t streams = 0;  // that carried the burst
};
using ProbeDone = std::function<void(const Status&, const ProbeResult&)>;

// What is said of a burst that arrived.
struct ProbeReport {
  uint64_t bytes = 0, duration_ns = 0;            // all of it, from its first frame to its last
  uint64_t best_bytes = 0, best_duration_ns = 0;  // its fastest quarter; 0: too little of it for that
};
inline constexpr uint32_t kProbeReportBytes = 32;

// The asking side of one probe.
class Probe {
 public:
  // What is wrong with a request to a link of so many streams: GM_INVALID_ARGUMENT.
  static Status check(const ProbeRequest& request, uint32_t streams);
  Probe(uint64_t id, const ProbeRequest& request, int64_t now_ns);
  uint32_t streams() const { return request_.streams; }
  // The next ping, or the end of the burst.
  bool wants_control() const;
  FrameHeader next_control(int64_t now_ns);
  // The next part of the burst; its payload is probe_noise().
  bool wants_part() const { return bursting_ && queued_ < limit_; }
  FrameHeader next_part();
  // A pong or a report; GM_PROTOCOL where it answers no question.
  Status answered(const FrameHeader& header, std::span<const uint8_t> payload, int64_t now_ns);
  // True once it is over, well or not. Cuts the burst short when its time is up.
  bool ended(int64_t now_ns, Status* status, ProbeResult* result);
  int64_t deadline_ns() const { return deadline_ns_; }

 private:
  bool measured() const;
  ProbeResult result() const;

  const uint64_t id_;
  const ProbeRequest request_;
  const int64_t deadline_ns_, burst_deadline_ns_;
  std::vector<double> round_trips_;
  uint32_t pings_sent_ = 0;
  uint64_t ping_ns_ = 0;
  bool bursting_ = false, closed_ = false, reported_ = false;
  uint64_t queued_ = 0, limit_;
  ProbeReport report_;
};

// The answering side, one for each link. What a peer may ask for is bounded: kPingsMax pings and kBytesMax
// bytes of bursts in a window of kWindowMs; beyond that it breaks the protocol.
class ProbeMeter {
 public:
  static constexpr int64_t kWindowMs = 10'000;
  static constexpr uint32_t kPingsMax = 1000;
  static constexpr uint64_t kBytesMax = uint64_t{2} << 30;

  Status pinged(int64_t now_ns) { return count(1, 0, now_ns); }
  // A part of a burst arrived. *over: all of it is here, and *report says what.
  Status part(const FrameHeader& header, int64_t now_ns, bool* over, ProbeReport* report);

 private:
  struct Mark {
    uint64_t bytes = 0;
    int64_t at_ns = 0;
  };
  Status count(uint32_t pings, uint64_t bytes, int64_t now_ns);
  void mark(int64_t now_ns);
  ProbeReport report() const;

  int64_t window_ns_ = 0;
  uint32_t pings_ = 0;
  uint64_t bytes_ = 0;
  // The burst that is arriving, and when it had grown to what: a mark every so many bytes.
  uint64_t burst_ = 0, ended_ = 0, arrived_ = 0, due_ = ~uint64_t{0};
  std::array<Mark, 64> marks_;
  size_t mark_count_ = 0;
  uint64_t mark_bytes_ = 0;
  int64_t last_ns_ = 0;
};

// kProbePayloadMax bytes that don't compress.
const uint8_t* probe_noise();
void encode_report(const ProbeReport& report, uint8_t* target);
ProbeReport decode_report(const uint8_t* source);

}  // namespace gradmesh
