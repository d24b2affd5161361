// Layout and checks of the first bytes of a bulk socket.
#include "transport/hello.h"

#include <cstring>

#include "transport/bytes.h"

namespace gradmesh {
namespace {

constexpr char kHelloMagic[9] = "gmhello\n";
constexpr char kAcceptMagic[9] = "gmenter\n";
constexpr size_t kMagicBytes = 8;

void open_message(uint8_t* target, const char* magic, bool encrypted) {
  std::memcpy(target, magic, kMagicBytes);
  store(target + 8, kWireVersion);
  store(target + 12, uint32_t{encrypted});
}

HelloFault check(const uint8_t* bytes, const char* magic, bool encrypted) {
  if (std::memcmp(bytes, magic, kMagicBytes) != 0) return HelloFault::garbage;
  if (load<uint32_t>(bytes + 8) != kWireVersion) return HelloFault::version;
  if (load<uint32_t>(bytes + 12) != uint32_t{encrypted}) return HelloFault::mode;
  return HelloFault::none;
}

}  // namespace

HelloBytes encode_hello(const Hello& hello, bool encrypted) {
  HelloBytes bytes{};
  open_message(bytes.data(), kHelloMagic, encrypted);
  std::memcpy(&bytes[16], hello.ticket.data(), hello.ticket.size());
  store(&bytes[48], hello.stream);
  store(&bytes[52], hello.streams);
  return bytes;
}

AcceptBytes encode_accept(bool encrypted) {
  AcceptBytes bytes{};
  open_message(bytes.data(), kAcceptMagic, encrypted);
  return bytes;
}

HelloFault check_hello(std::span<const uint8_t, kHelloBytes> bytes, bool encrypted, Hello* hello) {
  std::memcpy(hello->ticket.data(), &bytes[16], hello->ticket.size());
  hello->stream = load<uint32_t>(&bytes[48]);
  hello->streams = load<uint32_t>(&bytes[52]);
  const HelloFault fault = check(bytes.data(), kHelloMagic, encrypted);
  if (fault != HelloFault::none) return fault;
  const bool possible = hello->streams <= kStreamsMax && hello->stream < hello->streams;
  return possible ? HelloFault::none : HelloFault::garbage;
}

HelloFault check_accept(std::span<const uint8_t, kAcceptBytes> bytes, bool encrypted) {
  return check(bytes.data(), kAcceptMagic, encrypted);
}

}  // namespace gradmesh
