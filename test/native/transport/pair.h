// Two links over socket pairs, with events made of lists.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <memory>

#include "check.h"
#include "transport/clock.h"
#include "transport/link.h"

namespace pair {

using namespace gradmesh;
using Bytes = std::vector<uint8_t>;

// Takes every data frame to memory of its own, and control frames to a list.
struct Recorder : LinkEvents {
  std::map<uint64_t, Bytes> data;  // by tag
  std::vector<FrameHeader> arrived, sent;
  std::vector<uint32_t> steps;
  Place place = Place::take;

  Status frame_arriving(Link&, const FrameHeader& header, Landing* landing) override {
    if (place != Place::take) {
      landing->place = place;
      return Status::ok();
    }
    Bytes& memory = data[header.tag];
    memory.assign(header.length + 1, 0);
    *landing = {Place::take, memory.data(), static_cast<uint32_t>(header.tag) + 100};
    return Status::ok();
  }
  Status frame_arrived(Link&, const FrameHeader& header, std::span<const uint8_t> payload,
                       uint32_t step) override {
    CHECK(header.type != FrameType::data || (payload.empty() && step == header.tag + 100));
    arrived.push_back(header);
    return Status::ok();
  }
  void frame_sent(Link&, const OutgoingFrame& frame) override { sent.push_back(frame.header); }
  size_t count(FrameType type) const {
    size_t found = 0;
    for (const FrameHeader& header : arrived) found += header.type == type ? 1 : 0;
    return found;
  }
};

struct Options {
  bool encrypted = false;
  uint32_t streams = 1;
  RekeyLimits rekey{};
};

struct Pair {
  Recorder left_events, right_events;
  Traffic traffic;
  Pace left_pace, right_pace;
  std::unique_ptr<Link> left, right;

  explicit Pair(const Options& options) {
    left = std::make_unique<Link>(1, Link::Side::dialer, options.streams, traffic, left_pace, left_events);
    right =
        std::make_unique<Link>(2, Link::Side::acceptor, options.streams, traffic, right_pace, right_events);
    const std::array<uint8_t, 32> one{1}, two{2};
    if (options.encrypted) left->encrypt(one, two, options.rekey);
    if (options.encrypted) right->encrypt(two, one, options.rekey);
    for (uint32_t stream = 0; stream < options.streams; ++stream) {
      CHECK(!left->open() && !right->open());
      int ends[2];
      CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
      CHECK(static_cast<bool>(left->attach(stream, Descriptor(ends[0]))));
      CHECK(static_cast<bool>(right->attach(stream, Descriptor(ends[1]))));
      turn();
    }
    CHECK(left->open() && right->open());
  }
  static Status receive(Link& link) {
    for (uint32_t stream = 0; stream < link.streams(); ++stream)
      if (link.stream(stream) != nullptr) GM_TRY(link.stream(stream)->receive());
    return Status::ok();
  }
  static Status flush(Link& link) {
    for (uint32_t stream = 0; stream < link.streams(); ++stream)
      if (link.stream(stream) != nullptr) link.stream(stream)->writable();
    return link.flush();
  }
  // Both sides send and read until nothing moves.
  void turn() {
    for (uint64_t before = ~0ull; before != moved();) {
      before = moved();
      for (Link* link : {left.get(), right.get()}) CHECK(static_cast<bool>(flush(*link)));
      for (Link* link : {left.get(), right.get()}) CHECK(static_cast<bool>(receive(*link)));
    }
  }
  uint64_t moved() const {
    uint64_t bytes = 0;
    for (Link* link : {left.get(), right.get()})
      for (uint32_t stream = 0; stream < link->streams(); ++stream)
        if (link->stream(stream) != nullptr) bytes += link->stream(stream)->bytes_received();
    return bytes;
  }
};

inline OutgoingFrame data_frame(const Bytes& payload, uint64_t tag, uint64_t operation = 5) {
  return {.header = {FrameType::data, static_cast<uint32_t>(payload.size()), operation, tag},
          .payload = payload.data()};
}

inline Bytes pattern(size_t size, uint8_t seed) {
  Bytes bytes(size);
  for (size_t at = 0; at < size; ++at) bytes[at] = static_cast<uint8_t>(seed + at * 7);
  return bytes;
}

inline bool starts_with(const Bytes& memory, const Bytes& payload) {
  return memory.size() > payload.size() && std::equal(payload.begin(), payload.end(), memory.begin());
}

// Plain and encrypted, over one stream and several, with keys that live long and short.
inline const std::vector<Options>& modes() {
  static const std::vector<Options> all = [] {
    std::vector<Options> found{{false, 1}, {false, 5}};
    if (crypto::available())
      for (const uint32_t streams : {1u, 5u})
        for (const RekeyLimits& rekey : {RekeyLimits{}, RekeyLimits{100'000, 3}})
          found.push_back({true, streams, rekey});
    return found;
  }();
  return all;
}

}  // namespace pair
