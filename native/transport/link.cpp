// A link's queues, and what its streams may take from them.
#include "transport/link.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "transport/clock.h"

namespace gradmesh {

Link::Link(uint32_t id, Side side, uint32_t streams, Traffic& traffic, Pace& pace, LinkEvents& events)
    : id_(id), side_(side), count_(streams), traffic_(traffic), pace_(pace), events_(events), used_(streams) {
  GM_ASSERT(streams >= 1 && streams <= kStreamsMax);
}

void Link::encrypt(std::span<const uint8_t, crypto::kKeyBytes> send_key,
                   std::span<const uint8_t, crypto::kKeyBytes> receive_key, const RekeyLimits& limits) {
  encrypted_ = true;
  std::copy(send_key.begin(), send_key.end(), send_key_.begin());
  std::copy(receive_key.begin(), receive_key.end(), receive_key_.begin());
  limits_ = limits;
}

Status Link::attach(uint32_t stream, Descriptor socket) {
  GM_ASSERT(stream < count_ && streams_[stream] == nullptr);
  StreamOwner& owner = *this;
  streams_[stream] = std::make_unique<Stream>(stream, side_, std::move(socket), traffic_, owner);
  if (encrypted_) GM_TRY(streams_[stream]->encrypt(send_key_, receive_key_, limits_));
  if (++attached_ == count_) send_key_ = receive_key_ = {};
  return Status::ok();
}

void Link::proved(Stream&) {
  open_ = std::all_of(streams_.begin(), streams_.begin() + count_,
                      [](const auto& stream) { return stream != nullptr && stream->proved(); });
  if (open_) resume();
}

void Link::send(const OutgoingFrame& frame) {
  if (frame.header.type != FrameType::data) return control_.push(frame);
  bytes_queued_ += frame.header.length;
  data_.push(frame);
}

void Link::drop_data(uint64_t operation) {
  data_.erase_if([&](const OutgoingFrame& frame) {
    const bool gone = frame.header.operation == operation;
    if (gone) bytes_queued_ -= frame.header.length;
    return gone;
  });
  for (const auto& stream : streams_)
    if (stream != nullptr) stream->drop_data(operation);
}

void Link::resume() {
  for (const auto& stream : streams_)
    if (stream != nullptr) stream->resume();
}

bool Link::resumed() const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const auto& stream) { return stream != nullptr && stream->resumed(); });
}

void Link::use(uint32_t streams) {
  GM_ASSERT(streams >= 1 && streams <= count_);
  used_ = streams;
}

Status Link::flush() {
  // Control frames are for the first stream, if it is free; data in turns.
  const uint32_t first = has_control() ? 0 : first_;
  first_ = (first_ + 1) % count_;
  for (uint32_t turn = 0; turn < count_; ++turn) {
    Stream* stream = streams_[(first + turn) % count_].get();
    if (stream != nullptr && !stream->blocked()) GM_TRY(stream->flush());
  }
  return Status::ok();
}

bool Link::has_bulk(const Stream& stream) const {
  if (!data_.empty() && carries(stream, used_)) return true;
  return probe_ != nullptr && probe_->wants_part() && carries(stream, probe_->streams());
}

bool Link::ready(bool allowed) const {
  return std::any_of(streams_.begin(), streams_.end(), [&](const auto& stream) {
    if (stream == nullptr || stream->blocked()) return false;
    if (stream->has_batch()) return true;
    if (!stream->between_frames()) return allowed || allowance() > 0;
    if (stream->unsaid()) return true;
    return open_ && (has_control() || (allowed && has_bulk(*stream)));
  });
}

bool Link::idle() const {
  const auto quiet = [](const auto& stream) { return stream == nullptr || stream->between_frames(); };
  return control_.empty() && data_.empty() && std::all_of(streams_.begin(), streams_.end(), quiet);
}

bool Link::next_frame(Stream& stream, bool data, OutgoingFrame* frame) {
  if (!open_) return false;
  if (!control_.empty()) {
    *frame = control_.pop();
    return true;
  }
  if (probe_ != nullptr && probe_->wants_control()) {
    *frame = {.header = probe_->next_control(now_ns())};
    return true;
  }
  if (!data || !has_bulk(stream)) return false;
  if (!data_.empty() && carries(stream, used_)) {
    *frame = data_.pop();
    bytes_queued_ -= frame->header.length;
  } else {
    *frame = {.header = probe_->next_part(), .payload = probe_noise()};
  }
  return true;
}

// No limit to the rest of a data frame that a control frame waits for: where no stream is free to take it.
size_t Link::allowance() const {
  if (has_control()) {
    const bool stuck = std::none_of(streams_.begin(), streams_.end(), [](const auto& stream) {
      return stream != nullptr && stream->between_frames() && !stream->blocked();
    });
    if (stuck) return std::numeric_limits<size_t>::max();
  }
  return pace_.allowance(now_ns());
}

Status Link::arriving(Stream&, const FrameHeader& header, Landing* landing) {
  return events_.frame_arriving(*this, header, landing);
}

Status Link::arrived(Stream&, const FrameHeader& header, std::span<const uint8_t> payload, uint32_t step) {
  switch (header.type) {
    case FrameType::begin:
    case FrameType::data:
    case FrameType::done:
    case FrameType::abort:
      return events_.frame_arrived(*this, header, payload, step);
    default:
      return arrived_probe(header, payload);
  }
}

void Link::sent(Stream&, const OutgoingFrame& frame) {
  switch (frame.header.type) {
    case FrameType::begin:
    case FrameType::data:
    case FrameType::done:
    case FrameType::abort:
      return events_.frame_sent(*this, frame);
    default:
      return;
  }
}

Status Link::arrived_probe(const FrameHeader& header, std::span<const uint8_t> payload) {
  const int64_t now = now_ns();
  if (header.type == FrameType::ping) {
    GM_TRY(meter_.pinged(now));
    return answer(FrameType::pong, header, nullptr);
  }
  if (header.type == FrameType::probe) {
    ProbeReport report;
    bool over = false;
    GM_TRY(meter_.part(header, now, &over, &report));
    return over ? answer(FrameType::probed, header, &report) : Status::ok();
  }
  if (probe_ != nullptr) return probe_->answered(header, payload, now);
  if (header.operation <= last_probe_) return Status::ok();  // to a probe that was given up
  return {GM_PROTOCOL, "an answer to no probe"};
}

Status Link::answer(FrameType type, const FrameHeader& header, const ProbeReport* report) {
  if (control_.size() >= kControlQueuedMax) return {GM_PROTOCOL, "a peer that asks and doesn't read"};
  OutgoingFrame frame{.header = {.type = type, .operation = header.operation, .tag = header.tag}};
  if (report != nullptr) {
    frame.header.length = kProbeReportBytes;
    encode_report(*report, frame.control.data());
  }
  control_.push(frame);
  return Status::ok();
}

Status Link::probe(const ProbeRequest& request, ProbeDone done, int64_t now) {
  GM_TRY(Probe::check(request, count_));
  if (probe_ != nullptr)
    return {GM_INVALID_ARGUMENT, "link " + std::to_string(id_) + " is being probed already"};
  probe_ = std::make_unique<Probe>(++last_probe_, request, now);
  probe_done_ = std::move(done);
  return Status::ok();
}

void Link::tick_probe(int64_t now) {
  Status status;
  ProbeResult result;
  if (probe_ == nullptr || !probe_->ended(now, &status, &result)) return;
  probe_.reset();
  std::exchange(probe_done_, nullptr)(status, result);
}

void Link::fail_probe(const Status& why) {
  if (probe_ == nullptr) return;
  probe_.reset();
  std::exchange(probe_done_, nullptr)(why, {});
}

Quality Link::quality() const {
  Quality quality;
  for (const auto& stream : streams_)
    if (stream != nullptr) add_quality(stream->descriptor(), &quality);
  return quality;
}

}  // namespace gradmesh
