// Half-open sockets: how many, whose, and for how long.
#include "transport/admission.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>

#include "check.h"
#include "transport/clock.h"

using namespace gradmesh;

namespace {

constexpr uint64_t kListenerTag = 1ull << 32, kSocketTag = 2ull << 32;

struct Door {
  Poller poller;
  Tickets tickets;
  Refusals refusals;
  Traffic traffic;
  Admission admission;
  std::vector<Admission::Admitted> admitted;

  explicit Door(Admission::Limits limits) : admission(poller, tickets, refusals, traffic, false, limits) {
    CHECK(static_cast<bool>(poller.open()));
    CHECK(static_cast<bool>(admission.open("127.0.0.1", 0, kListenerTag, kSocketTag)));
  }
  // Handles events until there are none for a while.
  void serve(int64_t now) {
    for (auto events = poller.wait(std::chrono::milliseconds(20)); !events.empty();
         events = poller.wait(std::chrono::milliseconds(20)))
      for (const epoll_event& event : events) {
        if (event.data.u64 == kListenerTag) {
          admission.accept_all(now);
          continue;
        }
        Admission::Admitted one = admission.advance(static_cast<uint32_t>(event.data.u64), now);
        if (one.socket) admitted.push_back(std::move(one));
      }
  }
  uint64_t refused(Refusal why) const { return refusals.counts[static_cast<size_t>(why)]; }
};

// A socket from an address of the loopback network.
Descriptor visitor(uint32_t port, uint32_t host = 1) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in own{}, there{};
  own.sin_family = there.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(0x7f000000 + host);
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  there.sin_port = htons(static_cast<uint16_t>(port));
  CHECK(bind(socket.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) == 0);
  CHECK(connect(socket.get(), reinterpret_cast<sockaddr*>(&there), sizeof there) == 0);
  return socket;
}

void say(const Descriptor& socket, const HelloBytes& hello) {
  CHECK(send(socket.get(), hello.data(), hello.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(hello.size()));
}

Ticket ticket_of(uint32_t number) {
  Ticket ticket{};
  std::memcpy(ticket.data(), &number, sizeof number);
  return ticket;
}

size_t open_descriptors() {
  const auto listing = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(listing), end(listing)));
}

}  // namespace

TEST("eight peers of one host open eight streams each at once") {
  Door door({});
  std::vector<Descriptor> sockets;
  for (uint32_t peer = 0; peer < 8; ++peer) {
    CHECK(static_cast<bool>(door.tickets.expect(ticket_of(peer), peer, 8, now_ms() + 60'000)));
    for (uint32_t stream = 0; stream < 8; ++stream) sockets.push_back(visitor(door.admission.port()));
  }
  door.serve(now_ms());
  for (uint32_t at = 0; at < 64; ++at) say(sockets[at], encode_hello({ticket_of(at / 8), at % 8, 8}, false));
  door.serve(now_ms());
  CHECK(door.admitted.size() == 64);
  std::array<uint32_t, 8> seen{};
  for (const Admission::Admitted& admitted : door.admitted) seen[admitted.link] |= 1u << admitted.stream;
  for (const uint32_t streams : seen) CHECK(streams == 0xff);
}

TEST("a host that floods with half-open sockets loses its own, and keeps no other out") {
  Door door({.half_open_max = 60, .half_open_host_max = 25, .hello_limit_ms = 1000});
  const size_t before = open_descriptors();
  CHECK(static_cast<bool>(door.tickets.expect(ticket_of(1), 1, 1, now_ms() + 60'000)));
  const int64_t start = now_ms();
  const Descriptor early = visitor(door.admission.port(), 2);
  door.serve(start);
  {
    std::vector<Descriptor> crowd;
    for (int at = 0; at < 100; ++at) {
      crowd.push_back(visitor(door.admission.port()));
      if (at % 10 == 9) door.serve(start);
    }
    CHECK(door.refused(Refusal::crowded) == 75);
    CHECK(open_descriptors() == before + 1 + 100 + 1 + 25);  // the visitors' ends, and what is kept here
    // In total too: of many hosts, those with the most go first.
    for (uint32_t host = 3; host < 43; ++host) crowd.push_back(visitor(door.admission.port(), host));
    door.serve(start);
    CHECK(door.refused(Refusal::crowded) == 75 + 6);
    CHECK(open_descriptors() == before + 1 + 140 + 60);
    say(early, encode_hello({ticket_of(1)}, false));
    door.serve(start);
    CHECK(door.admitted.size() == 1);
    door.admission.expire(start + 1000);
    CHECK(door.refused(Refusal::slow) == 59);
    CHECK(open_descriptors() == before + 1 + 140 + 1);
  }
}

TEST("another number of streams than the ticket's, and a stream twice, are refused by reason") {
  Door door({});
  CHECK(static_cast<bool>(door.tickets.expect(ticket_of(1), 1, 2, now_ms() + 60'000)));
  std::vector<Descriptor> sockets;
  const auto come = [&](const Hello& hello) {
    sockets.push_back(visitor(door.admission.port()));
    say(sockets.back(), encode_hello(hello, false));
    door.serve(now_ms());
  };
  come({ticket_of(1), 0, 3});
  CHECK(door.refused(Refusal::mode) == 1);
  come({ticket_of(1), 1, 2});
  come({ticket_of(1), 1, 2});
  CHECK(door.refused(Refusal::used) == 1 && door.admitted.size() == 1);
  come({ticket_of(1), 0, 2});
  CHECK(door.admitted.size() == 2);
  come({ticket_of(1), 0, 2});
  CHECK(door.refused(Refusal::used) == 2 && door.admitted.size() == 2);
}
