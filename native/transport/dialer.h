// Opens the sockets of links to other endpoints: connects, sends the hello, waits for the accept. Belongs to
// the I/O thread.
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

  // One socket; events come back with tag | key, and key's lower half is the link.
  Status dial(uint64_t key, const std::string& host, uint32_t port, const Hello& hello);
  // After events: a failure (GM_IO not reached, GM_UNAUTHORIZED not let in); OK with a socket once accepted;
  // OK without one while it goes on.
  Status advance(uint64_t key, Descriptor* accepted);
  void give_up(uint32_t link);

 private:
  struct Dial {
    Descriptor socket;
    Hello hello;
    bool greeted = false;
    size_t received = 0;
    AcceptBytes answer{};
  };
  Status greet(uint64_t key, Dial& dial);
  Status read_answer(Dial& dial, bool* complete);

  Poller& poller_;
  Traffic& traffic_;
  const bool encrypted_;
  const uint64_t tag_;
  std::map<uint64_t, Dial> dials_;
};

}  // namespace gradmesh
