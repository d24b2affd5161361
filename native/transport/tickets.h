// The tickets that this endpoint waits for. Each admits the sockets of one link, each index once, until it
// expires. Safe to use from any thread: a ticket counts from the moment that expect() returns.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "transport/hello.h"

namespace gradmesh {

enum class TicketFault : uint8_t { none, unknown, used, expired, streams };
// streams: the link has another number of them.

class Tickets {
 public:
  // GM_INVALID_ARGUMENT where the ticket is outstanding already, was spent lately, or kOutstandingMax are
  // outstanding.
  Status expect(const Ticket& ticket, uint32_t link, uint32_t streams, int64_t deadline_ms);
  // Admits the hello's stream and gives its link; the ticket is spent with its last stream. Compares with
  // every outstanding one, in a time that depends on none.
  TicketFault redeem(const Hello& hello, int64_t now_ms, uint32_t* link);
  // Takes out the link's ticket, if it is still there (its expectation was given up).
  void withdraw(uint32_t link);

  static constexpr size_t kOutstandingMax = 1024;
  static constexpr size_t kSpentMax = 1024;  // remembered to tell "used" and "expired" from "unknown"

 private:
  struct Entry {
    Ticket ticket;
    uint32_t link, streams;
    int64_t deadline_ms;
    uint32_t admitted = 0;  // a bit for each stream
  };
  struct Spent {
    Ticket ticket;
    TicketFault why;
  };
  TicketFault admit(size_t index, const Hello& hello, int64_t now_ms, uint32_t* link);
  void spend(size_t index, TicketFault why);

  std::mutex mutex_;
  std::vector<Entry> outstanding_;
  std::deque<Spent> spent_;
};

}  // namespace gradmesh
