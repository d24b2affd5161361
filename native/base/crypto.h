// AES-256-GCM (NIST SP 800-38D), SHA-256 (FIPS 180-4), HMAC and HKDF-Expand with it (RFC 2104, RFC 5869), a
// constant-time comparison and random bytes. The algorithms are OpenSSL's libcrypto, found when the process
// runs: in the process itself (the Node executable exports it), else as libcrypto.so.3 or libcrypto.so.1.1.
// So no OpenSSL headers are needed to build.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace gradmesh::crypto {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kNonceBytes = 12;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kDigestBytes = 32;
using Digest = std::array<uint8_t, kDigestBytes>;
using Bytes = std::span<const uint8_t>;

// OK where libcrypto was found; else GM_UNSUPPORTED, with the cure in the message. Looked for once, then
// remembered.
Status available();

enum class Direction : uint8_t { seal, open };

// One direction of one connection: the key schedule is done once, then any number of messages follow, each
// with a nonce of its own (a nonce used twice under one key breaks GCM: count them). Not thread-safe;
// movable.
class AesGcm {
 public:
  AesGcm() = default;
  // GM_UNSUPPORTED without libcrypto.
  static Status create(std::span<const uint8_t, kKeyBytes> key, Direction direction, AesGcm* result);
  explicit operator bool() const { return context_ != nullptr; }

  // source[n] -> target[n] and tag; target may be source's own memory (exactly the same start), else must not
  // overlap. aad is authenticated, not sent. For Direction::seal only.
  Status seal(std::span<const uint8_t, kNonceBytes> nonce, Bytes aad, Bytes source, std::span<uint8_t> target,
              std::span<uint8_t, kTagBytes> tag);
  // The reverse, for Direction::open only. GM_UNAUTHORIZED when tag, aad, nonce or bytes don't fit each
  // other; target is then all zeros, so that no caller can use what was not authenticated.
  Status open(std::span<const uint8_t, kNonceBytes> nonce, Bytes aad, Bytes source, std::span<uint8_t> target,
              std::span<const uint8_t, kTagBytes> tag);

  // The same message in pieces of any size: begin, update (source -> target as above) as often as needed,
  // then finish. What update() gives of a message that is opened is not authentic before finish_open() says
  // so.
  Status begin(std::span<const uint8_t, kNonceBytes> nonce, Bytes aad);
  Status update(Bytes source, std::span<uint8_t> target);
  Status finish_seal(std::span<uint8_t, kTagBytes> tag);
  Status finish_open(std::span<const uint8_t, kTagBytes> tag);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
  Direction direction_ = Direction::seal;
};

// SHA-256 of a stream. finish() gives the digest and makes the object ready for the next stream.
class Sha256 {
 public:
  Sha256() = default;
  static Status create(Sha256* result);
  Status update(Bytes bytes);
  Status finish(Digest* digest);

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

Status sha256(Bytes bytes, Digest* digest);
// HMAC-SHA256 (RFC 2104) of a message.
Status hmac_sha256(Bytes key, Bytes message, Digest* digest);
// One block of HKDF-Expand (RFC 5869, 2.3) with SHA-256: 32 bytes from a uniform key for a purpose.
Status hkdf_expand(Bytes key, Bytes purpose, Digest* derived);
std::string hex(Bytes bytes);

// Whether both hold the same bytes, in a time that depends on the lengths only.
bool equal(Bytes a, Bytes b);
// Fills target from the system's generator (getrandom(2)).
Status random_bytes(std::span<uint8_t> target);

// Looks for libcrypto in the process (when `in_process`), then under each name; `where` says what was found.
// Only available(), the doctor and tests need it.
Status probe(bool in_process, std::span<const char* const> names, std::string* where);

}  // namespace gradmesh::crypto
