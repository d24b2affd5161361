// Sealing and opening frames.
#include "transport/guard.h"

#include <cstring>

#include "transport/bytes.h"
#include "transport/crc32c.h"

namespace gradmesh {
namespace {

// Four zero bytes and the sequence, which stands at the header's end: unique for a key, which serves one
// direction.
std::array<uint8_t, crypto::kNonceBytes> nonce_of(const FrameHeaderBytes& header) {
  std::array<uint8_t, crypto::kNonceBytes> nonce{};
  std::memcpy(&nonce[4], &header[24], 8);
  return nonce;
}

}  // namespace

Status FrameGuard::seal(const FrameHeaderBytes& header, std::span<const uint8_t> payload, uint8_t* target,
                        uint8_t* trailer) {
  if (encrypted())
    return cipher_.seal(nonce_of(header), header, payload, {target, payload.size()},
                        std::span<uint8_t, crypto::kTagBytes>(trailer, crypto::kTagBytes));
  store(trailer, crc(header, payload));
  return Status::ok();
}

Status FrameGuard::open(const FrameHeaderBytes& header, std::span<const uint8_t> payload, uint8_t* target,
                        const uint8_t* trailer) {
  if (encrypted())
    return cipher_.open(nonce_of(header), header, payload, {target, payload.size()},
                        std::span<const uint8_t, crypto::kTagBytes>(trailer, crypto::kTagBytes));
  return check_crc(crc(header, payload), trailer);
}

uint32_t FrameGuard::crc(const FrameHeaderBytes& header, std::span<const uint8_t> payload) {
  return crc32c(crc32c(0, header.data(), header.size()), payload.data(), payload.size());
}

Status FrameGuard::check_crc(uint32_t crc, const uint8_t* trailer) {
  if (crc == load<uint32_t>(trailer)) return Status::ok();
  return {GM_PROTOCOL, "a frame fails its checksum"};
}

}  // namespace gradmesh
