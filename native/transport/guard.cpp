// Sealing and opening frames, and the ratchet of their keys.
#include "transport/guard.h"

#include <cstring>

#include "transport/bytes.h"
#include "transport/crc32c.h"

namespace gradmesh {
namespace {

constexpr char kStreamLabel[] = "gradmesh stream key";
constexpr char kRatchetLabel[] = "gradmesh stream key update";

crypto::Bytes label_of(const char* text) {
  return {reinterpret_cast<const uint8_t*>(text), std::strlen(text)};
}

}  // namespace

Status FrameGuard::encrypt(std::span<const uint8_t, crypto::kKeyBytes> link_key, uint32_t stream,
                           bool from_dialer, crypto::Direction direction, const RekeyLimits& limits) {
  std::array<uint8_t, sizeof kStreamLabel - 1 + 5> purpose{};
  std::memcpy(purpose.data(), kStreamLabel, sizeof kStreamLabel - 1);
  store(&purpose[sizeof kStreamLabel - 1], stream);
  purpose.back() = from_dialer ? 1 : 2;
  GM_TRY(crypto::hkdf_expand(link_key, purpose, &key_));
  stream_ = stream;
  limits_ = limits;
  return install(direction);
}

Status FrameGuard::install(crypto::Direction direction) {
  direction_ = direction;
  used_ = {0, 0};
  return crypto::AesGcm::create(key_, direction, &cipher_);
}

Status FrameGuard::begin(const FrameHeaderBytes& header) {
  if (!encrypted()) {
    crc_ = crc32c(0, header.data(), header.size());
    return Status::ok();
  }
  // The length is not proved, but where it is not what was sealed, the frame is refused in any case.
  used_.payload_bytes += load<uint32_t>(&header[4]);
  std::array<uint8_t, crypto::kNonceBytes> nonce;
  store(&nonce[0], stream_);
  std::memcpy(&nonce[4], &header[24], 8);
  return cipher_.begin(nonce, header);
}

Status FrameGuard::seal(std::span<const uint8_t> piece, uint8_t* target) {
  if (encrypted()) return cipher_.update(piece, {target, piece.size()});
  crc_ = crc32c(crc_, piece.data(), piece.size());
  return Status::ok();
}

Status FrameGuard::finish_seal(uint8_t* trailer) {
  if (!encrypted()) {
    store(trailer, crc_);
    return Status::ok();
  }
  GM_TRY(cipher_.finish_seal(std::span<uint8_t, crypto::kTagBytes>(trailer, crypto::kTagBytes)));
  return count_frame();
}

Status FrameGuard::open(std::span<uint8_t> piece) {
  if (encrypted()) return cipher_.update(piece, piece);
  crc_ = crc32c(crc_, piece.data(), piece.size());
  return Status::ok();
}

Status FrameGuard::finish_open(const uint8_t* trailer) {
  if (!encrypted()) {
    if (crc_ == load<uint32_t>(trailer)) return Status::ok();
    return {GM_PROTOCOL, "a frame fails its checksum"};
  }
  GM_TRY(cipher_.finish_open(std::span<const uint8_t, crypto::kTagBytes>(trailer, crypto::kTagBytes)));
  return count_frame();
}

Status FrameGuard::count_frame() {
  ++used_.frames;
  if (used_.frames < limits_.frames && used_.payload_bytes < limits_.payload_bytes) return Status::ok();
  crypto::Digest next;
  GM_TRY(crypto::hkdf_expand(key_, label_of(kRatchetLabel), &next));
  key_ = next;
  return install(direction_);
}

}  // namespace gradmesh
