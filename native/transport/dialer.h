// Opens sockets to other endpoints: connects, sends the hello, waits for the accept. Belongs to the I/O
// thread.
#pragma once
#include <map>

#include "transport/hello.h"
#include "transport/poller.h"
#include "transport/traffic.h"

namespace gradmesh {

class Dialer {
 public:
  Dialer(Poller& poller, Traffic& traffic, bool encrypted, uint64_t tag)
      : poller_(poller), traffic_(traffic), encrypted_(encrypted), tag_(tag) {}

  // Events come back with tag | link.
  Status dial(uint32_t link, const std::string& host, uint32_t port, const Ticket& ticket);
  // After events: a failure (GM_IO not reached, GM_UNAUTHORIZED not let in); OK with a socket once accepted;
  // OK without one while it goes on.
  Status advance(uint32_t link, Descriptor* accepted);
  void give_up(uint32_t link) { dials_.erase(link); }

 private:
  struct Dial {
    Descriptor socket;
    Ticket ticket;
    bool greeted = false;
    size_t received = 0;
    AcceptBytes answer{};
  };
  Status greet(uint32_t link, Dial& dial);
  Status read_answer(Dial& dial, bool* complete);

  Poller& poller_;
  Traffic& traffic_;
  const bool encrypted_;
  const uint64_t tag_;
  std::map<uint32_t, Dial> dials_;
};

}  // namespace gradmesh
