// The two steps of a packet between hosts.
#include "switch.h"

#include <algorithm>

#include "base/assert.h"

namespace gradmesh::net {

void Switch::add_host(int descriptor, const HostLink& link) {
  const int host = hosts();
  GM_ASSERT(host < kHostsMax);
  hosts_.push_back({descriptor, link, Line(link.bits_per_second, link.queue_bytes), {}});
  for (int other = 0; other < kHostsMax; other++) set_loss(host, other, link.loss);
}

void Switch::receive(int source, Packet* packet, int64_t now) {
  Counters& counters = hosts_[static_cast<size_t>(source)].counters;
  const bool is_whole = parse(*packet);
  const int target = is_whole ? packet->layout.destination - 1 : -1;
  if (target < 0 || target >= hosts()) {
    counters.strays++;
    return pool_.give_back(packet);
  }
  const auto segments = static_cast<uint64_t>(packet->layout.segments);
  counters.sent.packets += segments;
  counters.sent.bytes += static_cast<uint64_t>(packet->layout.wire_bytes);
  Host& destination = hosts_[static_cast<size_t>(target)];
  if (path(source, target).is_cut) {
    counters.cut += segments;
    return pool_.give_back(packet);
  }
  if (packet->layout.is_tcp_open && destination.link.refuses_calls) {
    destination.counters.refused++;
    return pool_.give_back(packet);
  }
  pool_.trim(packet);
  lose_segments(source, target, packet, now);
}

// Sends on what lies between the lost segments; a packet that loses none, as most, passes as it is.
void Switch::lose_segments(int source, int target, Packet* packet, int64_t now) {
  Chance& loss = path(source, target).loss;
  Counters& counters = hosts_[static_cast<size_t>(source)].counters;
  const int segments = packet->layout.segments;
  int begin = 0;
  while (begin < segments) {
    const int whole = segments - begin;
    const auto kept = static_cast<int>(loss.first_hit(whole, random_));
    if (kept == segments) return cross_path(source, target, packet, now);
    Packet* part = kept > 0 ? copy_segments(*packet, begin, kept, pool_) : nullptr;
    if (part != nullptr) cross_path(source, target, part, now);
    if (kept < whole) counters.lost++;
    begin += kept + 1;
  }
  pool_.give_back(packet);
}

void Switch::cross_path(int source, int target, Packet* packet, int64_t now) {
  Path& way = path(source, target);
  damage_segments(source, way, *packet);
  const HostLink& from = hosts_[static_cast<size_t>(source)].link;
  const HostLink& to = hosts_[static_cast<size_t>(target)].link;
  int64_t arrival = now + (from.delay + to.delay) / 2;
  if (from.jitter > 0) arrival += std::uniform_int_distribution<int64_t>(0, from.jitter)(random_);
  way.last_arrival = std::max(way.last_arrival, arrival);
  events_.push({way.last_arrival, order_++, packet, static_cast<int16_t>(source),
                static_cast<int16_t>(target), false});
}

void Switch::damage_segments(int source, Path& way, Packet& packet) {
  const int segments = packet.layout.segments;
  for (int segment = 0; segment < segments; segment++) {
    segment += static_cast<int>(way.damage.first_hit(segments - segment, random_));
    if (segment < segments && damage(packet, segment, random_()))
      hosts_[static_cast<size_t>(source)].counters.damaged++;
  }
}

// Where the queue has room for a part of the packet only, the segments at its end are dropped.
void Switch::enter_line(Event event) {
  Host& target = hosts_[static_cast<size_t>(event.target)];
  const Layout& layout = event.packet->layout;
  const int64_t room = target.line.room(event.time);
  if (room < layout.wire_bytes) {
    const int kept =
        layout.segments == 1
            ? 0
            : static_cast<int>(std::max<int64_t>(room, 0) / (layout.headers + layout.segment_payload));
    target.counters.overflowed += static_cast<uint64_t>(layout.segments - kept);
    Packet* part = kept > 0 ? copy_segments(*event.packet, 0, kept, pool_) : nullptr;
    pool_.give_back(event.packet);
    if (part == nullptr) return;
    event.packet = part;
  }
  event.time = target.line.send(event.packet->layout.wire_bytes, event.time);
  event.is_delivery = true;
  events_.push(event);
}

void Switch::deliver(const Event& event) {
  Counters& counters = hosts_[static_cast<size_t>(event.target)].counters;
  const auto segments = static_cast<uint64_t>(event.packet->layout.segments);
  if (path(event.source, event.target).is_cut) {
    hosts_[static_cast<size_t>(event.source)].counters.cut += segments;
  } else if (deliver_(descriptor(event.target), *event.packet)) {
    counters.received.packets += segments;
    counters.received.bytes += static_cast<uint64_t>(event.packet->layout.wire_bytes);
  } else {
    counters.refused += segments;
  }
  pool_.give_back(event.packet);
}

void Switch::advance(int64_t now) {
  while (!events_.empty() && events_.top().time <= now) {
    const Event event = events_.top();
    events_.pop();
    if (event.is_delivery)
      deliver(event);
    else
      enter_line(event);
  }
}

}  // namespace gradmesh::net
