// What links wait for: deadlines, heartbeats, silence.
#include <algorithm>

#include "collective/link_table.h"
#include "transport/clock.h"

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
  for (uint32_t index = 0; index < slot.link->streams(); ++index) {
    Stream& stream = *slot.link->stream(index);
    Wire& wire = slot.wires[index];
    // One that goes on after a hold is heard by the next pump at the soonest.
    if (!stream.held() && !stream.resumed() && now - wire.heard_ms > limit) {
      close(id, {GM_PEER_LOST, "nothing was heard for " + std::to_string(limit) + " ms"});
      return false;
    }
    if (wire.sent_bytes != stream.bytes_sent()) wire.sent_ms = now;
    wire.sent_bytes = stream.bytes_sent();
    if (!stream.between_frames() || stream.blocked() || now - wire.sent_ms < limit / 4) continue;
    stream.beat();
    wire.sent_ms = now;
  }
  slot.link->tick_probe(now_ns());
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
  for (auto& [id, slot] : slots_)
    for (Wire& wire : slot.wires) wire.heard_ms += gap_ms;
}

int64_t LinkTable::next_deadline(int64_t now) const {
  int64_t next = now + std::max<int64_t>(1, options_.silence_limit_ms / 8);
  for (const auto& [id, slot] : slots_) {
    if (slot.state != State::open) next = std::min(next, slot.deadline_ms);
    if (slot.link != nullptr && slot.link->probing())
      next = std::min({next, now + kCancelPollMs, slot.link->probe_deadline_ns() / 1'000'000 + 1});
    for (const LinkWaiter& waiter : slot.waiters) {
      next = std::min(next, waiter.deadline_ms);
      if (waiter.cancel != nullptr) next = std::min(next, now + kCancelPollMs);
    }
  }
  return next;
}

}  // namespace gradmesh
