// What proves a frame: CRC-32C against accidents, or AES-256-GCM against anyone. One object for each
// direction of a stream. The header is authenticated, not hidden.
//
// The key of a stream and direction is derived from the link's key of that direction, and is replaced by the
// next of a ratchet before it has done too much, on both sides alike and without a message, because both
// count the same frames: key' = HKDF-Expand(key, label) as TLS 1.3 updates its traffic keys (RFC 8446, 7.2).
// The nonce is the stream's index and the frame's sequence, which never starts over, so it is unique under
// each key.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "base/crypto.h"
#include "transport/frame.h"

namespace gradmesh {

inline constexpr size_t kCrcBytes = 4;
inline constexpr size_t kTrailerBytesMax = crypto::kTagBytes;

// What one key may do. NIST SP 800-38D (8.3) allows 2^32 messages under one key; RFC 8446 (5.5) keeps the
// advantage of a distinguisher under 2^-57 by at most 2^24.5 records of 2^14 bytes, that is 2^38.5 bytes.
// 2^24 frames and 2^34 payload bytes stay below both.
struct RekeyLimits {
  uint64_t payload_bytes = uint64_t{1} << 34;
  uint64_t frames = uint64_t{1} << 24;
};

class FrameGuard {
 public:
  // Plain until given the link's key of this direction, which must be fresh for every link. `from_dialer`
  // says which direction it is, so that the two stay apart whatever keys were given.
  Status encrypt(std::span<const uint8_t, crypto::kKeyBytes> link_key, uint32_t stream, bool from_dialer,
                 crypto::Direction direction, const RekeyLimits& limits);
  bool encrypted() const { return static_cast<bool>(cipher_); }
  size_t trailer_bytes() const { return encrypted() ? crypto::kTagBytes : kCrcBytes; }

  // A frame: its header, then its payload in pieces of any size, then its trailer.
  Status begin(const FrameHeaderBytes& header);
  // Encrypted: piece[n] -> target[n]. Plain: target is not used; the piece goes out from where it is.
  Status seal(std::span<const uint8_t> piece, uint8_t* target);
  Status finish_seal(uint8_t* trailer);
  // In place. What it gives is not proved before finish_open().
  Status open(std::span<uint8_t> piece);
  // GM_UNAUTHORIZED or GM_PROTOCOL where the trailer doesn't fit.
  Status finish_open(const uint8_t* trailer);

 private:
  Status install(crypto::Direction direction);
  Status count_frame();

  crypto::AesGcm cipher_;
  crypto::Direction direction_ = crypto::Direction::seal;
  std::array<uint8_t, crypto::kKeyBytes> key_{};
  uint32_t stream_ = 0;
  RekeyLimits limits_, used_{0, 0};
  uint32_t crc_ = 0;
};

}  // namespace gradmesh
