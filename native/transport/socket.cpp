// TCP sockets by the system's calls.
#include "transport/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace gradmesh {
namespace {

constexpr int kBacklog = 512;  // the streams of many peers at once

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Status parse_address(const std::string& host, uint32_t port, Address* address) {
  if (port > 65535) return {GM_INVALID_ARGUMENT, "port is " + std::to_string(port) + "; allowed: 0 to 65535"};
  const std::string numeric = host == "localhost" ? "127.0.0.1" : host;
  auto* four = reinterpret_cast<sockaddr_in*>(&address->storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address->storage);
  if (inet_pton(AF_INET, numeric.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<uint16_t>(port));
    address->size = sizeof *four;
  } else if (inet_pton(AF_INET6, numeric.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    address->size = sizeof *six;
  } else {
    return {GM_INVALID_ARGUMENT,
            "host is \"" + host + "\"; allowed: a numeric IPv4 or IPv6 address, or localhost"};
  }
  return Status::ok();
}

Status open_socket(const Address& address, Descriptor* socket) {
  *socket = Descriptor(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!*socket) return {GM_IO, errno_text("socket")};
  return Status::ok();
}

// Without it small frames wait for the other side's delayed acknowledgement, 40 ms.
void send_at_once(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void Descriptor::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::string errno_text(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

Status listen_on(const std::string& host, uint32_t port, Descriptor* socket, uint32_t* bound_port) {
  Address address;
  GM_TRY(parse_address(host, port, &address));
  GM_TRY(open_socket(address, socket));
  const int on = 1;
  setsockopt(socket->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const std::string where = host + " port " + std::to_string(port);
  if (bind(socket->get(), address.get(), address.size) != 0)
    return {GM_IO, errno_text(("bind to " + where).c_str())};
  if (listen(socket->get(), kBacklog) != 0) return {GM_IO, errno_text(("listen on " + where).c_str())};
  Address bound;
  bound.size = sizeof bound.storage;
  if (getsockname(socket->get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0)
    return {GM_IO, errno_text("getsockname")};
  const bool four = bound.storage.ss_family == AF_INET;
  *bound_port = ntohs(four ? reinterpret_cast<sockaddr_in*>(&bound.storage)->sin_port
                           : reinterpret_cast<sockaddr_in6*>(&bound.storage)->sin6_port);
  return Status::ok();
}

Status connect_to(const std::string& host, uint32_t port, Descriptor* socket) {
  Address address;
  GM_TRY(parse_address(host, port, &address));
  GM_TRY(open_socket(address, socket));
  send_at_once(socket->get());
  if (connect(socket->get(), address.get(), address.size) != 0 && errno != EINPROGRESS)
    return {GM_IO, errno_text(("connect to " + host + " port " + std::to_string(port)).c_str())};
  return Status::ok();
}

Status connect_result(int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0) return Status::ok();
  return {GM_IO, std::string("connect: ") + std::strerror(error)};
}

Status check_congestion_control(const std::string& name) {
  if (name.empty()) return Status::ok();
  const Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe) return {GM_IO, errno_text("socket")};
  if (setsockopt(probe.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) == 0)
    return Status::ok();
  std::ifstream file("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
  std::string allowed;
  std::getline(file, allowed);
  return {GM_INVALID_ARGUMENT, "congestion_control is \"" + name + "\"; allowed here: " + allowed};
}

void tune_stream(int socket, const std::string& congestion_control) {
  // TCP_USER_TIMEOUT stays off: it also ends connections whose other side is alive but has held back a frame
  // for long (a closed window). SO_SNDBUF too: setting it ends the kernel's own tuning.
  setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentMax, sizeof kUnsentMax);
  if (!congestion_control.empty())
    setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, congestion_control.data(),
               static_cast<socklen_t>(congestion_control.size()));
}

Descriptor accept_from(int listener, bool* exhausted, Origin* origin) {
  Address from;
  from.size = sizeof from.storage;
  Descriptor socket(accept4(listener, reinterpret_cast<sockaddr*>(&from.storage), &from.size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
  *origin = {};
  const auto& six = reinterpret_cast<sockaddr_in6*>(&from.storage)->sin6_addr;
  if (from.storage.ss_family != AF_INET6)
    std::memcpy(origin->data(), &reinterpret_cast<sockaddr_in*>(&from.storage)->sin_addr, 4);
  else if (IN6_IS_ADDR_V4MAPPED(&six))  // an IPv4 peer of a listener on [::]
    std::memcpy(origin->data(), six.s6_addr + 12, 4);
  else
    std::memcpy(origin->data(), six.s6_addr, 8);
  *exhausted = !socket && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
  if (socket) send_at_once(socket.get());
  return socket;
}

}  // namespace gradmesh
