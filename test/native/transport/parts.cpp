// The parts of the transport alone: checksums, headers, first messages, tickets, guards.
#include "base/crypto.h"
#include "check.h"
#include "transport/crc32c.h"
#include "transport/guard.h"
#include "transport/tickets.h"

using namespace gradmesh;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes random_bytes(size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

constexpr Crc32c kWays[] = {Crc32c::table, Crc32c::instruction, Crc32c::folding, Crc32c::wide_folding};

// A bit at a time (RFC 3720, 12.1).
uint32_t by_definition(uint32_t crc, const uint8_t* bytes, size_t size) {
  crc = ~crc;
  for (size_t at = 0; at < size; ++at) {
    crc ^= bytes[at];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

Ticket ticket_of(uint8_t byte) {
  Ticket ticket;
  ticket.fill(byte);
  return ticket;
}

}  // namespace

TEST("CRC-32C gives the values of RFC 3720 and its usual check value") {
  for (const Crc32c way : kWays) {
    CHECK(crc32c_by(way, 0, "123456789", 9) == 0xe3069283);
    CHECK(crc32c_by(way, 0, Bytes(32, 0).data(), 32) == 0x8a9136aa);
    CHECK(crc32c_by(way, 0, Bytes(32, 0xff).data(), 32) == 0x62a8ab43);
    CHECK(crc32c_by(way, 0, nullptr, 0) == 0);
  }
}

TEST("CRC-32C by every way and in two parts is that of its definition, at any length and alignment") {
  std::mt19937_64 random(check::seed());
  const Bytes bytes = random_bytes(6000, random);
  for (size_t length = 0; length < 3000; ++length) {
    const uint8_t* start = &bytes[random() % 3000];
    const size_t cut = random() % (length + 1);
    const uint32_t before = static_cast<uint32_t>(random()), due = by_definition(before, start, length);
    for (const Crc32c way : kWays) CHECK(crc32c_by(way, before, start, length) == due);
    CHECK(crc32c(before, start, length) == due);
    CHECK(crc32c(crc32c(before, start, cut), start + cut, length - cut) == due);
  }
}

TEST("a header survives its encoding, and every rule of it is enforced") {
  const FrameHeader header{FrameType::data, 12345, 77, 1ull << 40, 9};
  const FrameHeaderBytes bytes = encode_header(header);
  FrameHeader back;
  CHECK(static_cast<bool>(decode_header(bytes, 9, &back)));
  CHECK(back.type == header.type && back.length == header.length && back.operation == header.operation &&
        back.tag == header.tag && back.sequence == header.sequence);
  CHECK(decode_header(bytes, 8, &back).code() == GM_PROTOCOL);
  CHECK(decode_header(bytes, 10, &back).code() == GM_PROTOCOL);
  const auto refused = [&](size_t at, uint8_t value) {
    FrameHeaderBytes changed = bytes;
    changed[at] = value;
    return decode_header(changed, 9, &back).code() == GM_PROTOCOL;
  };
  CHECK(refused(0, 0));
  CHECK(refused(0, kFrameTypeLast + 1));
  CHECK(refused(1, 1) && refused(2, 1) && refused(3, 1));
  CHECK(refused(7, 0xff));
  CHECK(refused(0, static_cast<uint8_t>(FrameType::begin)));  // 12345 bytes are too many for it
}

TEST("the first messages are checked whole") {
  const HelloBytes bytes = encode_hello({ticket_of(5), 3, 8}, true);
  Hello hello;
  CHECK(check_hello(bytes, true, &hello) == HelloFault::none);
  CHECK(hello.ticket == ticket_of(5) && hello.stream == 3 && hello.streams == 8);
  CHECK(check_hello(bytes, false, &hello) == HelloFault::mode);
  const auto numbered = [&](uint32_t stream, uint32_t streams) {
    return check_hello(encode_hello({ticket_of(5), stream, streams}, true), true, &hello);
  };
  CHECK(numbered(0, 1) == HelloFault::none && numbered(15, 16) == HelloFault::none);
  CHECK(numbered(0, 0) == HelloFault::garbage && numbered(8, 8) == HelloFault::garbage);
  CHECK(numbered(0, 17) == HelloFault::garbage && numbered(~0u, ~0u) == HelloFault::garbage);
  for (size_t at = 0; at < kHelloBytes; ++at) {
    HelloBytes changed = bytes;
    changed[at] ^= 0x80;
    const bool ticket = at >= 16 && at < 48;  // another one, which nobody expects
    CHECK((check_hello(changed, true, &hello) != HelloFault::none) != ticket);
  }
  const AcceptBytes accept = encode_accept(true);
  CHECK(check_accept(accept, true) == HelloFault::none);
  CHECK(check_accept(accept, false) == HelloFault::mode);
  CHECK(check_accept(std::span(bytes).first<kAcceptBytes>(), true) == HelloFault::garbage);
}

TEST("a ticket admits once, in time, and only what was expected") {
  Tickets tickets;
  uint32_t link = 0;
  CHECK(static_cast<bool>(tickets.expect(ticket_of(1), 10, 1, 100)));
  CHECK(static_cast<bool>(tickets.expect(ticket_of(2), 20, 1, 100)));
  CHECK(tickets.expect(ticket_of(1), 11, 1, 100).code() == GM_INVALID_ARGUMENT);
  CHECK(tickets.redeem({ticket_of(3)}, 50, &link) == TicketFault::unknown);
  CHECK(tickets.redeem({ticket_of(1)}, 50, &link) == TicketFault::none && link == 10);
  CHECK(tickets.redeem({ticket_of(1)}, 50, &link) == TicketFault::used);
  CHECK(tickets.expect(ticket_of(1), 12, 1, 100).code() == GM_INVALID_ARGUMENT);
  CHECK(tickets.redeem({ticket_of(2)}, 100, &link) == TicketFault::expired);
  CHECK(tickets.redeem({ticket_of(2)}, 50, &link) == TicketFault::expired);
  CHECK(static_cast<bool>(tickets.expect(ticket_of(4), 40, 1, 100)));
  tickets.withdraw(40);
  CHECK(tickets.redeem({ticket_of(4)}, 50, &link) == TicketFault::expired);
}

TEST("a ticket admits each of its link's streams once, in any order, and no other number of them") {
  for (const uint32_t streams : {2u, 16u}) {
    Tickets tickets;
    uint32_t link = 0;
    CHECK(static_cast<bool>(tickets.expect(ticket_of(1), 10, streams, 100)));
    CHECK(tickets.redeem({ticket_of(1), 0, 1}, 50, &link) == TicketFault::streams);
    CHECK(tickets.redeem({ticket_of(1), 0, streams - 1}, 50, &link) == TicketFault::streams);
    for (uint32_t turn = 0; turn < streams; ++turn) {
      const uint32_t stream = streams - 1 - turn;
      CHECK(tickets.redeem({ticket_of(1), stream, streams}, 50, &link) == TicketFault::none && link == 10);
      CHECK(tickets.redeem({ticket_of(1), stream, streams}, 50, &link) == TicketFault::used);
    }
    CHECK(tickets.redeem({ticket_of(1), 0, streams}, 50, &link) == TicketFault::used);
    CHECK(static_cast<bool>(tickets.expect(ticket_of(2), 20, streams, 100)));
    CHECK(tickets.redeem({ticket_of(2), 0, streams}, 99, &link) == TicketFault::none);
    CHECK(tickets.redeem({ticket_of(2), 1, streams}, 100, &link) == TicketFault::expired);
  }
}

TEST("tickets are bounded") {
  Tickets tickets;
  const auto numbered = [](size_t number) {
    Ticket ticket{};
    std::memcpy(ticket.data(), &number, sizeof number);
    return ticket;
  };
  for (size_t at = 0; at < Tickets::kOutstandingMax; ++at)
    CHECK(static_cast<bool>(tickets.expect(numbered(at), 1, 1, 1)));
  CHECK(tickets.expect(numbered(5000), 1, 1, 1).code() == GM_INVALID_ARGUMENT);
}
