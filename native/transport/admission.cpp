// Accepting sockets and judging their first bytes.
#include "transport/admission.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace gradmesh {
namespace {

constexpr int64_t kExhaustedPauseMs = 100;

Refusal refusal(HelloFault fault) {
  if (fault == HelloFault::version) return Refusal::version;
  return fault == HelloFault::mode ? Refusal::mode : Refusal::garbage;
}

Refusal refusal(TicketFault fault) {
  if (fault == TicketFault::used) return Refusal::used;
  if (fault == TicketFault::streams) return Refusal::mode;
  return fault == TicketFault::expired ? Refusal::expired : Refusal::unknown;
}

}  // namespace

Status Admission::open(const std::string& host, uint32_t port, uint64_t listener_tag, uint64_t socket_tag) {
  listener_tag_ = listener_tag;
  socket_tag_ = socket_tag;
  GM_TRY(listen_on(host, port, &listener_, &port_));
  poller_.add(listener_.get(), listener_tag_, EPOLLIN);
  return Status::ok();
}

void Admission::accept_all(int64_t now) {
  bool exhausted = false;
  for (size_t turn = 0; turn < limits_.half_open_max; ++turn) {
    Origin origin;
    Descriptor socket = accept_from(listener_.get(), &exhausted, &origin);
    if (!socket) break;
    const auto crowd = crowd_.find(origin);
    if (crowd != crowd_.end() && crowd->second >= limits_.half_open_host_max)
      refuse(oldest_of(origin), Refusal::crowded);
    else if (half_open_.size() >= limits_.half_open_max)
      refuse(oldest_of(most_crowding()), Refusal::crowded);
    ++crowd_[origin];
    const uint32_t id = ++last_id_;
    poller_.add(socket.get(), socket_tag_ | id, EPOLLIN);
    half_open_.emplace(id, HalfOpen{std::move(socket), origin, now + limits_.hello_limit_ms});
  }
  if (!exhausted) return;
  pause_until_ms_ = now + kExhaustedPauseMs;
  poller_.change(listener_.get(), listener_tag_, 0);
}

Admission::Admitted Admission::advance(uint32_t id, int64_t now) {
  const auto found = half_open_.find(id);
  if (found == half_open_.end()) return {};
  HalfOpen& socket = found->second;
  // Not a byte more than the hello: what follows belongs to the link.
  const ssize_t got =
      recv(socket.socket.get(), &socket.hello[socket.received], kHelloBytes - socket.received, 0);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return {};
  if (got <= 0) {
    refuse(id, Refusal::closed);
    return {};
  }
  traffic_.control_received += static_cast<uint64_t>(got);
  socket.received += static_cast<size_t>(got);
  if (socket.received < kHelloBytes) return {};
  return judge(id, now);
}

Admission::Admitted Admission::judge(uint32_t id, int64_t now) {
  HalfOpen& half = half_open_.at(id);
  Admitted admitted;
  Hello hello;
  if (const HelloFault fault = check_hello(half.hello, encrypted_, &hello); fault != HelloFault::none) {
    refuse(id, refusal(fault));
    return {};
  }
  if (const TicketFault fault = tickets_.redeem(hello, now, &admitted.link); fault != TicketFault::none) {
    refuse(id, refusal(fault));
    return {};
  }
  poller_.remove(half.socket.get());
  admitted.socket = std::move(half.socket);
  admitted.stream = hello.stream;
  forget(id);
  // The buffer of a new socket has room for 16 bytes; if it is broken already, the link's first read says so.
  const AcceptBytes answer = encode_accept(encrypted_);
  [[maybe_unused]] const ssize_t sent =
      ::send(admitted.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  traffic_.control_sent += answer.size();
  return admitted;
}

void Admission::expire(int64_t now) {
  while (!half_open_.empty() && half_open_.begin()->second.deadline_ms <= now)
    refuse(half_open_.begin()->first, Refusal::slow);
  if (pause_until_ms_ == 0 || now < pause_until_ms_) return;
  pause_until_ms_ = 0;
  poller_.change(listener_.get(), listener_tag_, EPOLLIN);
}

void Admission::close() {
  half_open_.clear();
  crowd_.clear();
  listener_.close();
}

uint32_t Admission::oldest_of(const Origin& origin) const {
  return std::find_if(half_open_.begin(), half_open_.end(),
                      [&](const auto& entry) { return entry.second.origin == origin; })
      ->first;
}

// So that one host can't drive out the others.
Origin Admission::most_crowding() const {
  return std::max_element(crowd_.begin(), crowd_.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

void Admission::refuse(uint32_t id, Refusal why) {
  refusals_.count(why);
  forget(id);
}

void Admission::forget(uint32_t id) {
  const auto found = half_open_.find(id);
  const auto crowd = crowd_.find(found->second.origin);
  if (--crowd->second == 0) crowd_.erase(crowd);
  half_open_.erase(found);
}

}  // namespace gradmesh
