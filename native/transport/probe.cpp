// The two sides of a probe.
#include "transport/probe.h"

#include <algorithm>

#include "transport/bytes.h"

namespace gradmesh {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr uint64_t kWindowBytesMin = 1 << 20;  // less tells of the scheduler, not of the link

double seconds(uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

Status out_of_range(const char* field, uint64_t value, uint64_t least, uint64_t most) {
  return {GM_INVALID_ARGUMENT, std::string(field) + " is " + std::to_string(value) +
                                   "; allowed: " + std::to_string(least) + " to " + std::to_string(most)};
}

}  // namespace

Status Probe::check(const ProbeRequest& request, uint32_t streams) {
  if (request.bytes > kProbeBytesMax) return out_of_range("bytes", request.bytes, 0, kProbeBytesMax);
  if (request.streams < 1 || request.streams > streams)
    return out_of_range("streams", request.streams, 1, streams);
  if (request.pings < 1 || request.pings > kProbePingsMax)
    return out_of_range("pings", request.pings, 1, kProbePingsMax);
  return Status::ok();
}

// The burst has two thirds of the time: what is in the sockets' buffers by then must still arrive.
Probe::Probe(uint64_t id, const ProbeRequest& request, int64_t now_ns)
    : id_(id),
      request_(request),
      deadline_ns_(now_ns + request.limit_ms * kMillisecond),
      burst_deadline_ns_(now_ns + request.limit_ms * kMillisecond / 3 * 2),
      limit_(request.bytes) {}

bool Probe::wants_control() const {
  if (bursting_) return !closed_ && queued_ >= limit_;
  return pings_sent_ == round_trips_.size() && pings_sent_ < request_.pings;
}

FrameHeader Probe::next_control(int64_t now_ns) {
  if (bursting_) {
    closed_ = true;
    return {.type = FrameType::probe, .operation = id_, .tag = queued_};
  }
  ++pings_sent_;
  ping_ns_ = static_cast<uint64_t>(now_ns);
  return {.type = FrameType::ping, .operation = id_, .tag = ping_ns_};
}

FrameHeader Probe::next_part() {
  const auto size = static_cast<uint32_t>(std::min<uint64_t>(limit_ - queued_, kProbePayloadMax));
  queued_ += size;
  return {.type = FrameType::probe, .length = size, .operation = id_};
}

Status Probe::answered(const FrameHeader& header, std::span<const uint8_t> payload, int64_t now_ns) {
  const Status odd{GM_PROTOCOL, "an answer to no probe"};
  if (header.operation < id_) return Status::ok();  // to one that was given up
  if (header.operation != id_) return odd;
  if (header.type == FrameType::pong) {
    if (header.tag != ping_ns_ || pings_sent_ != round_trips_.size() + 1) return odd;
    round_trips_.push_back(seconds(static_cast<uint64_t>(now_ns) - ping_ns_));
    bursting_ = pings_sent_ == request_.pings && request_.bytes > 0;
    return Status::ok();
  }
  if (!closed_ || reported_ || payload.size() != kProbeReportBytes) return odd;
  report_ = decode_report(payload.data());
  reported_ = true;
  return report_.bytes == queued_ ? Status::ok() : odd;
}

bool Probe::measured() const {
  return request_.bytes > 0 ? reported_ : round_trips_.size() == request_.pings;
}

ProbeResult Probe::result() const {
  std::vector<double> sorted = round_trips_;
  std::sort(sorted.begin(), sorted.end());
  ProbeResult result{.round_trip_seconds = sorted.front(),
                     .round_trip_median_seconds = sorted[sorted.size() / 2],
                     .bytes = report_.bytes,
                     .streams = request_.bytes > 0 ? request_.streams : 0};
  const bool best = report_.best_bytes > 0 && report_.best_duration_ns > 0;
  const uint64_t bytes = best ? report_.best_bytes : report_.bytes;
  const uint64_t duration = best ? report_.best_duration_ns : report_.duration_ns;
  if (duration > 0) result.bytes_per_second = static_cast<double>(bytes) / seconds(duration);
  return result;
}

bool Probe::ended(int64_t now_ns, Status* status, ProbeResult* outcome) {
  if (measured()) {
    *outcome = result();
    return true;
  }
  if (bursting_ && now_ns >= burst_deadline_ns_) limit_ = std::min(limit_, queued_);
  if (request_.cancel != nullptr && request_.cancel->raised())
    *status = {GM_ABORTED, "the caller cancelled the probe"};
  else if (now_ns >= deadline_ns_)
    *status = {GM_TIMEOUT, "the probe had no answer in its " + std::to_string(request_.limit_ms) + " ms"};
  return !*status;
}

Status ProbeMeter::count(uint32_t pings, uint64_t bytes, int64_t now_ns) {
  if (now_ns - window_ns_ > kWindowMs * kMillisecond) {
    window_ns_ = now_ns;
    pings_ = 0;
    bytes_ = 0;
  }
  pings_ += pings;
  bytes_ += bytes;
  if (pings_ <= kPingsMax && bytes_ <= kBytesMax) return Status::ok();
  return {GM_PROTOCOL, "too many probes: at most " + std::to_string(kPingsMax) + " pings and " +
                           std::to_string(kBytesMax) + " bytes in " + std::to_string(kWindowMs) + " ms"};
}

Status ProbeMeter::part(const FrameHeader& header, int64_t now_ns, bool* over, ProbeReport* outcome) {
  GM_TRY(count(0, header.length + kFrameHeaderBytes, now_ns));
  if (header.operation < burst_ || header.operation <= ended_)
    return Status::ok();  // of one that was given up
  if (header.operation > burst_) {
    burst_ = header.operation;
    arrived_ = 0;
    due_ = ~uint64_t{0};
    mark_count_ = 0;
    mark_bytes_ = kProbePayloadMax;
  }
  arrived_ += header.length;
  if (header.length > 0) mark(now_ns);
  if (header.length == 0) due_ = header.tag;
  *over = arrived_ >= due_;
  if (!*over) return Status::ok();
  *outcome = report();
  ended_ = burst_;
  return Status::ok();
}

// When the marks are full, every other one goes, and those to come are twice as far apart.
void ProbeMeter::mark(int64_t now_ns) {
  last_ns_ = now_ns;
  if (mark_count_ > 0 && arrived_ < marks_[mark_count_ - 1].bytes + mark_bytes_) return;
  if (mark_count_ == marks_.size()) {
    for (size_t at = 0; at < marks_.size() / 2; ++at) marks_[at] = marks_[2 * at];
    mark_count_ /= 2;
    mark_bytes_ *= 2;
  }
  marks_[mark_count_++] = {arrived_, now_ns};
}

ProbeReport ProbeMeter::report() const {
  if (mark_count_ == 0) return {};
  ProbeReport report{.bytes = arrived_, .duration_ns = static_cast<uint64_t>(last_ns_ - marks_[0].at_ns)};
  const uint64_t quarter = std::max(arrived_ / 4, kWindowBytesMin);
  double most = 0;
  for (size_t first = 0, last = 0; last < mark_count_; ++last) {
    while (first + 1 < last && marks_[last].bytes - marks_[first + 1].bytes >= quarter) ++first;
    const uint64_t bytes = marks_[last].bytes - marks_[first].bytes;
    const auto duration = static_cast<uint64_t>(marks_[last].at_ns - marks_[first].at_ns);
    if (bytes < quarter || duration == 0) continue;
    const double rate = static_cast<double>(bytes) / static_cast<double>(duration);
    if (rate <= most) continue;
    most = rate;
    report.best_bytes = bytes;
    report.best_duration_ns = duration;
  }
  return report;
}

const uint8_t* probe_noise() {
  static const std::vector<uint8_t> noise = [] {
    std::vector<uint8_t> bytes(kProbePayloadMax);
    uint64_t state = 0x9e3779b97f4a7c15;  // xorshift64 (Marsaglia 2003)
    for (uint8_t& byte : bytes) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      byte = static_cast<uint8_t>(state >> 32);
    }
    return bytes;
  }();
  return noise.data();
}

void encode_report(const ProbeReport& report, uint8_t* target) {
  store(target, report.bytes);
  store(target + 8, report.duration_ns);
  store(target + 16, report.best_bytes);
  store(target + 24, report.best_duration_ns);
}

ProbeReport decode_report(const uint8_t* source) {
  return {load<uint64_t>(source), load<uint64_t>(source + 8), load<uint64_t>(source + 16),
          load<uint64_t>(source + 24)};
}

}  // namespace gradmesh
