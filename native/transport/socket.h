// Non-blocking TCP sockets: owning descriptors, and the calls that make them.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "base/status.h"

namespace gradmesh {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { close(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

// host is a numeric IPv4 or IPv6 address, or "localhost": names are looked up by the control plane, never
// here.
Status listen_on(const std::string& host, uint32_t port, Descriptor* socket, uint32_t* bound_port);
// Starts to connect; the socket turns writable when it has, or has failed (connect_result).
Status connect_to(const std::string& host, uint32_t port, Descriptor* socket);
Status connect_result(int socket);
// Where a socket comes from, as far as one owner can't choose it at will: an IPv4 address, or the upper 64
// bits of an IPv6 address.
using Origin = std::array<uint8_t, 8>;
// An accepted socket, non-blocking and without delay; invalid where there is none. *exhausted: out of
// descriptors.
Descriptor accept_from(int listener, bool* exhausted, Origin* origin);
// GM_INVALID_ARGUMENT where the system doesn't offer a congestion control of this name; the message lists
// what it does. Empty: fine, the system's own.
Status check_congestion_control(const std::string& name);
// Readies a socket for a stream: its congestion control, and kUnsentMax.
void tune_stream(int socket, const std::string& congestion_control);
// Bytes that may wait in a socket's buffer without having been sent. So a control frame is soon on its way,
// and no data is committed to a socket that is slower than its neighbour. Bytes in flight don't count.
inline constexpr int kUnsentMax = 256 << 10;
// "what: reason of errno".
std::string errno_text(const char* what);

}  // namespace gradmesh
