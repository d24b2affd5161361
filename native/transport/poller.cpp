// epoll, level-triggered: what is not handled now is reported again.
#include "transport/poller.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace gradmesh {

void Waker::wake() const {
  const uint64_t one = 1;
  // Can only fail when the counter is full, and then the other thread wakes up anyway.
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
}

void Waker::clear() const {
  uint64_t count;
  [[maybe_unused]] const ssize_t taken = read(event_.get(), &count, sizeof count);
}

Status Poller::open() {
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return {GM_IO, errno_text("epoll_create1")};
  Descriptor event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return {GM_IO, errno_text("eventfd")};
  waker_ = std::make_shared<const Waker>(std::move(event));
  add(waker_->descriptor(), kWakeTag, EPOLLIN);
  return Status::ok();
}

void Poller::add(int fd, uint64_t tag, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  GM_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void Poller::change(int fd, uint64_t tag, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  GM_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Poller::remove(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::span<const epoll_event> Poller::wait(std::chrono::nanoseconds limit) {
  const int count = wait_precisely(limit);
  if (count < 0) {
    GM_ASSERT(errno == EINTR);
    return {};
  }
  for (int index = 0; index < count; ++index)
    if (events_[index].data.u64 == kWakeTag) waker_->clear();
  return {events_, static_cast<size_t>(count)};
}

int Poller::wait_precisely(std::chrono::nanoseconds limit) {
  constexpr int64_t kSecond = 1'000'000'000, kMillisecond = 1'000'000;
  const int64_t nanoseconds = limit.count();
#ifdef SYS_epoll_pwait2
  if (precise_) {
    struct {
      int64_t seconds, nanoseconds;
    } timeout{nanoseconds / kSecond, nanoseconds % kSecond};
    const long count = syscall(SYS_epoll_pwait2, epoll_.get(), events_, kEventsMax,
                               nanoseconds < 0 ? nullptr : &timeout, nullptr, 0);
    if (count >= 0 || errno != ENOSYS) return static_cast<int>(count);
    precise_ = false;
  }
#endif
  const int64_t ceiled = (nanoseconds + kMillisecond - 1) / kMillisecond;
  const int milliseconds = nanoseconds < 0 ? -1 : static_cast<int>(std::min<int64_t>(ceiled, kSecond));
  return epoll_wait(epoll_.get(), events_, kEventsMax, milliseconds);
}

}  // namespace gradmesh
