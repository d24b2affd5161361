// Someone between two links who drops, repeats, reorders, mixes and changes what passes: every frame that was
// tampered with ends the link before it is delivered.
#include <unistd.h>

#include "pair.h"

using namespace pair;

namespace {

constexpr size_t kTrailer = crypto::kTagBytes;

// Two encrypted links of two streams, whose bytes pass through the test's hands.
class Middle {
 public:
  Recorder left_events, right_events;
  Traffic traffic;
  Pace pace;
  std::unique_ptr<Link> left, right;

  explicit Middle(const RekeyLimits& rekey = {}) {
    left = std::make_unique<Link>(1, Link::Side::dialer, 2, traffic, pace, left_events);
    right = std::make_unique<Link>(2, Link::Side::acceptor, 2, traffic, pace, right_events);
    const std::array<uint8_t, 32> one{1}, two{2};
    left->encrypt(one, two, rekey);
    right->encrypt(two, one, rekey);
    for (uint32_t stream = 0; stream < 2; ++stream) {
      attach(*left, stream, &left_ends_[stream]);
      attach(*right, stream, &right_ends_[stream]);
    }
    for (int round = 0; round < 2; ++round)
      for (uint32_t stream = 0; stream < 2; ++stream) {
        CHECK(static_cast<bool>(give_right(stream, take_left(stream))));
        CHECK(static_cast<bool>(give_left(stream, take_right(stream))));
      }
    CHECK(left->open() && right->open());
  }
  // What the link has to say on its stream.
  Bytes take_left(uint32_t stream) { return take(*left, left_ends_[stream]); }
  Bytes take_right(uint32_t stream) { return take(*right, right_ends_[stream]); }
  Status give_right(uint32_t stream, const Bytes& bytes) {
    return give(*right, stream, right_ends_[stream], bytes);
  }
  Status give_left(uint32_t stream, const Bytes& bytes) {
    return give(*left, stream, left_ends_[stream], bytes);
  }
  void cut_right(uint32_t stream) { right_ends_[stream].close(); }
  // A data frame of the left's stream, as it is on the wire.
  Bytes frame(uint32_t stream, const Bytes& payload, uint64_t tag) {
    left->use(stream == 1 ? 1 : 2);
    left->send(data_frame(payload, tag));
    return take_left(stream);
  }

 private:
  static void attach(Link& link, uint32_t stream, Descriptor* end) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    *end = Descriptor(ends[1]);
    CHECK(static_cast<bool>(link.attach(stream, Descriptor(ends[0]))));
  }
  static Bytes take(Link& link, const Descriptor& end) {
    CHECK(static_cast<bool>(link.flush()));
    Bytes bytes(1 << 16);
    const ssize_t got = read(end.get(), bytes.data(), bytes.size());
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }
  static Status give(Link& link, uint32_t stream, const Descriptor& end, const Bytes& bytes) {
    if (!bytes.empty())
      CHECK(write(end.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    return link.stream(stream)->receive();
  }

  std::array<Descriptor, 2> left_ends_, right_ends_;
};

bool refused(const Status& status) {
  return status.code() == GM_UNAUTHORIZED || status.code() == GM_PROTOCOL;
}

Bytes joined(const Bytes& first, const Bytes& second) {
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  return both;
}

bool without_crypto() {
  if (crypto::available()) return false;
  std::puts("skipped: no libcrypto here");
  return true;
}

}  // namespace

TEST("nothing is changed between two links, and all arrives") {
  if (without_crypto()) return;
  Middle middle;
  const Bytes payload = pattern(100, 1);
  CHECK(static_cast<bool>(middle.give_right(1, middle.frame(1, payload, 7))));
  CHECK(middle.right_events.arrived.size() == 1 && starts_with(middle.right_events.data[7], payload));
}

TEST("a flipped bit of any byte of a frame ends the link, and the payload with it") {
  if (without_crypto()) return;
  const Bytes payload = pattern(100, 1);
  for (size_t at = 0; at < kFrameHeaderBytes + payload.size() + kTrailer; ++at)
    for (const uint8_t bit : {1, 128}) {
      Middle middle;
      Bytes bytes = middle.frame(1, payload, 7);
      CHECK(bytes.size() == kFrameHeaderBytes + payload.size() + kTrailer);
      bytes[at] ^= bit;
      Status status = middle.give_right(1, bytes);
      // A longer payload than was sealed waits for more, and takes what comes next.
      for (int more = 0; status && more < 300; ++more) status = middle.give_right(1, Bytes(1 << 16, 3));
      CHECK_THAT(refused(status), "byte " + std::to_string(at) + ": " + status.message());
      CHECK(middle.right_events.arrived.empty());
      for (const auto& [tag, memory] : middle.right_events.data)
        CHECK(memory == Bytes(memory.size(), 0) || at < 8);
    }
}

TEST("a frame spliced from another stream or sent back where it came from is refused") {
  if (without_crypto()) return;
  const Bytes payload = pattern(100, 1);
  Middle spliced;
  const Bytes other = spliced.frame(1, payload, 7);  // the sequence that is due on both
  CHECK(spliced.give_right(0, other).code() == GM_UNAUTHORIZED);
  CHECK(spliced.right_events.arrived.empty());
  Middle reflected;
  CHECK(reflected.give_left(1, reflected.frame(1, payload, 7)).code() == GM_UNAUTHORIZED);
  CHECK(reflected.left_events.arrived.empty());
}

TEST("a replayed, dropped or reordered frame is refused, also with a forged sequence and after a ratchet") {
  if (without_crypto()) return;
  const Bytes payload = pattern(100, 1);
  for (const RekeyLimits& rekey : {RekeyLimits{}, RekeyLimits{~0ull, 2}}) {
    for (const bool forge : {false, true}) {
      Middle middle(rekey);
      const Bytes first = middle.frame(1, payload, 1);
      CHECK(static_cast<bool>(middle.give_right(1, first)));
      for (uint64_t tag = 2; tag < 6; ++tag)
        CHECK(static_cast<bool>(middle.give_right(1, middle.frame(1, payload, tag))));
      Bytes again = first;
      const uint64_t due = 6;  // the proof was 0
      if (forge) std::memcpy(&again[24], &due, sizeof due);
      CHECK(middle.give_right(1, again).code() == (forge ? GM_UNAUTHORIZED : GM_PROTOCOL));
      CHECK(middle.right_events.arrived.size() == 5);
    }
    Middle dropped(rekey);
    dropped.frame(1, payload, 1);
    CHECK(dropped.give_right(1, dropped.frame(1, payload, 2)).code() == GM_PROTOCOL);
    Middle reordered(rekey);
    const Bytes first = reordered.frame(1, payload, 1), second = reordered.frame(1, payload, 2);
    CHECK(reordered.give_right(1, joined(second, first)).code() == GM_PROTOCOL);
    CHECK(dropped.right_events.arrived.empty() && reordered.right_events.arrived.empty());
  }
}

TEST("a stream cut in the middle of a frame is a lost peer, and the frame never arrives") {
  if (without_crypto()) return;
  const Bytes payload = pattern(100, 1);
  for (size_t kept = 0; kept < kFrameHeaderBytes + payload.size() + kTrailer; kept += 13) {
    Middle middle;
    Bytes bytes = middle.frame(1, payload, 7);
    bytes.resize(kept);
    CHECK(static_cast<bool>(middle.give_right(1, bytes)));
    middle.cut_right(1);
    CHECK(middle.right->stream(1)->receive().code() == GM_PEER_LOST);
    CHECK(middle.right_events.arrived.empty());
  }
}

TEST("a frame before every stream is proved waits for that") {
  Recorder events;
  Traffic traffic;
  Pace pace;
  Link link(1, Link::Side::dialer, 2, traffic, pace, events);
  std::array<Descriptor, 2> peers;
  const auto attach = [&](uint32_t stream) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    peers[stream] = Descriptor(ends[1]);
    CHECK(static_cast<bool>(link.attach(stream, Descriptor(ends[0]))));
  };
  const auto say = [&](uint32_t stream, FrameType type, uint64_t sequence) {
    FrameGuard guard;
    const FrameHeaderBytes header = encode_header({.type = type, .operation = 5, .sequence = sequence});
    Bytes bytes(kFrameHeaderBytes + kCrcBytes);
    std::copy(header.begin(), header.end(), bytes.begin());
    CHECK(guard.begin(header) && guard.finish_seal(&bytes[kFrameHeaderBytes]));
    CHECK(write(peers[stream].get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  };
  attach(0);
  say(0, FrameType::proof, 0);
  say(0, FrameType::done, 1);
  CHECK(static_cast<bool>(link.stream(0)->receive()));
  link.resume();  // of somebody's operation
  CHECK(static_cast<bool>(link.stream(0)->receive()));
  CHECK(!link.open() && link.stream(0)->held() && events.arrived.empty());
  attach(1);
  say(1, FrameType::proof, 0);
  CHECK(static_cast<bool>(link.stream(1)->receive()));
  CHECK(link.open() && link.resumed());
  CHECK(static_cast<bool>(link.stream(0)->receive()));
  CHECK(events.arrived.size() == 1 && events.arrived[0].type == FrameType::done);
}
