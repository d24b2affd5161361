// The sending half of a link.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/link.h"

namespace gradmesh {

uint8_t* Link::Block::hold(size_t size) {
  if (size > capacity || bytes == nullptr) {
    bytes = std::make_unique_for_overwrite<uint8_t[]>(size);
    capacity = size;
  }
  return bytes.get();
}

Link::Link(uint32_t id, Side side, Descriptor socket, Traffic& traffic, LinkEvents& events)
    : id_(id),
      side_(side),
      socket_(std::move(socket)),
      traffic_(traffic),
      events_(events),
      buffer_(std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes)) {
  if (side == Side::dialer) send({.header = {.type = FrameType::proof}});
}

Status Link::encrypt(std::span<const uint8_t, crypto::kKeyBytes> send_key,
                     std::span<const uint8_t, crypto::kKeyBytes> receive_key) {
  GM_TRY(send_guard_.encrypt(send_key, crypto::Direction::seal));
  return receive_guard_.encrypt(receive_key, crypto::Direction::open);
}

Status Link::start_frame() {
  leaving_ = queue_.front();
  queue_.pop_front();
  leaving_.header.sequence = send_sequence_++;
  leaving_header_ = encode_header(leaving_.header);
  leaving_payload_ = leaving_.header.type == FrameType::data ? leaving_.payload : leaving_.control.data();
  leaving_sent_ = 0;
  sending_ = true;
  const size_t length = leaving_.header.length;
  uint8_t* target = send_guard_.encrypted() ? sealed_.hold(length) : nullptr;
  GM_TRY(send_guard_.seal(leaving_header_, {leaving_payload_, length}, target, leaving_trailer_));
  if (send_guard_.encrypted()) leaving_payload_ = target;
  return Status::ok();
}

void Link::finish_frame() {
  sending_ = false;
  const uint64_t framing = kFrameHeaderBytes + send_guard_.trailer_bytes(), payload = leaving_.header.length;
  if (leaving_.header.type == FrameType::data) {
    traffic_.payload_sent += payload;
    traffic_.framing_sent += framing;
  } else {
    traffic_.control_sent += framing + payload;
  }
  events_.frame_sent(*this, leaving_);
}

Status Link::flush() {
  blocked_ = false;
  for (size_t turn = 0; turn < kTurnBytes && !idle();) {
    if (!sending_) GM_TRY(start_frame());
    const size_t length = leaving_.header.length;
    const size_t sizes[3] = {kFrameHeaderBytes, length, send_guard_.trailer_bytes()};
    const uint8_t* const parts[3] = {leaving_header_.data(), leaving_payload_, leaving_trailer_};
    iovec pieces[3];
    size_t count = 0, before = 0;
    for (int part = 0; part < 3; before += sizes[part++]) {
      const size_t skip = std::clamp(leaving_sent_, before, before + sizes[part]) - before;
      if (skip < sizes[part])
        pieces[count++] = {const_cast<uint8_t*>(parts[part] + skip), sizes[part] - skip};
    }
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      blocked_ = errno == EAGAIN || errno == EWOULDBLOCK;
      if (blocked_) return Status::ok();
      return {GM_PEER_LOST, errno_text("the connection broke")};
    }
    turn += static_cast<size_t>(sent);
    leaving_sent_ += static_cast<size_t>(sent);
    if (leaving_sent_ == before) finish_frame();
  }
  return Status::ok();
}

void Link::drop_data() {
  std::erase_if(queue_, [](const OutgoingFrame& frame) { return frame.header.type == FrameType::data; });
  if (sending_ && leaving_payload_ == leaving_.payload && leaving_.payload != nullptr) {
    uint8_t* copy = sealed_.hold(leaving_.header.length);
    std::memcpy(copy, leaving_payload_, leaving_.header.length);
    leaving_payload_ = copy;
  }
  if (part_ == Part::header || arriving_.type != FrameType::data || target_ == nullptr) return;
  if (!receive_guard_.encrypted()) {
    skipped_crc_ = FrameGuard::crc(arriving_header_, {target_, landed_});
    landing_ = nullptr;
  }
  target_ = nullptr;
  place_ = Place::skip;
}

}  // namespace gradmesh
