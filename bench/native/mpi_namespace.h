// Lets a rank that mpirun has started live in a network namespace: its launcher (PMIx) listens on the
// loopback device of the first namespace, so a port of the same number in the new one is relayed there. A
// socket belongs to the namespace of the thread that made it, which is all that this needs.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <thread>

#include "peer.h"

namespace bench {

inline sockaddr_in loopback_address(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// The port in "...;tcp4://127.0.0.1:PORT"; the launcher writes it for each of its protocol's versions.
inline uint16_t launcher_port() {
  for (const char* name : {"PMIX_SERVER_URI41", "PMIX_SERVER_URI4", "PMIX_SERVER_URI3", "PMIX_SERVER_URI2"}) {
    const char* uri = std::getenv(name);
    const char* colon = uri == nullptr ? nullptr : std::strrchr(uri, ':');
    if (colon != nullptr) return static_cast<uint16_t>(std::strtoul(colon + 1, nullptr, 10));
  }
  die("not started by mpirun, or by one whose launcher does not listen on TCP");
}

// Both ways until one side closes.
inline void relay(int one, int other) {
  pollfd sides[2] = {{one, POLLIN, 0}, {other, POLLIN, 0}};
  char bytes[16384];
  for (bool open = true; open;) {
    poll(sides, 2, -1);
    for (int from = 0; from < 2 && open; ++from) {
      if (sides[from].revents == 0) continue;
      const ssize_t got = read(sides[from].fd, bytes, sizeof(bytes));
      open = got > 0 && send(sides[1 - from].fd, bytes, static_cast<size_t>(got), MSG_NOSIGNAL) == got;
    }
  }
  close(one);
  close(other);
}

// Moves the calling thread, and the threads and sockets that it makes from now on, to the namespace.
inline void enter_namespace(const std::string& path) {
  const uint16_t port = launcher_port();
  const int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
            there = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) != 0) die(path + ": " + std::strerror(errno));
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback_address(port);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (bind(listener, generic, sizeof(address)) != 0 || listen(listener, 8) != 0)
    die(path + ": 127.0.0.1:" + std::to_string(port) + ": " + std::strerror(errno));
  std::thread([here, listener, address, generic_size = sizeof(address)] {
    if (setns(here, CLONE_NEWNET) != 0) die(std::string("the first namespace: ") + std::strerror(errno));
    for (;;) {
      const int from = accept(listener, nullptr, nullptr);
      const int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(to, reinterpret_cast<const sockaddr*>(&address), generic_size) != 0)
        die(std::string("the launcher: ") + std::strerror(errno));
      std::thread(relay, from, to).detach();
    }
  }).detach();
}

}  // namespace bench
