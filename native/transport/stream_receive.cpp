// The receiving half of a stream.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/stream.h"

namespace gradmesh {

Status Stream::receive() {
  resumed_ = false;
  for (size_t turn = 0;;) {
    GM_TRY(parse());
    if (held_ || turn >= kTurnBytes) return Status::ok();
    const size_t direct = landing_left();
    const ssize_t got = pull();
    if (got == 0) return {GM_PEER_LOST, "the other side closed the connection"};
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Status::ok();
      return {GM_PEER_LOST, errno_text("the connection broke")};
    }
    const size_t size = static_cast<size_t>(got), landed = std::min(size, direct);
    bytes_received_ += size;
    turn += size;
    buffer_end_ += size - landed;
    if (landed > 0) GM_TRY(land(nullptr, landed));
  }
}

// What the next read may put straight to its place.
size_t Stream::landing_left() const {
  if (part_ != Part::payload || landing_.place != Place::take) return 0;
  return std::min<size_t>(arriving_.length - landed_, kReadBytes);
}

// The rest of the payload to its place, and what follows it to the buffer: after a large payload just its
// trailer and the next header, so that the next payload too is read to its place.
ssize_t Stream::pull() {
  if (buffer_begin_ > 0) {
    std::memmove(&buffer_[0], &buffer_[buffer_begin_], buffered());
    buffer_end_ = buffered();
    buffer_begin_ = 0;
  }
  const size_t direct = landing_left();
  const bool ends = direct == arriving_.length - landed_;
  const bool large = direct > 0 && arriving_.length >= kBufferBytes;
  const size_t behind = large ? receive_guard_.trailer_bytes() + kFrameHeaderBytes : kBufferBytes;
  iovec pieces[2];
  int count = 0;
  if (direct > 0) pieces[count++] = {landing_.target + landed_, direct};
  if (direct == 0 || ends)
    pieces[count++] = {&buffer_[buffer_end_], std::min(behind, kBufferBytes - buffer_end_)};
  return readv(socket_.get(), pieces, count);
}

// So many payload bytes came: at their place already, or in the buffer at `source`.
Status Stream::land(const uint8_t* source, size_t size) {
  uint8_t* target = landing_.target + landed_;
  if (source != nullptr) std::memcpy(target, source, size);
  landed_ += size;
  return receive_guard_.open({target, size});
}

// Takes apart what has been read, until a part is incomplete.
Status Stream::parse() {
  for (bool more = true; more;) {
    switch (part_) {
      case Part::header:
        GM_TRY(parse_header(&more));
        break;
      case Part::payload:
        GM_TRY(parse_payload());
        more = part_ == Part::trailer;
        break;
      case Part::trailer:
        more = buffered() >= receive_guard_.trailer_bytes();
        if (more) GM_TRY(parse_trailer());
        break;
    }
  }
  return Status::ok();
}

Status Stream::parse_header(bool* more) {
  *more = !held_ && buffered() >= kFrameHeaderBytes;
  if (!*more) return Status::ok();
  FrameHeaderBytes bytes;
  std::memcpy(bytes.data(), &buffer_[buffer_begin_], kFrameHeaderBytes);
  GM_TRY(decode_header(bytes, receive_sequence_, &arriving_));
  const bool proof = arriving_.type == FrameType::proof;
  if (proof == proved_) return {GM_PROTOCOL, proved_ ? "a second proof" : "a frame before the proof"};
  Landing landing{Place::take, control_.data()};
  if (arriving_.type == FrameType::probe) landing = {};
  if (!proof && !owner_.open())
    landing = {Place::hold};
  else if (arriving_.type == FrameType::data)
    GM_TRY(owner_.arriving(*this, arriving_, &(landing = {})));
  held_ = landing.place == Place::hold;
  *more = !held_;
  if (held_) return Status::ok();
  landing_ = landing;
  landed_ = 0;
  part_ = Part::payload;
  buffer_begin_ += kFrameHeaderBytes;
  ++receive_sequence_;
  return receive_guard_.begin(bytes);
}

Status Stream::parse_payload() {
  const size_t size = std::min(buffered(), arriving_.length - landed_);
  if (size > 0) {
    uint8_t* source = &buffer_[buffer_begin_];
    buffer_begin_ += size;
    if (landing_.place == Place::take) {
      GM_TRY(land(source, size));
    } else {
      landed_ += size;
      GM_TRY(receive_guard_.open({source, size}));
    }
  }
  if (landed_ == arriving_.length) part_ = Part::trailer;
  return Status::ok();
}

Status Stream::parse_trailer() {
  const uint8_t* trailer = &buffer_[buffer_begin_];
  buffer_begin_ += receive_guard_.trailer_bytes();
  const bool data = arriving_.type == FrameType::data, taken = landing_.place == Place::take;
  if (const Status status = receive_guard_.finish_open(trailer); !status) {
    // Nobody shall use what was not proved.
    if (taken && arriving_.length > 0) std::memset(landing_.target, 0, arriving_.length);
    return status;
  }
  count_received();
  part_ = Part::header;  // already, so that a drop from within what follows leaves this frame alone
  switch (arriving_.type) {
    case FrameType::proof:
      proved_ = true;
      proof_ = side_ == Side::acceptor;
      owner_.proved(*this);
      return Status::ok();
    case FrameType::heartbeat:
      return Status::ok();
    default: {
      if (data && !taken) return Status::ok();
      const size_t kept = !data && taken ? arriving_.length : 0;  // of a probe's payload nothing is
      return owner_.arrived(*this, arriving_, {control_.data(), kept}, landing_.step);
    }
  }
}

void Stream::count_received() {
  const uint64_t framing = kFrameHeaderBytes + receive_guard_.trailer_bytes();
  if (arriving_.type == FrameType::data) {
    traffic_.payload_received += arriving_.length;
    traffic_.framing_received += framing;
  } else {
    traffic_.control_received += framing + arriving_.length;
  }
}

}  // namespace gradmesh
