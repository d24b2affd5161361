// A link: everything between this endpoint and one peer. It has 1 to kStreamsMax streams (sockets) and one
// queue of frames: each stream takes the next frame when it is free, so no frame waits behind a stream that
// is stuck while another has room. Control frames go first, on the stream that is free soonest. There is no
// order between streams. Belongs to the I/O thread.
#pragma once
#include "transport/frame_queue.h"
#include "transport/hello.h"
#include "transport/probe.h"
#include "transport/quality.h"
#include "transport/stream.h"

namespace gradmesh {

class Link;
class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  // Where the payload of a data frame goes; a failure ends the link. The header is not proved yet, so nothing
  // but the place may follow from it.
  virtual Status frame_arriving(Link& link, const FrameHeader& header, Landing* landing) = 0;
  // The whole frame is there and proved, and was not skipped: begin, done and abort with their payload; data
  // with an empty payload, and the step that its landing named.
  virtual Status frame_arrived(Link& link, const FrameHeader& header, std::span<const uint8_t> payload,
                               uint32_t step) = 0;
  // A begin, done, abort or data frame has left; its memory is free. Never for data that was dropped.
  virtual void frame_sent(Link& link, const OutgoingFrame& frame) = 0;
};

class Link final : private StreamOwner {
 public:
  using Side = Stream::Side;
  Link(uint32_t id, Side side, uint32_t streams, Traffic& traffic, Pace& pace, LinkEvents& events);

  // With AES-256-GCM; before the first attach().
  void encrypt(std::span<const uint8_t, crypto::kKeyBytes> send_key,
               std::span<const uint8_t, crypto::kKeyBytes> receive_key, const RekeyLimits& limits = {});
  // Gives the link its socket number `stream`.
  Status attach(uint32_t stream, Descriptor socket);
  uint32_t id() const { return id_; }
  uint32_t streams() const { return count_; }
  // Every stream is there, and the other side has proved itself on each.
  bool open() const override { return open_; }
  size_t trailer_bytes() const { return encrypted_ ? crypto::kTagBytes : kCrcBytes; }

  void send(const OutgoingFrame& frame);
  // No memory of the operation's is touched after this: its queued data frames are forgotten, what is half
  // sent is copied, and the rest of a half received payload is read to nowhere.
  void drop_data(uint64_t operation);
  // Every held stream goes on, and asks again about its frame.
  void resume();
  // How many streams carry data, 1 to streams(): the last ones, so that the first is left to control frames
  // where it can be. All of them until told.
  void use(uint32_t streams);
  uint32_t used() const { return used_; }
  // Sends until the sockets are full, nothing is left or allowed, or every stream had its turn.
  Status flush();

  // Starts to measure; GM_INVALID_ARGUMENT where the request can't be, or a probe is under way. done() is
  // called from tick(), or by fail_probe().
  Status probe(const ProbeRequest& request, ProbeDone done, int64_t now_ns);
  void tick_probe(int64_t now_ns);
  void fail_probe(const Status& why);
  bool probing() const { return probe_ != nullptr; }
  int64_t probe_deadline_ns() const { return probe_->deadline_ns(); }

  Stream* stream(uint32_t index) { return streams_[index].get(); }  // null: not attached yet
  bool resumed() const;                                             // a stream is
  // flush() has something to do now; `allowed`: pacing lets data go.
  bool ready(bool allowed) const;
  // Nothing waits and nothing is on its way.
  bool idle() const;
  uint64_t bytes_queued() const { return bytes_queued_; }  // of data that no stream has taken
  // What the system knows of the sockets, summed over the streams that are attached.
  Quality quality() const;

  // Control frames that a peer may leave unread, so that answers to one who never reads don't pile up.
  static constexpr size_t kControlQueuedMax = 4096;

 private:
  void proved(Stream& stream) override;
  bool next_frame(Stream& stream, bool data, OutgoingFrame* frame) override;
  size_t allowance() const override;
  void spent(size_t bytes) override { pace_.spend(bytes); }
  Status arriving(Stream& stream, const FrameHeader& header, Landing* landing) override;
  Status arrived(Stream& stream, const FrameHeader& header, std::span<const uint8_t> payload,
                 uint32_t step) override;
  void sent(Stream& stream, const OutgoingFrame& frame) override;
  Status arrived_probe(const FrameHeader& header, std::span<const uint8_t> payload);
  Status answer(FrameType type, const FrameHeader& header, const ProbeReport* report);
  bool has_control() const { return !control_.empty() || (probe_ != nullptr && probe_->wants_control()); }
  bool has_bulk(const Stream& stream) const;
  bool carries(const Stream& stream, uint32_t used) const { return stream.index() + used >= count_; }

  const uint32_t id_;
  const Side side_;
  const uint32_t count_;
  Traffic& traffic_;
  Pace& pace_;
  LinkEvents& events_;
  bool encrypted_ = false;
  std::array<uint8_t, crypto::kKeyBytes> send_key_{}, receive_key_{};  // zeros once every stream has its own
  RekeyLimits limits_;
  std::array<std::unique_ptr<Stream>, kStreamsMax> streams_;
  uint32_t attached_ = 0;
  bool open_ = false;
  uint32_t used_;
  uint32_t first_ = 0;  // the stream whose turn to send is first
  FrameQueue control_, data_;
  uint64_t bytes_queued_ = 0;
  std::unique_ptr<Probe> probe_;
  ProbeDone probe_done_;
  uint64_t last_probe_ = 0;
  ProbeMeter meter_;
};

}  // namespace gradmesh
