// Lets sockets in: accepts them, reads the fixed hello, redeems its ticket. Until then a socket costs one
// entry of a bounded table, and nothing it sends is stored but those 56 bytes. Belongs to the I/O thread.
#pragma once
#include <map>

#include "transport/hello.h"
#include "transport/poller.h"
#include "transport/tickets.h"
#include "transport/traffic.h"

namespace gradmesh {

class Admission {
 public:
  struct Limits {
    // Above it, the oldest half-open socket of the origin with the most is closed.
    size_t half_open_max = 512;
    // Above it, the oldest of that host. Eight peers of a host may open sixteen streams each at once.
    size_t half_open_host_max = 128;
    int64_t hello_limit_ms = 2000;  // for the whole hello to arrive
  };

  Admission(Poller& poller, Tickets& tickets, Refusals& refusals, Traffic& traffic, bool encrypted,
            Limits limits)
      : poller_(poller),
        tickets_(tickets),
        refusals_(refusals),
        traffic_(traffic),
        encrypted_(encrypted),
        limits_(limits) {}

  // Listens; events of the listener come back with listener_tag, those of half-open sockets with socket_tag |
  // id.
  Status open(const std::string& host, uint32_t port, uint64_t listener_tag, uint64_t socket_tag);
  uint32_t port() const { return port_; }
  void accept_all(int64_t now);

  struct Admitted {
    Descriptor socket;  // invalid: nobody was admitted
    uint32_t link = 0, stream = 0;
  };
  // After events of half-open socket `id`: the socket, its link and its number there once its ticket was
  // redeemed and the accept sent.
  Admitted advance(uint32_t id, int64_t now);
  // Closes what is overdue.
  void expire(int64_t now);
  // Ends the listener and what is half open.
  void close();

 private:
  struct HalfOpen {
    Descriptor socket;
    Origin origin{};
    int64_t deadline_ms = 0;
    size_t received = 0;
    HelloBytes hello{};
  };
  Admitted judge(uint32_t id, int64_t now);
  uint32_t oldest_of(const Origin& origin) const;
  Origin most_crowding() const;
  void forget(uint32_t id);
  void refuse(uint32_t id, Refusal why);

  Poller& poller_;
  Tickets& tickets_;
  Refusals& refusals_;
  Traffic& traffic_;
  const bool encrypted_;
  const Limits limits_;
  Descriptor listener_;
  uint32_t port_ = 0;
  uint64_t listener_tag_ = 0, socket_tag_ = 0;
  int64_t pause_until_ms_ = 0;  // not accepting: the process was out of descriptors
  uint32_t last_id_ = 0;
  std::map<uint32_t, HalfOpen> half_open_;  // by id, so the oldest is first
  std::map<Origin, size_t> crowd_;          // half-open sockets by origin
};

}  // namespace gradmesh
