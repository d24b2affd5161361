// Outstanding and spent tickets.
#include "transport/tickets.h"

#include "base/crypto.h"

namespace gradmesh {

Status Tickets::expect(const Ticket& ticket, uint32_t link, uint32_t streams, int64_t deadline_ms) {
  const std::lock_guard lock(mutex_);
  if (outstanding_.size() >= kOutstandingMax)
    return {GM_INVALID_ARGUMENT,
            std::to_string(kOutstandingMax) + " tickets are outstanding; no more are allowed"};
  for (const Entry& entry : outstanding_)
    if (crypto::equal(entry.ticket, ticket))
      return {GM_INVALID_ARGUMENT, "ticket is outstanding already; each link needs its own"};
  // Its keys have been used as well, and would meet the same nonces again.
  for (const Spent& spent : spent_)
    if (crypto::equal(spent.ticket, ticket))
      return {GM_INVALID_ARGUMENT, "ticket was used or has expired; each link needs its own"};
  outstanding_.push_back({ticket, link, streams, deadline_ms});
  return Status::ok();
}

TicketFault Tickets::redeem(const Hello& hello, int64_t now_ms, uint32_t* link) {
  const std::lock_guard lock(mutex_);
  size_t found = outstanding_.size();
  for (size_t index = 0; index < outstanding_.size(); ++index)
    if (crypto::equal(outstanding_[index].ticket, hello.ticket)) found = index;
  if (found < outstanding_.size()) return admit(found, hello, now_ms, link);
  for (const Spent& spent : spent_)
    if (crypto::equal(spent.ticket, hello.ticket)) return spent.why;
  return TicketFault::unknown;
}

TicketFault Tickets::admit(size_t index, const Hello& hello, int64_t now_ms, uint32_t* link) {
  Entry& entry = outstanding_[index];
  if (now_ms >= entry.deadline_ms) {
    spend(index, TicketFault::expired);
    return TicketFault::expired;
  }
  if (hello.streams != entry.streams || hello.stream >= entry.streams) return TicketFault::streams;
  const uint32_t bit = 1u << hello.stream;
  if ((entry.admitted & bit) != 0) return TicketFault::used;
  entry.admitted |= bit;
  *link = entry.link;
  if (entry.admitted == (uint64_t{1} << entry.streams) - 1) spend(index, TicketFault::used);
  return TicketFault::none;
}

void Tickets::withdraw(uint32_t link) {
  const std::lock_guard lock(mutex_);
  for (size_t index = 0; index < outstanding_.size(); ++index)
    if (outstanding_[index].link == link) return spend(index, TicketFault::expired);
}

void Tickets::spend(size_t index, TicketFault why) {
  spent_.push_back({outstanding_[index].ticket, why});
  if (spent_.size() > kSpentMax) spent_.pop_front();
  outstanding_.erase(outstanding_.begin() + static_cast<std::ptrdiff_t>(index));
}

}  // namespace gradmesh
