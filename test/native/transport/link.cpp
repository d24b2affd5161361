// Two links over a socket pair, with events made of lists.
#include "transport/link.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <map>

#include "check.h"

using namespace gradmesh;

namespace {

using Bytes = std::vector<uint8_t>;

// Takes every data frame to memory of its own, and control frames to a list.
struct Recorder : LinkEvents {
  std::map<uint64_t, Bytes> data;  // by tag
  std::vector<FrameHeader> arrived, sent;
  Place place = Place::take;
  bool early = false;

  Status frame_arriving(Link&, const FrameHeader& header, Place* where, uint8_t** target) override {
    *where = place;
    Bytes& memory = data[header.tag];
    memory.assign(header.length + 1, 0);
    *target = memory.data();
    return Status::ok();
  }
  Status frame_arrived(Link&, const FrameHeader& header, std::span<const uint8_t>, bool* hold) override {
    *hold = early;
    if (!early) arrived.push_back(header);
    return Status::ok();
  }
  void frame_sent(Link&, const OutgoingFrame& frame) override { sent.push_back(frame.header); }
};

struct Pair {
  Recorder left_events, right_events;
  Traffic traffic;
  std::unique_ptr<Link> left, right;

  explicit Pair(bool encrypted) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    left = std::make_unique<Link>(1, Link::Side::dialer, Descriptor(ends[0]), traffic, left_events);
    right = std::make_unique<Link>(2, Link::Side::acceptor, Descriptor(ends[1]), traffic, right_events);
    const std::array<uint8_t, 32> one{1}, two{2};
    if (encrypted) CHECK(left->encrypt(one, two) && right->encrypt(two, one));
    turn();
    CHECK(left->open() && right->open());
  }
  // Both sides send and read until nothing moves.
  void turn() {
    for (uint64_t before = ~0ull; before != moved();) {
      before = moved();
      for (Link* link : {left.get(), right.get()}) CHECK(static_cast<bool>(link->flush()));
      for (Link* link : {left.get(), right.get()}) CHECK(static_cast<bool>(link->receive()));
    }
  }
  uint64_t moved() const { return left->bytes_received() + right->bytes_received(); }
};

OutgoingFrame data_frame(const Bytes& payload, uint64_t tag) {
  return {.header = {FrameType::data, static_cast<uint32_t>(payload.size()), 5, tag},
          .payload = payload.data()};
}

Bytes pattern(size_t size, uint8_t seed) {
  Bytes bytes(size);
  for (size_t at = 0; at < size; ++at) bytes[at] = static_cast<uint8_t>(seed + at * 7);
  return bytes;
}

bool starts_with(const Bytes& memory, const Bytes& payload) {
  return memory.size() > payload.size() && std::memcmp(memory.data(), payload.data(), payload.size()) == 0;
}

const std::vector<bool>& modes() {
  static const std::vector<bool> all = crypto::available() ? std::vector{false, true} : std::vector{false};
  return all;
}

}  // namespace

TEST("frames of any size arrive whole and in order, both ways at once") {
  for (const bool encrypted : modes()) {
    Pair pair(encrypted);
    std::vector<Bytes> payloads;
    for (const size_t size : {1u, 31u, 1000u, 65536u, 300'000u, 5u, 2'000'000u})
      payloads.push_back(pattern(size, static_cast<uint8_t>(size)));
    for (uint64_t tag = 0; tag < payloads.size(); ++tag) {
      pair.left->send(data_frame(payloads[tag], tag));
      pair.right->send(data_frame(payloads[tag], tag));
      pair.left->send({.header = {FrameType::done, 0, 5, tag}});
    }
    pair.turn();
    for (uint64_t tag = 0; tag < payloads.size(); ++tag) {
      CHECK(starts_with(pair.right_events.data[tag], payloads[tag]));
      CHECK(starts_with(pair.left_events.data[tag], payloads[tag]));
    }
    CHECK(pair.right_events.arrived.size() == 2 * payloads.size());
    CHECK(pair.left->idle() && pair.right->idle());
  }
}

TEST("a held frame waits, with all behind it, and comes after resume") {
  for (const bool encrypted : modes()) {
    Pair pair(encrypted);
    const Bytes payload = pattern(200'000, 3);
    pair.right_events.place = Place::hold;
    pair.left->send(data_frame(payload, 1));
    pair.left->send({.header = {FrameType::done, 0, 5, 9}});
    pair.turn();
    CHECK(pair.right->held() && pair.right_events.arrived.empty());
    pair.right_events.place = Place::take;
    pair.right_events.early = true;
    pair.right->resume();
    CHECK(pair.right->resumed() && !pair.right->held());
    pair.turn();
    CHECK(pair.right->held() && pair.right_events.arrived.empty());
    pair.right_events.early = false;
    pair.right->resume();
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 2 && starts_with(pair.right_events.data[1], payload));
  }
}

TEST("skipped frames are read to nowhere, and what follows is whole") {
  for (const bool encrypted : modes()) {
    Pair pair(encrypted);
    const Bytes big = pattern(500'000, 1), next = pattern(100, 2);
    pair.right_events.place = Place::skip;
    pair.left->send(data_frame(big, 1));
    pair.turn();
    CHECK(pair.right_events.arrived.empty());
    pair.right_events.place = Place::take;
    pair.left->send(data_frame(next, 2));
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 1 && starts_with(pair.right_events.data[2], next));
  }
}

TEST(
    "data dropped in the middle of a frame touches its memory no more, on either side, and the stream stays "
    "whole") {
  for (const bool encrypted : modes()) {
    Pair pair(encrypted);
    Bytes big = pattern(3'000'000, 1);
    const Bytes next = pattern(100, 2);
    pair.left->send(data_frame(big, 1));
    pair.left->send(data_frame(next, 2));
    CHECK(static_cast<bool>(pair.left->flush()));
    CHECK(static_cast<bool>(pair.right->receive()));
    CHECK(!pair.left->idle());
    pair.left->drop_data();
    pair.right->drop_data();
    std::fill(big.begin(), big.end(), 0xee);
    Bytes& half = pair.right_events.data[1];
    const Bytes kept = half;
    pair.turn();
    CHECK(half == kept);
    CHECK(pair.right_events.arrived.empty() && pair.left->idle());
    pair.left->send(data_frame(next, 3));
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 1 && starts_with(pair.right_events.data[3], next));
  }
}

TEST("a closed other side is a lost peer") {
  Pair pair(false);
  pair.right.reset();
  CHECK(pair.left->receive().code() == GM_PEER_LOST);
  const Bytes payload = pattern(10, 1);
  pair.left->send(data_frame(payload, 1));
  CHECK(pair.left->flush().code() == GM_PEER_LOST);
}
