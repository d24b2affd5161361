// Guards alone: what proves a frame, and the ratchet of the keys.
#include "check.h"
#include "transport/guard.h"

using namespace gradmesh;

namespace {

using Bytes = std::vector<uint8_t>;
using Key = std::array<uint8_t, crypto::kKeyBytes>;

Bytes random_bytes(size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

struct Sealed {
  FrameHeaderBytes header;
  Bytes payload, trailer;
};

FrameHeaderBytes header_of(size_t size, uint64_t sequence) {
  return encode_header({FrameType::data, static_cast<uint32_t>(size), 3, 4, sequence});
}

Sealed seal(FrameGuard& guard, uint64_t sequence, const Bytes& payload) {
  Sealed sealed{header_of(payload.size(), sequence), payload, Bytes(kTrailerBytesMax)};
  CHECK(static_cast<bool>(guard.begin(sealed.header)));
  const size_t cut = payload.size() / 3;
  CHECK(static_cast<bool>(guard.seal(std::span(payload).first(cut), sealed.payload.data())));
  CHECK(static_cast<bool>(guard.seal(std::span(payload).subspan(cut), sealed.payload.data() + cut)));
  CHECK(static_cast<bool>(guard.finish_seal(sealed.trailer.data())));
  return sealed;
}

bool open(FrameGuard& guard, Sealed sealed, Bytes* payload) {
  CHECK(static_cast<bool>(guard.begin(sealed.header)));
  const size_t cut = sealed.payload.size() / 2;
  CHECK(static_cast<bool>(guard.open(std::span(sealed.payload).first(cut))));
  CHECK(static_cast<bool>(guard.open(std::span(sealed.payload).subspan(cut))));
  *payload = sealed.payload;
  const Status status = guard.finish_open(sealed.trailer.data());
  CHECK(status || status.code() == (guard.encrypted() ? GM_UNAUTHORIZED : GM_PROTOCOL));
  return static_cast<bool>(status);
}

FrameGuard guard_of(const Key& key, crypto::Direction direction, uint32_t stream = 0, bool from_dialer = true,
                    const RekeyLimits& limits = {}) {
  FrameGuard guard;
  CHECK(static_cast<bool>(guard.encrypt(key, stream, from_dialer, direction, limits)));
  return guard;
}

}  // namespace

TEST("a guard proves header and payload, plain and encrypted: every bit of them") {
  std::mt19937_64 random(check::seed());
  const Key key{7};
  for (const bool encrypted : {false, static_cast<bool>(crypto::available())})
    for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}}) {
      const Bytes payload = random_bytes(size, random);
      FrameGuard sender;
      if (encrypted) sender = guard_of(key, crypto::Direction::seal);
      const Sealed sealed = seal(sender, random(), payload);
      const auto opens = [&](const Sealed& frame) {
        FrameGuard receiver;
        if (encrypted) receiver = guard_of(key, crypto::Direction::open);
        Bytes opened;
        const bool open_ = open(receiver, frame, &opened);
        if (open_) CHECK(opened == payload);
        return open_;
      };
      CHECK(opens(sealed));
      for (size_t bit = 0; bit < 8 * kFrameHeaderBytes; ++bit) {
        Sealed changed = sealed;
        changed.header[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        CHECK_THAT(!opens(changed), "header bit " + std::to_string(bit));
      }
      for (size_t bit = 0; bit < 8 * sender.trailer_bytes(); ++bit) {
        Sealed changed = sealed;
        changed.trailer[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        CHECK_THAT(!opens(changed), "trailer bit " + std::to_string(bit));
      }
      for (size_t bit = 0; bit < 8 * size; bit += 37) {
        Sealed changed = sealed;
        changed.payload[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        CHECK_THAT(!opens(changed), "payload bit " + std::to_string(bit));
      }
    }
}

TEST("a frame of another stream, of the other direction or under another key is refused") {
  if (!crypto::available()) return void(std::puts("skipped: no libcrypto here"));
  const Key key{1}, other{2};
  FrameGuard sender = guard_of(key, crypto::Direction::seal, 2, true);
  const Sealed sealed = seal(sender, 5, Bytes(100, 9));
  const auto opens = [&](const Key& link_key, uint32_t stream, bool from_dialer) {
    FrameGuard receiver = guard_of(link_key, crypto::Direction::open, stream, from_dialer);
    Bytes opened;
    return open(receiver, sealed, &opened);
  };
  CHECK(opens(key, 2, true));
  CHECK(!opens(key, 1, true));
  CHECK(!opens(key, 2, false));
  CHECK(!opens(other, 2, true));
}

TEST("keys are replaced after so many frames or bytes, on both sides alike, and old frames open no more") {
  if (!crypto::available()) return void(std::puts("skipped: no libcrypto here"));
  std::mt19937_64 random(check::seed());
  const Key key{3};
  for (const RekeyLimits limits : {RekeyLimits{~0ull, 4}, RekeyLimits{1000, ~0ull}}) {
    FrameGuard sender = guard_of(key, crypto::Direction::seal, 1, true, limits);
    FrameGuard receiver = guard_of(key, crypto::Direction::open, 1, true, limits);
    FrameGuard constant = guard_of(key, crypto::Direction::open, 1, true);  // that never replaces its key
    size_t refused = 0;
    Bytes opened;
    for (uint64_t sequence = 0; sequence < 40; ++sequence) {
      const Bytes payload = random_bytes(random() % 400, random);
      const Sealed sealed = seal(sender, sequence, payload);
      CHECK(open(receiver, sealed, &opened) && opened == payload);
      refused += open(constant, sealed, &opened) ? 0 : 1;
    }
    CHECK(refused > 20 && refused < 40);
  }
  // After a ratchet the first key's frames are refused, whatever sequence is due.
  FrameGuard sender = guard_of(key, crypto::Direction::seal, 0, true, {~0ull, 3});
  FrameGuard receiver = guard_of(key, crypto::Direction::open, 0, true, {~0ull, 3});
  Bytes opened;
  const Sealed old = seal(sender, 0, Bytes(50, 1));
  CHECK(open(receiver, old, &opened));
  for (uint64_t sequence = 1; sequence < 3; ++sequence)
    CHECK(open(receiver, seal(sender, sequence, Bytes(50, 2)), &opened));
  CHECK(!open(receiver, old, &opened));
}
