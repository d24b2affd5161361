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

Ticket ticket_of(uint8_t byte) {
  Ticket ticket;
  ticket.fill(byte);
  return ticket;
}

}  // namespace

TEST("CRC-32C gives the values of RFC 3720 and its usual check value") {
  for (const auto crc : {crc32c, crc32c_portable}) {
    CHECK(crc(0, "123456789", 9) == 0xe3069283);
    CHECK(crc(0, Bytes(32, 0).data(), 32) == 0x8a9136aa);
    CHECK(crc(0, Bytes(32, 0xff).data(), 32) == 0x62a8ab43);
    CHECK(crc(0, nullptr, 0) == 0);
  }
}

TEST("CRC-32C by instruction, by table and in two parts are the same, at any length and alignment") {
  std::mt19937_64 random(check::seed());
  const Bytes bytes = random_bytes(600, random);
  for (size_t length = 0; length < 300; ++length) {
    const uint8_t* start = &bytes[random() % 300];
    const size_t cut = random() % (length + 1);
    const uint32_t whole = crc32c(0, start, length);
    CHECK(whole == crc32c_portable(0, start, length));
    CHECK(whole == crc32c(crc32c(0, start, cut), start + cut, length - cut));
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
  const HelloBytes hello = encode_hello(ticket_of(5), true);
  Ticket ticket;
  CHECK(check_hello(hello, true, &ticket) == HelloFault::none && ticket == ticket_of(5));
  CHECK(check_hello(hello, false, &ticket) == HelloFault::mode);
  for (size_t at = 0; at < 16; ++at) {
    HelloBytes changed = hello;
    changed[at] ^= 0x80;
    CHECK(check_hello(changed, true, &ticket) != HelloFault::none);
  }
  const AcceptBytes accept = encode_accept(true);
  CHECK(check_accept(accept, true) == HelloFault::none);
  CHECK(check_accept(accept, false) == HelloFault::mode);
  CHECK(check_accept(std::span(hello).first<kAcceptBytes>(), true) == HelloFault::garbage);
}

TEST("a ticket admits once, in time, and only what was expected") {
  Tickets tickets;
  uint32_t link = 0;
  CHECK(static_cast<bool>(tickets.expect(ticket_of(1), 10, 100)));
  CHECK(static_cast<bool>(tickets.expect(ticket_of(2), 20, 100)));
  CHECK(tickets.expect(ticket_of(1), 11, 100).code() == GM_INVALID_ARGUMENT);
  CHECK(tickets.redeem(ticket_of(3), 50, &link) == TicketFault::unknown);
  CHECK(tickets.redeem(ticket_of(1), 50, &link) == TicketFault::none && link == 10);
  CHECK(tickets.redeem(ticket_of(1), 50, &link) == TicketFault::used);
  CHECK(tickets.expect(ticket_of(1), 12, 100).code() == GM_INVALID_ARGUMENT);
  CHECK(tickets.redeem(ticket_of(2), 100, &link) == TicketFault::expired);
  CHECK(tickets.redeem(ticket_of(2), 50, &link) == TicketFault::expired);
  CHECK(static_cast<bool>(tickets.expect(ticket_of(4), 40, 100)));
  tickets.withdraw(40);
  CHECK(tickets.redeem(ticket_of(4), 50, &link) == TicketFault::expired);
}

TEST("tickets are bounded") {
  Tickets tickets;
  const auto numbered = [](size_t number) {
    Ticket ticket{};
    std::memcpy(ticket.data(), &number, sizeof number);
    return ticket;
  };
  for (size_t at = 0; at < Tickets::kOutstandingMax; ++at)
    CHECK(static_cast<bool>(tickets.expect(numbered(at), 1, 1)));
  CHECK(tickets.expect(numbered(5000), 1, 1).code() == GM_INVALID_ARGUMENT);
}

TEST("a guard proves header and payload, plain and encrypted") {
  std::mt19937_64 random(check::seed());
  for (const bool encrypted : {false, static_cast<bool>(crypto::available())})
    for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}}) {
      FrameGuard sender, receiver;
      const Bytes key = random_bytes(crypto::kKeyBytes, random), payload = random_bytes(size + 1, random);
      const auto key_span = std::span(key).first<crypto::kKeyBytes>();
      if (encrypted) CHECK(static_cast<bool>(sender.encrypt(key_span, crypto::Direction::seal)));
      if (encrypted) CHECK(static_cast<bool>(receiver.encrypt(key_span, crypto::Direction::open)));
      const FrameHeaderBytes header =
          encode_header({FrameType::data, static_cast<uint32_t>(size), 3, 4, random()});
      Bytes wire(size + 1), trailer(kTrailerBytesMax), opened(size + 1);
      CHECK(static_cast<bool>(sender.seal(header, {payload.data(), size}, wire.data(), trailer.data())));
      if (!encrypted) wire = payload;
      const auto open = [&](const FrameHeaderBytes& head, const Bytes& body, const Bytes& tail) {
        uint8_t* target = encrypted ? opened.data() : const_cast<uint8_t*>(body.data());
        const Status status = receiver.open(head, {body.data(), size}, target, tail.data());
        CHECK(status || status.code() == (encrypted ? GM_UNAUTHORIZED : GM_PROTOCOL));
        return static_cast<bool>(status);
      };
      CHECK(open(header, wire, trailer));
      if (encrypted) CHECK(std::memcmp(opened.data(), payload.data(), size) == 0);
      const auto flip = [&](auto bytes, size_t length) {
        bytes[random() % length] ^= static_cast<uint8_t>(1 << random() % 8);
        return bytes;
      };
      CHECK(!open(flip(header, header.size()), wire, trailer));
      if (size > 0) CHECK(!open(header, flip(wire, size), trailer));
      CHECK(!open(header, wire, flip(trailer, sender.trailer_bytes())));
    }
}
