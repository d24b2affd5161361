// The network between the hosts: every packet a host sends is lost, damaged, delayed, queued and delivered
// here. A packet takes two steps. It crosses the path (cuts, loss, damage, delay and jitter of its pair of
// hosts, in order), and then the line into its destination, which has a rate and a bounded queue. The line
// out of its source is not here: it is a token bucket on the device itself, which holds back the sender as a
// network card does.
#pragma once
#include <cstdint>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "link_model.h"
#include "packet.h"

namespace gradmesh::net {

constexpr int kHostsMax = 64;

// One host's link. Delays in nanoseconds; a packet is delayed by half its source's and half its
// destination's.
struct HostLink {
  double bits_per_second;
  int64_t queue_bytes;
  int64_t delay;
  int64_t jitter;      // more delay, uniform from 0, drawn for each packet the host sends
  double loss;         // probability for each segment the host sends
  bool refuses_calls;  // drops TCP connections that others open, as a home router does
};

// Packets are segments as they would be on a wire.
struct Traffic {
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

struct Counters {
  Traffic sent, received;
  uint64_t lost = 0;        // by the probability of its link, at the source
  uint64_t damaged = 0;     // at the source
  uint64_t overflowed = 0;  // the queue into the destination was full
  uint64_t cut = 0;         // at the source
  uint64_t refused = 0;     // at the destination: calls from outside, or the kernel took it not
  uint64_t strays = 0;      // at the source: not IPv4, or to no host
};

class Switch {
 public:
  // What delivers a packet to a host; false where it is refused.
  using Deliver = bool (*)(int descriptor, Packet& packet);

  Switch(uint64_t seed, PacketPool& pool, Deliver deliver) : pool_(pool), deliver_(deliver), random_(seed) {}

  void add_host(int descriptor, const HostLink& link);
  int hosts() const { return static_cast<int>(hosts_.size()); }
  int descriptor(int host) const { return hosts_[static_cast<size_t>(host)].descriptor; }
  const Counters& counters(int host) const { return hosts_[static_cast<size_t>(host)].counters; }

  // Faults, one direction of one pair each.
  void set_cut(int source, int target, bool is_cut) { path(source, target).is_cut = is_cut; }
  void set_loss(int source, int target, double probability) {
    path(source, target).loss.set(probability, random_);
  }
  void set_damage(int source, int target, double probability) {
    path(source, target).damage.set(probability, random_);
  }
  void slow_down(int host, double factor) { hosts_[static_cast<size_t>(host)].line.slow_down(factor); }

  // A packet that `source` sent at `now`, unparsed; the switch owns it from here.
  void receive(int source, Packet* packet, int64_t now);
  // Does what is due at `now`.
  void advance(int64_t now);
  // When something is due next, or -1.
  int64_t next_due() const { return events_.empty() ? -1 : events_.top().time; }

 private:
  struct Host {
    int descriptor;
    HostLink link;
    Line line;
    Counters counters;
  };
  struct Path {
    bool is_cut = false;
    Chance loss, damage;
    int64_t last_arrival = 0;
  };
  struct Event {
    int64_t time;
    uint64_t order;  // among equal times, what was first stays first
    Packet* packet;
    int16_t source, target;
    bool is_delivery;  // else it has crossed the path and reaches the line
    bool operator<(const Event& other) const {
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  Path& path(int source, int target) { return paths_[static_cast<size_t>(source * kHostsMax + target)]; }
  void lose_segments(int source, int target, Packet* packet, int64_t now);
  void cross_path(int source, int target, Packet* packet, int64_t now);
  void damage_segments(int source, Path& path, Packet& packet);
  void enter_line(Event event);
  void deliver(const Event& event);

  PacketPool& pool_;
  Deliver deliver_;
  std::mt19937_64 random_;
  uint64_t order_ = 0;
  std::vector<Host> hosts_;
  std::vector<Path> paths_ = std::vector<Path>(kHostsMax * kHostsMax);
  std::priority_queue<Event> events_;
};

}  // namespace gradmesh::net
