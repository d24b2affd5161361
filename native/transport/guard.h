// What proves a frame: CRC-32C against accidents, or AES-256-GCM against anyone. One object for each
// direction of a link. The header is authenticated, not hidden.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "base/crypto.h"
#include "transport/frame.h"

namespace gradmesh {

inline constexpr size_t kCrcBytes = 4;
inline constexpr size_t kTrailerBytesMax = crypto::kTagBytes;

class FrameGuard {
 public:
  // Plain until given a key; keys must be fresh for every link, because the nonce is the frame's sequence.
  Status encrypt(std::span<const uint8_t, crypto::kKeyBytes> key, crypto::Direction direction) {
    return crypto::AesGcm::create(key, direction, &cipher_);
  }
  bool encrypted() const { return static_cast<bool>(cipher_); }
  size_t trailer_bytes() const { return encrypted() ? crypto::kTagBytes : kCrcBytes; }

  // Encrypted: payload -> target and the trailer. Plain: only the trailer; the payload goes out from where it
  // is.
  Status seal(const FrameHeaderBytes& header, std::span<const uint8_t> payload, uint8_t* target,
              uint8_t* trailer);
  // Encrypted: payload[n] -> target[n]; plain: payload must be the target. GM_UNAUTHORIZED or GM_PROTOCOL
  // where the trailer doesn't fit.
  Status open(const FrameHeaderBytes& header, std::span<const uint8_t> payload, uint8_t* target,
              const uint8_t* trailer);

  // For plain frames whose payload is read to nowhere: the CRC of the header and the payload so far, and its
  // check.
  static uint32_t crc(const FrameHeaderBytes& header, std::span<const uint8_t> payload);
  static Status check_crc(uint32_t crc, const uint8_t* trailer);

 private:
  crypto::AesGcm cipher_;
};

}  // namespace gradmesh
