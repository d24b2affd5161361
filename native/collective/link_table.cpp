// The life of links.
#include "collective/link_table.h"

#include <algorithm>

namespace gradmesh {
namespace {

bool gave_up(const LinkWaiter& waiter, int64_t now, Status* why) {
  if (waiter.cancel != nullptr && waiter.cancel->raised())
    *why = {GM_ABORTED, "the caller stopped waiting for the link"};
  else if (now >= waiter.deadline_ms)
    *why = {GM_TIMEOUT, "the link was not open in the time given"};
  return !*why;
}

}  // namespace

LinkTable::LinkTable(Poller& poller, Tickets& tickets, Refusals& refusals, Traffic& traffic,
                     LinkTableEvents& events, Options options)
    : poller_(poller),
      tickets_(tickets),
      refusals_(refusals),
      events_(events),
      traffic_(traffic),
      options_(options),
      dialer_(poller, traffic, options.encrypted, options.dial_tag) {}

void LinkTable::expect(uint32_t id, const LinkSecrets& secrets, int64_t deadline_ms) {
  Slot& slot = slots_[id];
  slot.secrets = secrets;
  slot.deadline_ms = deadline_ms;
}

void LinkTable::dial(uint32_t id, const std::string& host, uint32_t port, const LinkSecrets& secrets,
                     LinkWaiter waiter) {
  Slot& slot = slots_[id];
  slot.state = State::dialing;
  slot.secrets = secrets;
  slot.deadline_ms = waiter.deadline_ms;
  slot.waiters.push_back(std::move(waiter));
  if (const Status status = dialer_.dial(id, host, port, secrets.ticket); !status) close(id, status);
}

void LinkTable::wait(uint32_t id, LinkWaiter waiter) {
  Link* link = nullptr;
  const Status status = find(id, &link);
  if (status || slots_.count(id) == 0) return waiter.done(status);
  slots_.at(id).waiters.push_back(std::move(waiter));
}

Status LinkTable::find(uint32_t id, Link** link) const {
  const std::string name = "link " + std::to_string(id);
  if (const auto found = slots_.find(id); found != slots_.end()) {
    if (found->second.state != State::open)
      return {GM_INVALID_ARGUMENT, name + " is not open yet; wait for link_ready or endpoint_dial"};
    *link = found->second.link.get();
    return Status::ok();
  }
  if (const auto found = dead_.find(id); found != dead_.end()) return found->second;
  return {GM_CLOSED, name + " is closed or never existed"};
}

void LinkTable::close(uint32_t id, const Status& reason) {
  auto node = slots_.extract(id);
  if (node.empty()) return;
  Slot& slot = node.mapped();
  const bool unproved = slot.state == State::proving && reason.code() == GM_PEER_LOST;
  const Status why =
      unproved ? Status(GM_UNAUTHORIZED, "the link ended before both sides had proved their keys") : reason;
  if (slot.state == State::expected) tickets_.withdraw(id);
  if (slot.state == State::dialing) dialer_.give_up(id);
  if (slot.state == State::proving && slot.accepted) refusals_.count(Refusal::proof);
  dead_.emplace(id, why);
  if (dead_.size() > kDeadMax) dead_.erase(dead_.begin());
  if (slot.state == State::open) events_.link_lost(*slot.link, why);
  for (const LinkWaiter& waiter : slot.waiters) waiter.done(why);
}

void LinkTable::close_all(const Status& why) {
  for (const uint32_t id : ids()) close(id, why);
}

void LinkTable::admitted(uint32_t id, Descriptor socket, int64_t now) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;  // closed by its owner in the meantime
  found->second.accepted = true;
  found->second.deadline_ms = now + kProofLimitMs;
  attach(id, found->second, std::move(socket), now);
}

void LinkTable::dial_event(uint32_t id, int64_t now) {
  Descriptor socket;
  const Status status = dialer_.advance(id, &socket);
  if (!status) return close(id, status);
  if (socket) attach(id, slots_.at(id), std::move(socket), now);
}

void LinkTable::attach(uint32_t id, Slot& slot, Descriptor socket, int64_t now) {
  slot.state = State::proving;
  const auto side = slot.accepted ? Link::Side::acceptor : Link::Side::dialer;
  slot.link = std::make_unique<Link>(id, side, std::move(socket), traffic_, events_);
  slot.heard_ms = slot.sent_ms = now;
  slot.interest = EPOLLIN;
  poller_.add(slot.link->descriptor(), options_.link_tag | id, slot.interest);
  if (options_.encrypted) {
    const Status status = slot.link->encrypt(slot.secrets.send_key, slot.secrets.receive_key);
    if (!status) return close(id, status);
  }
  slot.secrets = {};
}

void LinkTable::link_event(uint32_t id, uint32_t events, int64_t now) {
  const auto found = slots_.find(id);
  if (found == slots_.end() || found->second.link == nullptr) return;
  Slot& slot = found->second;
  if (slot.link->held() && (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
    return close(id, {GM_PEER_LOST, "the other side closed the connection"});
  serve(id, slot, (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0, now);
}

bool LinkTable::serve(uint32_t id, Slot& slot, bool readable, int64_t now) {
  Link& link = *slot.link;
  Status status = readable || link.resumed() ? link.receive() : Status::ok();
  if (slot.heard_bytes != link.bytes_received()) slot.heard_ms = now;
  slot.heard_bytes = link.bytes_received();
  if (status && slot.state == State::proving && link.open()) open(slot);
  if (status && !link.idle()) {
    status = link.flush();
    slot.sent_ms = now;
  }
  if (!status) {
    close(id, status);
    return false;
  }
  watch(id, slot);
  return true;
}

void LinkTable::open(Slot& slot) {
  ++opened_;
  slot.state = State::open;
  for (const LinkWaiter& waiter : slot.waiters) waiter.done(Status::ok());
  slot.waiters.clear();
}

// What epoll shall tell of the link: room to send where it was full; while a frame is held, only that the
// link ended.
void LinkTable::watch(uint32_t id, Slot& slot) {
  const uint32_t input = slot.link->held() ? uint32_t{EPOLLRDHUP} : uint32_t{EPOLLIN};
  const uint32_t interest = input | (slot.link->blocked() ? uint32_t{EPOLLOUT} : 0u);
  if (interest == slot.interest) return;
  slot.interest = interest;
  poller_.change(slot.link->descriptor(), options_.link_tag | id, interest);
}

void LinkTable::pump(int64_t now) {
  for (const uint32_t id : ids()) {
    const auto found = slots_.find(id);
    if (found == slots_.end() || found->second.link == nullptr) continue;
    Link& link = *found->second.link;
    if (link.resumed()) found->second.heard_ms = now;  // what came while it was held was not read
    if (link.resumed() || (!link.idle() && !link.blocked())) serve(id, found->second, false, now);
  }
}

bool LinkTable::busy() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const auto& entry) {
    const Link* link = entry.second.link.get();
    return link != nullptr && (link->resumed() || (!link->idle() && !link->blocked()));
  });
}

void LinkTable::tick(int64_t now) {
  for (const uint32_t id : ids()) {
    const auto found = slots_.find(id);
    if (found == slots_.end()) continue;
    Slot& slot = found->second;
    if (slot.state == State::open ? !tick_open(id, slot, now) : now >= slot.deadline_ms) {
      if (slots_.count(id) != 0) close(id, {GM_TIMEOUT, "the link was not open in the time given"});
      continue;
    }
    tick_waiters(id, slot, now);
  }
}

// False where the link ended.
bool LinkTable::tick_open(uint32_t id, Slot& slot, int64_t now) {
  const int64_t limit = options_.silence_limit_ms;
  if (!slot.link->held() && now - slot.heard_ms > limit) {
    close(id, {GM_PEER_LOST, "nothing was heard for " + std::to_string(limit) + " ms"});
    return false;
  }
  if (slot.link->idle() && now - slot.sent_ms >= limit / 4) slot.link->send({});
  return true;
}

void LinkTable::tick_waiters(uint32_t id, Slot& slot, int64_t now) {
  const bool dialed = slot.state != State::expected && !slot.accepted;
  std::vector<LinkWaiter> waiting, gone;
  Status why;
  for (LinkWaiter& waiter : slot.waiters)
    (gave_up(waiter, now, &why) ? gone : waiting).push_back(std::move(waiter));
  slot.waiters = std::move(waiting);
  for (const LinkWaiter& waiter : gone) waiter.done(why);
  if (dialed && !gone.empty()) close(id, why);  // nobody else knows its number
}

void LinkTable::excuse(int64_t gap_ms) {
  for (auto& [id, slot] : slots_) slot.heard_ms += gap_ms;
}

void LinkTable::resume_all() {
  for (auto& [id, slot] : slots_)
    if (slot.link != nullptr) slot.link->resume();
}

int64_t LinkTable::next_deadline(int64_t now) const {
  int64_t next = now + std::max<int64_t>(1, options_.silence_limit_ms / 8);
  for (const auto& [id, slot] : slots_) {
    if (slot.state != State::open) next = std::min(next, slot.deadline_ms);
    for (const LinkWaiter& waiter : slot.waiters) {
      next = std::min(next, waiter.deadline_ms);
      if (waiter.cancel != nullptr) next = std::min(next, now + kCancelPollMs);
    }
  }
  return next;
}

std::vector<uint32_t> LinkTable::ids() const {
  std::vector<uint32_t> all;
  all.reserve(slots_.size());
  for (const auto& [id, slot] : slots_) all.push_back(id);
  return all;
}

}  // namespace gradmesh
