// The sending half of a stream.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "transport/stream.h"

namespace gradmesh {

Stream::Stream(uint32_t index, Side side, Descriptor socket, Traffic& traffic, StreamOwner& owner)
    : index_(index),
      side_(side),
      socket_(std::move(socket)),
      traffic_(traffic),
      owner_(owner),
      proof_(side == Side::dialer),
      staging_(std::make_unique_for_overwrite<uint8_t[]>(kStagingBytes)),
      buffer_(std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes)) {}

Status Stream::encrypt(std::span<const uint8_t, crypto::kKeyBytes> send_key,
                       std::span<const uint8_t, crypto::kKeyBytes> receive_key, const RekeyLimits& limits) {
  const bool dialer = side_ == Side::dialer;
  GM_TRY(send_guard_.encrypt(send_key, index_, dialer, crypto::Direction::seal, limits));
  return receive_guard_.encrypt(receive_key, index_, !dialer, crypto::Direction::open, limits);
}

Status Stream::flush() {
  blocked_ = false;
  for (size_t turn = 0; turn < kTurnBytes;) {
    if (!has_batch()) GM_TRY(fill());
    if (!has_batch()) return Status::ok();
    const ssize_t sent = push();
    if (sent < 0) {
      if (errno == EINTR) continue;
      blocked_ = errno == EAGAIN || errno == EWOULDBLOCK;
      if (blocked_) return Status::ok();
      return {GM_PEER_LOST, errno_text("the connection broke")};
    }
    turn += static_cast<size_t>(sent);
    advance(static_cast<size_t>(sent));
    if (!has_batch()) finish_batch();
  }
  return Status::ok();
}

// Puts together what leaves next: about kPieceBytes, or less where pacing allows no more.
Status Stream::fill() {
  const size_t allowed = owner_.allowance();
  while (ended_count_ < kBatchFrames && batch_bytes_ < kPieceBytes) {
    if (!leaving_) GM_TRY(take_frame(batch_bytes_ < allowed));
    if (!leaving_) break;
    if (rest_bytes_ > 0) {
      const bool paced = is_bulk(current_.frame.header.type);
      const size_t most = paced ? std::min(kPieceBytes, allowed) : kPieceBytes + kControlPayloadMax;
      if (most <= batch_bytes_) break;
      GM_TRY(add_payload(most - batch_bytes_));
    }
    if (rest_bytes_ > 0) break;
    GM_TRY(add_trailer());
  }
  return Status::ok();
}

Status Stream::take_frame(bool data) {
  current_.dropped = false;
  if (!own_frame() && !owner_.next_frame(*this, data, &current_.frame)) return Status::ok();
  leaving_ = true;
  const FrameHeader& header = current_.frame.header;
  rest_ = is_bulk(header.type) ? current_.frame.payload : current_.frame.control.data();
  rest_bytes_ = header.length;
  current_.frame.header.sequence = send_sequence_++;
  const FrameHeaderBytes bytes = encode_header(header);
  uint8_t* staged = stage(kFrameHeaderBytes);
  std::memcpy(staged, bytes.data(), kFrameHeaderBytes);
  add(staged, kFrameHeaderBytes);
  return send_guard_.begin(bytes);
}

// The words of the stream itself: its proof before anything else, and heartbeats.
bool Stream::own_frame() {
  if (!proof_ && !heartbeat_) return false;
  current_.frame = {.header = {.type = proof_ ? FrameType::proof : FrameType::heartbeat}};
  (proof_ ? proof_ : heartbeat_) = false;
  return true;
}

Status Stream::add_payload(size_t room) {
  const size_t size = std::min(room, rest_bytes_);
  const uint8_t* piece = rest_;
  if (send_guard_.encrypted()) {
    uint8_t* sealed = stage(size);
    GM_TRY(send_guard_.seal({rest_, size}, sealed));
    piece = sealed;
  } else {
    GM_TRY(send_guard_.seal({rest_, size}, nullptr));
    if (!is_bulk(current_.frame.header.type) || orphan_ != nullptr) {  // their memory won't stay
      uint8_t* copy = stage(size);
      std::memcpy(copy, rest_, size);
      piece = copy;
    }
  }
  add(piece, size);
  rest_ += size;
  rest_bytes_ -= size;
  return Status::ok();
}

Status Stream::add_trailer() {
  uint8_t* trailer = stage(send_guard_.trailer_bytes());
  GM_TRY(send_guard_.finish_seal(trailer));
  add(trailer, send_guard_.trailer_bytes());
  ended_[ended_count_++] = current_;
  leaving_ = false;
  orphan_.reset();
  return Status::ok();
}

uint8_t* Stream::stage(size_t size) {
  GM_ASSERT(staged_ + size <= kStagingBytes);
  staged_ += size;
  return &staging_[staged_ - size];
}

// What follows its neighbour in memory joins its piece.
void Stream::add(const uint8_t* bytes, size_t size) {
  auto* base = const_cast<uint8_t*>(bytes);
  batch_bytes_ += size;
  if (piece_count_ > 0) {
    iovec& last = pieces_[piece_count_ - 1];
    if (static_cast<uint8_t*>(last.iov_base) + last.iov_len == base) {
      last.iov_len += size;
      return;
    }
  }
  GM_ASSERT(piece_count_ < pieces_.size());
  pieces_[piece_count_++] = {base, size};
}

ssize_t Stream::push() {
  msghdr message{};
  message.msg_iov = &pieces_[piece_first_];
  message.msg_iovlen = piece_count_ - piece_first_;
  return sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

void Stream::advance(size_t sent) {
  bytes_sent_ += sent;
  batch_bytes_ -= sent;
  owner_.spent(sent);
  while (sent > 0) {
    iovec& piece = pieces_[piece_first_];
    const size_t size = std::min(sent, piece.iov_len);
    piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + size;
    piece.iov_len -= size;
    sent -= size;
    if (piece.iov_len == 0) ++piece_first_;
  }
}

void Stream::finish_batch() {
  piece_first_ = piece_count_ = staged_ = 0;
  for (size_t index = 0; index < ended_count_; ++index) {
    count_sent(ended_[index].frame.header);
    if (!ended_[index].dropped) owner_.sent(*this, ended_[index].frame);  // which may drop those to come
  }
  ended_count_ = 0;
}

void Stream::count_sent(const FrameHeader& header) {
  const uint64_t framing = kFrameHeaderBytes + send_guard_.trailer_bytes();
  if (header.type == FrameType::data) {
    traffic_.payload_sent += header.length;
    traffic_.framing_sent += framing;
  } else {
    traffic_.control_sent += framing + header.length;
  }
}

void Stream::drop_data(uint64_t operation) {
  const auto gone = [&](const FrameHeader& header) {
    return header.type == FrameType::data && header.operation == operation;
  };
  bool in_batch = false;
  for (size_t index = 0; index < ended_count_; ++index)
    if (gone(ended_[index].frame.header)) in_batch = ended_[index].dropped = true;
  if (leaving_ && gone(current_.frame.header) && !current_.dropped) {
    in_batch = current_.dropped = true;
    orphan_ = std::make_unique_for_overwrite<uint8_t[]>(std::max<size_t>(rest_bytes_, 1));
    std::memcpy(orphan_.get(), rest_, rest_bytes_);
    rest_ = orphan_.get();
  }
  if (in_batch && !send_guard_.encrypted()) keep_batch();
  if (part_ == Part::header || !gone(arriving_) || landing_.place != Place::take) return;
  landing_ = {};
}

// Copies every piece that lies in a caller's memory; the staging area has room for them, because nothing is
// sealed.
void Stream::keep_batch() {
  for (size_t index = piece_first_; index < piece_count_; ++index) {
    iovec& piece = pieces_[index];
    const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
    if (bytes >= staging_.get() && bytes < staging_.get() + kStagingBytes) continue;
    uint8_t* copy = stage(piece.iov_len);
    std::memcpy(copy, bytes, piece.iov_len);
    piece.iov_base = copy;
  }
}

}  // namespace gradmesh
