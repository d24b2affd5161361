// The proxy's thread: one loop over all its connections.
#include "fault_proxy.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "transport/bytes.h"
#include "transport/clock.h"
#include "transport/guard.h"
#include "transport/hello.h"

namespace gradmesh::net {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr int kPollMs = 2;              // how soon a harm, new tokens or the end are seen
constexpr double kBurstSeconds = 0.01;  // of what a slow link may pass at once

bool is_lie(Harm harm) { return harm >= Harm::shorter; }

}  // namespace

Harm harm_named(const std::string& name) {
  constexpr const char* kNames[] = {"none", "corrupt", "cut", "slow", "shorter", "longer", "empty", "huge"};
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  return found == std::end(kNames) ? Harm::none : static_cast<Harm>(found - std::begin(kNames));
}

FaultProxy::FaultProxy(const Target& target, uint64_t seed) : target_(target), random_(seed) {
  const Status status = listen_on("127.0.0.1", 0, &listener_, &port_);
  GM_ASSERT(static_cast<bool>(status));
  thread_ = std::thread([this] { serve(); });
}

FaultProxy::~FaultProxy() {
  over_ = true;
  thread_.join();
}

void FaultProxy::serve() {
  while (!over_) {
    std::vector<pollfd> polled = {{listener_.get(), POLLIN, 0}};
    const bool closed_up = harm_ == Harm::cut, dry = allowance() == 0;
    for (const auto& connection : connections_)
      for (const Direction* direction : {&connection->up, &connection->down}) {
        const bool deaf = direction->is_waiting() || dry || (closed_up && direction == &connection->up);
        if (!deaf) polled.push_back({direction->from->get(), POLLIN, 0});
        if (direction->is_waiting() && !dry) polled.push_back({direction->to->get(), POLLOUT, 0});
      }
    poll(polled.data(), polled.size(), kPollMs);
    accept();
    std::erase_if(connections_, [this](const auto& connection) {
      return !pass(*connection, connection->up, true) || !pass(*connection, connection->down, false);
    });
  }
}

void FaultProxy::accept() {
  bool exhausted = false;
  Origin origin;
  auto made = std::make_unique<Connection>();
  made->dialer = accept_from(listener_.get(), &exhausted, &origin);
  if (!made->dialer || !connect_to(target_.host, target_.port, &made->server)) return;
  made->up = {&made->dialer, &made->server, {}, 0};
  made->down = {&made->server, &made->dialer, {}, 0};
  made->frames.until_header = kHelloBytes;
  connections_.push_back(std::move(made));
}

// Bytes that may pass now.
size_t FaultProxy::allowance() {
  const auto rate = static_cast<double>(bytes_per_second_);
  if (harm_ != Harm::slow) return kReadBytes;
  const int64_t now = now_ns();
  tokens_ = std::min(tokens_ + 1e-9 * static_cast<double>(now - refilled_ns_) * rate, rate * kBurstSeconds);
  refilled_ns_ = now;
  return static_cast<size_t>(std::max(0.0, tokens_));
}

// False where the connection is over; what the other direction still holds then is lost, as with a reset.
bool FaultProxy::pass(Connection& connection, Direction& direction, bool from_dialer) {
  const auto later = [] { return errno == EAGAIN || errno == EINTR || errno == ENOTCONN; };
  if (!direction.is_waiting()) {
    if (from_dialer && harm_ == Harm::cut) return true;
    const size_t size = std::min(allowance(), kReadBytes);
    if (size == 0) return true;
    direction.pending.resize(size);
    direction.sent = 0;
    const ssize_t got = recv(direction.from->get(), direction.pending.data(), size, 0);
    direction.pending.resize(static_cast<size_t>(std::max<ssize_t>(0, got)));
    if (got == 0 || (got < 0 && !later())) return false;
    if (from_dialer) change(connection, &direction.pending);
  }
  if (!direction.is_waiting()) return true;
  const size_t size = std::min(allowance(), direction.pending.size() - direction.sent);
  if (size == 0) return true;
  const ssize_t sent = send(direction.to->get(), &direction.pending[direction.sent], size, MSG_NOSIGNAL);
  if (sent < 0) return later();
  direction.sent += static_cast<size_t>(sent);
  tokens_ -= static_cast<double>(sent);
  return true;
}

void FaultProxy::change(Connection& connection, Bytes* bytes) {
  *bytes = lie_about(connection.frames, *bytes);
  if (harm_ != Harm::corrupt || bytes->empty()) return;
  (*bytes)[random_() % bytes->size()] ^= static_cast<uint8_t>(1u << random_() % 8);
  harm_ = Harm::none;
}

// Follows the frames, holds the one that is to be lied about until it is whole, and passes the rest.
FaultProxy::Bytes FaultProxy::lie_about(Frames& frames, const Bytes& bytes) {
  Bytes out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t left = bytes.size() - at;
    const auto next = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const auto take = [&](size_t size, Bytes* target) {
      target->insert(target->end(), next, next + static_cast<std::ptrdiff_t>(size));
      at += size;
    };
    if (frames.until_header > 0) {
      const size_t size = std::min<size_t>(left, frames.until_header);
      frames.until_header -= size;
      take(size, &out);
    } else if (frames.lied_left > 0) {
      const size_t size = std::min(left, frames.lied_left);
      frames.lied_left -= size;
      take(size, &frames.lied);
      if (frames.lied_left > 0) break;
      const Bytes forged = forge(frames.lied, harm_.exchange(Harm::none));
      out.insert(out.end(), forged.begin(), forged.end());
      frames.lied.clear();
    } else {
      take(std::min(left, kFrameHeaderBytes - frames.header.size()), &frames.header);
      if (frames.header.size() < kFrameHeaderBytes) break;
      const size_t rest = load<uint32_t>(&frames.header[4]) + target_.trailer_bytes;
      if (is_lie(harm_) && frames.header[0] == static_cast<uint8_t>(FrameType::data)) {
        frames.lied.swap(frames.header);
        frames.lied_left = rest;
      } else {
        out.insert(out.end(), frames.header.begin(), frames.header.end());
        frames.until_header = rest;
      }
      frames.header.clear();
    }
  }
  return out;
}

FaultProxy::Bytes FaultProxy::forge(const Bytes& frame, Harm lie) const {
  const auto payload_begin = frame.begin() + kFrameHeaderBytes;
  Bytes payload(payload_begin, frame.end() - static_cast<std::ptrdiff_t>(target_.trailer_bytes));
  if (lie == Harm::shorter && !payload.empty()) payload.pop_back();
  if (lie == Harm::longer) payload.push_back(0);
  if (lie == Harm::empty) payload.clear();
  FrameHeaderBytes header;
  std::copy(frame.begin(), payload_begin, header.begin());
  store(&header[4], lie == Harm::huge ? 0xffffffffu : static_cast<uint32_t>(payload.size()));
  uint8_t trailer[kTrailerBytesMax] = {};
  FrameGuard guard;
  const bool sealed = guard.begin(header) && guard.seal(payload, nullptr) && guard.finish_seal(trailer);
  GM_ASSERT(sealed);
  Bytes forged(header.begin(), header.end());
  forged.insert(forged.end(), payload.begin(), payload.end());
  forged.insert(forged.end(), trailer, trailer + target_.trailer_bytes);
  return forged;
}

}  // namespace gradmesh::net
