// Outstanding and spent tickets.
#include "transport/tickets.h"

#include "base/crypto.h"

namespace gradmesh {

Status Tickets::expect(const Ticket& ticket, uint32_t link, int64_t deadline_ms) {
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
  outstanding_.push_back({ticket, link, deadline_ms});
  return Status::ok();
}

TicketFault Tickets::redeem(const Ticket& ticket, int64_t now_ms, uint32_t* link) {
  const std::lock_guard lock(mutex_);
  size_t found = outstanding_.size();
  for (size_t index = 0; index < outstanding_.size(); ++index)
    if (crypto::equal(outstanding_[index].ticket, ticket)) found = index;
  if (found < outstanding_.size()) {
    const bool expired = now_ms >= outstanding_[found].deadline_ms;
    *link = outstanding_[found].link;
    spend(found, expired ? TicketFault::expired : TicketFault::used);
    return expired ? TicketFault::expired : TicketFault::none;
  }
  for (const Spent& spent : spent_)
    if (crypto::equal(spent.ticket, ticket)) return spent.why;
  return TicketFault::unknown;
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
