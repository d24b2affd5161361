// Waits for sockets and for wake-ups from other threads (epoll and eventfd).
#pragma once
#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "transport/socket.h"

namespace gradmesh {

// Ends another thread's wait. May outlive the poller that it was made for.
class Waker {
 public:
  explicit Waker(Descriptor event) : event_(std::move(event)) {}
  void wake() const;
  void clear() const;
  int descriptor() const { return event_.get(); }

 private:
  Descriptor event_;
};

class Poller {
 public:
  static constexpr uint64_t kWakeTag = ~uint64_t{0};
  static constexpr int kEventsMax = 64;

  Status open();
  // The tag comes back with the socket's events; a stale tag is the caller's to ignore.
  void add(int fd, uint64_t tag, uint32_t events);
  void change(int fd, uint64_t tag, uint32_t events);
  void remove(int fd);
  // Waits at most so long, to the nanosecond where the kernel can (5.11), else to the millisecond above;
  // wake-ups are taken out.
  std::span<const epoll_event> wait(std::chrono::nanoseconds limit);
  std::shared_ptr<const Waker> waker() const { return waker_; }

 private:
  int wait_precisely(std::chrono::nanoseconds limit);

  Descriptor epoll_;
  bool precise_ = true;  // the kernel has epoll_pwait2
  std::shared_ptr<const Waker> waker_;
  epoll_event events_[kEventsMax];
};

}  // namespace gradmesh
