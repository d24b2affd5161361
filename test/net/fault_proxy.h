// Bad luck between two endpoints without root: stands between a dialer and an endpoint, passes their bytes,
// and does harm when told. Frames are only looked at on the dialer's side.
#pragma once
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "transport/socket.h"

namespace gradmesh::net {

enum class Harm : uint8_t {
  none,
  corrupt,  // flips one bit of what the dialer sends next
  cut,      // passes nothing more that the dialer sends
  slow,     // passes so many bytes a second each way
  shorter,  // lies: the dialer's next data frame says and has a byte less, under a checksum that fits (unless
            // encrypted)
  longer,   // likewise a byte more
  empty,    // likewise nothing
  huge,     // its header says 4 GiB
};
// Harm::none where there is no such name.
Harm harm_named(const std::string& name);

class FaultProxy {
 public:
  struct Target {
    std::string host;
    uint32_t port;
    size_t trailer_bytes;  // of a frame
  };
  // Listens on 127.0.0.1 for as many connections as are made to it.
  FaultProxy(const Target& target, uint64_t seed);
  ~FaultProxy();
  uint32_t port() const { return port_; }
  // From any thread; bytes_per_second for slow. From the moment of the call on.
  void harm(Harm harm, uint64_t bytes_per_second = 0) {
    bytes_per_second_ = bytes_per_second;
    harm_ = harm;
  }

 private:
  using Bytes = std::vector<uint8_t>;
  struct Direction {
    Descriptor* from;
    Descriptor* to;
    Bytes pending;  // read and not yet sent, from `sent` on
    size_t sent = 0;
    bool is_waiting() const { return sent < pending.size(); }
  };
  // What is known of the frame that passes now; header and payload are kept only where it is lied about.
  struct Frames {
    uint64_t until_header;  // bytes to pass as they are
    Bytes header;
    Bytes lied;            // the whole frame so far
    size_t lied_left = 0;  // bytes of it that are still to come
  };
  struct Connection {
    Descriptor dialer, server;
    Direction up, down;
    Frames frames;
  };

  void serve();
  void accept();
  bool pass(Connection& connection, Direction& direction, bool from_dialer);
  size_t allowance();
  void change(Connection& connection, Bytes* bytes);
  Bytes lie_about(Frames& frames, const Bytes& bytes);
  Bytes forge(const Bytes& frame, Harm lie) const;

  const Target target_;
  std::mt19937_64 random_;
  Descriptor listener_;
  uint32_t port_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;
  int64_t refilled_ns_ = 0;
  double tokens_ = 0;
  std::atomic<Harm> harm_ = Harm::none;
  std::atomic<uint64_t> bytes_per_second_ = 0;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace gradmesh::net
