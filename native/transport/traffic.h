// Counters of an endpoint, readable from any thread.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>

namespace gradmesh {

using Counter = std::atomic<uint64_t>;

struct Traffic {
  Counter payload_sent = 0, payload_received = 0;  // data frames' payloads, bytes
  Counter framing_sent = 0, framing_received = 0;  // data frames' headers and trailers, bytes
  Counter control_sent = 0, control_received = 0;  // every other frame, and the first bytes of sockets
};

// Why an accepted socket was closed before it became a link.
enum class Refusal : uint8_t { garbage, version, mode, unknown, used, expired, slow, crowded, closed, proof };
inline constexpr std::array<const char*, 10> kRefusalNames = {
    "garbage",       "version", "mode",    "unknownTicket", "usedTicket",
    "expiredTicket", "slow",    "crowded", "closed",        "proof"};

struct Refusals {
  std::array<Counter, kRefusalNames.size()> counts{};
  void count(Refusal why) { ++counts[static_cast<size_t>(why)]; }
};

}  // namespace gradmesh
