// The receiving half of a link.
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/crc32c.h"
#include "transport/link.h"

namespace gradmesh {

Status Link::receive() {
  resumed_ = false;
  for (size_t turn = 0;;) {
    GM_TRY(parse());
    if (held_ || turn >= kTurnBytes) return Status::ok();
    if (buffer_begin_ == buffer_end_) buffer_begin_ = buffer_end_ = 0;
    if (buffer_begin_ > 0) {
      std::memmove(&buffer_[0], &buffer_[buffer_begin_], buffered());
      buffer_end_ = buffered();
      buffer_begin_ = 0;
    }
    // The rest of the payload to its place, and what follows it to the buffer.
    const size_t direct = part_ == Part::payload && landing_ != nullptr ? arriving_.length - landed_ : 0;
    iovec pieces[2];
    int count = 0;
    if (direct > 0) pieces[count++] = {landing_ + landed_, direct};
    pieces[count++] = {&buffer_[buffer_end_], kBufferBytes - buffer_end_};
    const ssize_t got = readv(socket_.get(), pieces, count);
    if (got == 0) return {GM_PEER_LOST, "the other side closed the connection"};
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Status::ok();
      return {GM_PEER_LOST, errno_text("the connection broke")};
    }
    const size_t size = static_cast<size_t>(got), landed = std::min(size, direct);
    landed_ += landed;
    buffer_end_ += size - landed;
    turn += size;
    bytes_received_ += size;
  }
}

// Takes apart what has been read, until a part is incomplete.
Status Link::parse() {
  for (bool more = true; more;) {
    switch (part_) {
      case Part::header:
        GM_TRY(parse_header(&more));
        break;
      case Part::payload:
        parse_payload();
        more = part_ == Part::trailer;
        break;
      case Part::trailer:
        more = buffered() >= receive_guard_.trailer_bytes();
        if (more) GM_TRY(parse_trailer());
        break;
      case Part::delivery:
        GM_TRY(deliver(&more));
        break;
    }
  }
  return Status::ok();
}

Status Link::parse_header(bool* more) {
  *more = !held_ && buffered() >= kFrameHeaderBytes;
  if (!*more) return Status::ok();
  std::memcpy(arriving_header_.data(), &buffer_[buffer_begin_], kFrameHeaderBytes);
  GM_TRY(decode_header(arriving_header_, receive_sequence_, &arriving_));
  const bool proof = arriving_.type == FrameType::proof;
  if (proof == open_) return {GM_PROTOCOL, open_ ? "a second proof" : "a frame before the proof"};
  Place place = Place::take;
  uint8_t* target = control_.data();
  if (arriving_.type == FrameType::data) GM_TRY(events_.frame_arriving(*this, arriving_, &place, &target));
  held_ = place == Place::hold;
  *more = !held_;
  if (held_) return Status::ok();
  buffer_begin_ += kFrameHeaderBytes;
  ++receive_sequence_;
  place_payload(place, target);
  return Status::ok();
}

void Link::place_payload(Place place, uint8_t* target) {
  part_ = Part::payload;
  landed_ = 0;
  place_ = place;
  target_ = place == Place::skip ? nullptr : target;
  landing_ = receive_guard_.encrypted() ? cipher_.hold(arriving_.length) : target_;
  skipped_crc_ = FrameGuard::crc(arriving_header_, {});
}

void Link::parse_payload() {
  const size_t size = std::min(buffered(), arriving_.length - landed_);
  if (size > 0) {
    if (landing_ != nullptr)
      std::memcpy(landing_ + landed_, &buffer_[buffer_begin_], size);
    else
      skipped_crc_ = crc32c(skipped_crc_, &buffer_[buffer_begin_], size);
    landed_ += size;
    buffer_begin_ += size;
  }
  if (landed_ == arriving_.length) part_ = Part::trailer;
}

Status Link::parse_trailer() {
  const uint8_t* trailer = &buffer_[buffer_begin_];
  const size_t length = arriving_.length;
  if (landing_ == nullptr)
    GM_TRY(FrameGuard::check_crc(skipped_crc_, trailer));
  else
    GM_TRY(receive_guard_.open(arriving_header_, {landing_, length}, target_ == nullptr ? landing_ : target_,
                               trailer));
  buffer_begin_ += receive_guard_.trailer_bytes();
  count_received();
  if (arriving_.type == FrameType::proof) {
    open_ = true;
    if (side_ == Side::acceptor) send({.header = {.type = FrameType::proof}});
  }
  const bool silent = arriving_.type == FrameType::proof || arriving_.type == FrameType::heartbeat;
  part_ = silent || place_ == Place::skip ? Part::header : Part::delivery;
  return Status::ok();
}

Status Link::deliver(bool* more) {
  *more = !held_;
  if (held_) return Status::ok();
  const size_t length = arriving_.type == FrameType::data ? 0 : arriving_.length;
  part_ = Part::header;  // already, so that drop_data() from within leaves this frame alone
  GM_TRY(events_.frame_arrived(*this, arriving_, {control_.data(), length}, &held_));
  if (held_) part_ = Part::delivery;
  *more = !held_;
  return Status::ok();
}

void Link::count_received() {
  const uint64_t framing = kFrameHeaderBytes + receive_guard_.trailer_bytes();
  if (arriving_.type == FrameType::data) {
    traffic_.payload_received += arriving_.length;
    traffic_.framing_received += framing;
  } else {
    traffic_.control_received += framing + arriving_.length;
  }
}

}  // namespace gradmesh
