// The first bytes of a bulk socket, fixed in size: the dialer's hello with its ticket, and the acceptor's
// answer. A socket that sends anything else is closed, and nothing was allocated by what it sent.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"

namespace gradmesh {

inline constexpr size_t kTicketBytes = 32;
using Ticket = std::array<uint8_t, kTicketBytes>;

inline constexpr uint32_t kWireVersion = 2;
inline constexpr uint32_t kStreamsMax = 16;  // sockets of one link
// magic (8), version (4), encrypted (4), ticket (32), the stream's index (4), the link's streams (4)
inline constexpr size_t kHelloBytes = 56;
inline constexpr size_t kAcceptBytes = 16;  // magic (8), version (4), encrypted (4)
using HelloBytes = std::array<uint8_t, kHelloBytes>;
using AcceptBytes = std::array<uint8_t, kAcceptBytes>;

// What a socket says that it is: stream `stream` of the `streams` that the ticket admits.
struct Hello {
  Ticket ticket{};
  uint32_t stream = 0, streams = 1;
};

HelloBytes encode_hello(const Hello& hello, bool encrypted);
AcceptBytes encode_accept(bool encrypted);

enum class HelloFault : uint8_t { none, garbage, version, mode };
// mode: one side wants encryption and the other does not.
// garbage also where the index or the count can't be.
HelloFault check_hello(std::span<const uint8_t, kHelloBytes> bytes, bool encrypted, Hello* hello);
HelloFault check_accept(std::span<const uint8_t, kAcceptBytes> bytes, bool encrypted);

}  // namespace gradmesh
