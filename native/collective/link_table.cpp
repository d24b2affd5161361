// The life of links.
#include "collective/link_table.h"

#include <algorithm>

#include "transport/clock.h"

namespace gradmesh {
namespace {

// A stream of a link in a tag.
uint64_t key_of(uint32_t link, uint32_t stream) { return uint64_t{stream} << LinkTable::kStreamShift | link; }

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
  for (uint32_t stream = 0; stream < secrets.streams; ++stream) {
    const Status status =
        dialer_.dial(key_of(id, stream), host, port, {secrets.ticket, stream, secrets.streams});
    if (!status) return close(id, status);
  }
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
  const bool unproved = slot.link != nullptr && slot.state != State::open;
  const Status why = unproved && reason.code() == GM_PEER_LOST
                         ? Status(GM_UNAUTHORIZED, "the link ended before both sides had proved their keys")
                         : reason;
  if (slot.state == State::expected) tickets_.withdraw(id);
  if (slot.state == State::dialing) dialer_.give_up(id);
  if (unproved && slot.accepted) refusals_.count(Refusal::proof);
  dead_.emplace(id, why);
  if (dead_.size() > kDeadMax) dead_.erase(dead_.begin());
  if (slot.state == State::open) events_.link_lost(*slot.link, why);
  if (slot.link != nullptr) slot.link->fail_probe(why);
  for (const LinkWaiter& waiter : slot.waiters) waiter.done(why);
}

void LinkTable::close_all(const Status& why) {
  for (const uint32_t id : ids()) close(id, why);
}

void LinkTable::admitted(Admission::Admitted admitted, int64_t now) {
  const auto found = slots_.find(admitted.link);
  if (found == slots_.end()) return;  // closed by its owner in the meantime
  found->second.accepted = true;
  attach(admitted.link, found->second, admitted.stream, std::move(admitted.socket), now);
}

bool LinkTable::event(const epoll_event& event, int64_t now) {
  const uint64_t tag = event.data.u64;
  const auto id = static_cast<uint32_t>(tag);
  const uint32_t stream = (tag >> kStreamShift) & 0xff;
  const uint64_t kind = tag - key_of(id, stream);
  if (kind == options_.dial_tag) dial_event(id, stream, now);
  if (kind == options_.link_tag) link_event(id, stream, event.events, now);
  return kind == options_.dial_tag || kind == options_.link_tag;
}

void LinkTable::dial_event(uint32_t id, uint32_t stream, int64_t now) {
  Descriptor socket;
  const Status status = dialer_.advance(key_of(id, stream), &socket);
  if (!status) return close(id, status);
  if (socket) attach(id, slots_.at(id), stream, std::move(socket), now);
}

void LinkTable::attach(uint32_t id, Slot& slot, uint32_t stream, Descriptor socket, int64_t now) {
  const uint32_t streams = slot.secrets.streams;
  if (slot.link == nullptr) {
    const auto side = slot.accepted ? Link::Side::acceptor : Link::Side::dialer;
    slot.link = std::make_unique<Link>(id, side, streams, traffic_, pace_, events_);
    if (options_.encrypted)
      slot.link->encrypt(slot.secrets.send_key, slot.secrets.receive_key, options_.rekey);
  }
  tune_stream(socket.get(), options_.congestion_control);
  slot.wires[stream] = {.heard_ms = now, .sent_ms = now, .interest = EPOLLIN};
  poller_.add(socket.get(), options_.link_tag | key_of(id, stream), EPOLLIN);
  if (const Status status = slot.link->attach(stream, std::move(socket)); !status) return close(id, status);
  if (++slot.attached < streams) return;
  slot.state = State::proving;
  if (slot.accepted) slot.deadline_ms = now + kProofLimitMs;
  slot.secrets = {};
}

void LinkTable::link_event(uint32_t id, uint32_t stream, uint32_t events, int64_t now) {
  const auto found = slots_.find(id);
  if (found == slots_.end() || found->second.link == nullptr) return;
  Stream* source = found->second.link->stream(stream);
  if (source == nullptr) return;
  if (source->held() && (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
    return lose(id, found->second, {GM_PEER_LOST, "the other side closed the connection"});
  if ((events & EPOLLOUT) != 0) source->writable();
  serve(id, found->second, (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 ? source : nullptr, now);
}

// Reads `readable` and what was resumed, and sends; false where the link ended.
bool LinkTable::serve(uint32_t id, Slot& slot, const Stream* readable, int64_t now) {
  Link& link = *slot.link;
  Status status;
  for (uint32_t index = 0; index < link.streams() && status; ++index) {
    Stream* stream = link.stream(index);
    if (stream == nullptr || (stream != readable && !stream->resumed())) continue;
    if (stream->resumed()) slot.wires[index].heard_ms = now;  // what came while it was held was not read
    const uint64_t before = stream->bytes_received();
    status = stream->receive();
    if (stream->bytes_received() != before) slot.wires[index].heard_ms = now;
  }
  if (status && slot.state == State::proving && link.open()) open(slot);
  if (status) status = link.flush();
  if (!status) {
    lose(id, slot, status);
    return false;
  }
  watch(id, slot);
  return true;
}

// There is no order between streams: what a peer said before it closed (why it ended an operation, say) may
// still lie in the others.
void LinkTable::lose(uint32_t id, Slot& slot, const Status& why) {
  Link& link = *slot.link;
  for (uint32_t index = 0; index < link.streams() && slot.state == State::open; ++index) {
    Stream* stream = link.stream(index);
    if (why.code() != GM_PEER_LOST) break;  // who breaks the protocol is not listened to
    uint64_t before = ~uint64_t{0};
    for (int turn = 0; turn < kLastTurns && before != stream->bytes_received(); ++turn) {
      before = stream->bytes_received();
      if (!stream->receive()) break;
    }
  }
  close(id, why);
}

void LinkTable::open(Slot& slot) {
  ++opened_;
  slot.state = State::open;
  for (const LinkWaiter& waiter : slot.waiters) waiter.done(Status::ok());
  slot.waiters.clear();
}

// What epoll shall tell of each stream: room to send where it was full; while a frame is held, only that the
// stream ended.
void LinkTable::watch(uint32_t id, Slot& slot) {
  for (uint32_t index = 0; index < slot.link->streams(); ++index) {
    const Stream* stream = slot.link->stream(index);
    if (stream == nullptr) continue;
    const uint32_t input = stream->held() ? uint32_t{EPOLLRDHUP} : uint32_t{EPOLLIN};
    const uint32_t interest = input | (stream->blocked() ? uint32_t{EPOLLOUT} : 0u);
    if (interest == slot.wires[index].interest) continue;
    slot.wires[index].interest = interest;
    poller_.change(stream->descriptor(), options_.link_tag | key_of(id, index), interest);
  }
}

// In turns, so that under pacing no link takes everything.
void LinkTable::pump(int64_t now) {
  std::vector<uint32_t> order = ids();
  std::rotate(order.begin(), std::upper_bound(order.begin(), order.end(), turn_), order.end());
  if (!order.empty()) turn_ = order.front();
  for (const uint32_t id : order) {
    const auto found = slots_.find(id);
    if (found == slots_.end() || found->second.link == nullptr) continue;
    Link& link = *found->second.link;
    if (link.resumed() || link.ready(pace_.allowance(now_ns()) > 0)) serve(id, found->second, nullptr, now);
  }
}

bool LinkTable::busy() {
  const bool allowed = pace_.allowance(now_ns()) > 0;
  return std::any_of(slots_.begin(), slots_.end(), [&](const auto& entry) {
    const Link* link = entry.second.link.get();
    return link != nullptr && (link->resumed() || link->ready(allowed));
  });
}

void LinkTable::resume_all() {
  for (auto& [id, slot] : slots_)
    if (slot.link != nullptr) slot.link->resume();
}

std::vector<uint32_t> LinkTable::ids() const {
  std::vector<uint32_t> all;
  all.reserve(slots_.size());
  for (const auto& [id, slot] : slots_) all.push_back(id);
  return all;
}

}  // namespace gradmesh
