// Connecting and saying hello.
#include "transport/dialer.h"

#include <sys/socket.h>

#include <cerrno>

namespace gradmesh {
namespace {

Status turned_away() {
  return {GM_UNAUTHORIZED,
          "the other side closed the socket instead of accepting the ticket: it is unknown, used or "
          "expired there"};
}

}  // namespace

Status Dialer::dial(uint64_t key, const std::string& host, uint32_t port, const Hello& hello) {
  Descriptor socket;
  GM_TRY(connect_to(host, port, &socket));
  poller_.add(socket.get(), tag_ | key, EPOLLOUT);
  Dial& dial = dials_[key];
  dial.socket = std::move(socket);
  dial.hello = hello;
  return Status::ok();
}

Status Dialer::advance(uint64_t key, Descriptor* accepted) {
  const auto found = dials_.find(key);
  if (found == dials_.end()) return Status::ok();
  Dial& dial = found->second;
  bool complete = false;
  Status status = dial.greeted ? read_answer(dial, &complete) : greet(key, dial);
  if (status && !complete) return status;
  if (status) {
    poller_.remove(dial.socket.get());
    *accepted = std::move(dial.socket);
  }
  dials_.erase(found);
  return status;
}

void Dialer::give_up(uint32_t link) {
  std::erase_if(dials_, [link](const auto& entry) { return static_cast<uint32_t>(entry.first) == link; });
}

Status Dialer::greet(uint64_t key, Dial& dial) {
  GM_TRY(connect_result(dial.socket.get()));
  const HelloBytes hello = encode_hello(dial.hello, encrypted_);
  if (::send(dial.socket.get(), hello.data(), hello.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(hello.size()))
    return {GM_IO, errno_text("the hello could not be sent")};
  traffic_.control_sent += hello.size();
  dial.greeted = true;
  poller_.change(dial.socket.get(), tag_ | key, EPOLLIN);
  return Status::ok();
}

Status Dialer::read_answer(Dial& dial, bool* complete) {
  const ssize_t got = recv(dial.socket.get(), &dial.answer[dial.received], kAcceptBytes - dial.received, 0);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return Status::ok();
  if (got <= 0) return turned_away();
  traffic_.control_received += static_cast<uint64_t>(got);
  dial.received += static_cast<size_t>(got);
  if (dial.received < kAcceptBytes) return Status::ok();
  if (check_accept(dial.answer, encrypted_) != HelloFault::none)
    return {GM_PROTOCOL, "what answered is not a gradmesh endpoint of this version and mode"};
  *complete = true;
  return Status::ok();
}

}  // namespace gradmesh
