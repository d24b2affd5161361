// Parsing, cutting and damaging of packets: RFC 791 and RFC 9293 headers, and the sums of RFC 1071.
#include "packet.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace gradmesh::net {
namespace {

constexpr int kFragmentBits = 0x3fff;  // more fragments, and the offset
constexpr int kDestinationAt = offsetof(iphdr, daddr);

iphdr* ip_of(Packet& packet) { return reinterpret_cast<iphdr*>(packet.head); }

uint16_t folded(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// The sum of 16-bit words in network order, as they lie in memory; `bytes` is even.
uint64_t sum_of(const void* begin, int bytes) {
  uint64_t sum = 0;
  for (int offset = 0; offset < bytes; offset += 2) {
    uint16_t word;
    std::memcpy(&word, static_cast<const uint8_t*>(begin) + offset, 2);
    sum += word;
  }
  return sum;
}

// Marks the transport checksum as still to be filled in, as a sender with checksum offload does: the receiver
// trusts it.
void leave_checksum_to_receiver(Packet& packet) {
  const Layout& layout = packet.layout;
  const bool is_tcp = layout.protocol == IPPROTO_TCP;
  const auto length = htons(static_cast<uint16_t>(packet.size - layout.transport));
  const uint64_t addresses = sum_of(packet.head + offsetof(iphdr, saddr), 8);
  const uint16_t pseudo = folded(addresses + htons(static_cast<uint16_t>(layout.protocol)) + length);
  const int at = is_tcp ? offsetof(tcphdr, check) : offsetof(udphdr, check);
  std::memcpy(packet.head + layout.transport + at, &pseudo, 2);
  packet.offload.flags |= kNeedsChecksum;
  packet.offload.checksum_begin = static_cast<uint16_t>(layout.transport);
  packet.offload.checksum_offset = static_cast<uint16_t>(at);
}

void copy_payload(Packet& source, int source_at, Packet& target, int target_at, int bytes) {
  while (bytes > 0) {
    int piece = bytes;
    if (source_at < kHeadBytes) piece = std::min(piece, kHeadBytes - source_at);
    if (target_at < kHeadBytes) piece = std::min(piece, kHeadBytes - target_at);
    std::memcpy(target.at(target_at), source.at(source_at), static_cast<size_t>(piece));
    source_at += piece, target_at += piece, bytes -= piece;
  }
}

// The headers of segments that begin `first` segments into what the headers were written for.
void fix_headers(Packet& part, int first, bool has_end) {
  const Layout& layout = part.layout;
  iphdr* ip = ip_of(part);
  ip->tot_len = htons(static_cast<uint16_t>(part.size));
  ip->id = htons(static_cast<uint16_t>(ntohs(ip->id) + first));
  ip->check = 0;
  ip->check = static_cast<uint16_t>(~folded(sum_of(ip, ip->ihl * 4)));
  auto* tcp = reinterpret_cast<tcphdr*>(part.head + layout.transport);
  tcp->seq = htonl(ntohl(tcp->seq) + static_cast<uint32_t>(first * layout.segment_payload));
  if (!has_end) tcp->fin = tcp->psh = 0;
  if (first > 0) tcp->res2 &= 1;  // congestion window reduced (RFC 3168) belongs to the first segment alone
  leave_checksum_to_receiver(part);
}

}  // namespace

bool parse(Packet& packet) {
  const iphdr* ip = ip_of(packet);
  if (packet.size < static_cast<int>(sizeof(iphdr)) || ip->version != 4 || ip->ihl < 5) return false;
  Layout& layout = packet.layout = {};
  layout.destination = packet.head[kDestinationAt + 3];
  layout.protocol = ip->protocol;
  layout.is_fragment = (ntohs(ip->frag_off) & kFragmentBits) != 0;
  layout.transport = ip->ihl * 4;
  layout.headers = layout.transport;
  if (!layout.is_fragment && ip->protocol == IPPROTO_TCP) {
    if (packet.size < layout.transport + static_cast<int>(sizeof(tcphdr))) return false;
    const auto* tcp = reinterpret_cast<const tcphdr*>(packet.head + layout.transport);
    layout.headers += tcp->doff * 4;
    layout.is_tcp_open = tcp->syn && !tcp->ack;
  } else if (!layout.is_fragment && ip->protocol == IPPROTO_UDP) {
    layout.headers += static_cast<int>(sizeof(udphdr));
  }
  const int payload = packet.size - layout.headers;
  if (payload < 0) return false;
  const bool is_super = packet.offload.kind != kNoSuperPacket && packet.offload.segment_payload > 0;
  layout.segment_payload = is_super ? packet.offload.segment_payload : payload;
  layout.segments =
      is_super ? std::max(1, (payload + layout.segment_payload - 1) / layout.segment_payload) : 1;
  layout.wire_bytes = packet.size + (layout.segments - 1) * layout.headers;
  return true;
}

PacketPool::PacketPool(int packets_max) : unborn_(packets_max) {}

PacketPool::~PacketPool() {
  for (Packet* packet : packets_) {
    delete[] packet->tail;
    delete packet;
  }
  for (uint8_t* tail : tails_) delete[] tail;
}

Packet* PacketPool::take() {
  if (packets_.empty()) {
    if (unborn_ == 0) return nullptr;
    --unborn_;
    packets_.push_back(new Packet);
    packets_.back()->tail = nullptr;
  }
  Packet* packet = packets_.back();
  packets_.pop_back();
  if (packet->tail == nullptr) {
    if (tails_.empty()) tails_.push_back(new uint8_t[kTailBytes]);
    packet->tail = tails_.back();
    tails_.pop_back();
  }
  return packet;
}

void PacketPool::trim(Packet* packet) {
  if (packet->size > kHeadBytes || packet->tail == nullptr) return;
  tails_.push_back(packet->tail);
  packet->tail = nullptr;
}

void PacketPool::give_back(Packet* packet) { packets_.push_back(packet); }

Packet* copy_segments(Packet& packet, int first, int count, PacketPool& pool) {
  const Layout& layout = packet.layout;
  Packet* part = pool.take();
  if (part == nullptr) return nullptr;
  const int begin = first * layout.segment_payload;
  const int whole = packet.size - layout.headers;
  const int payload = std::min(count * layout.segment_payload, whole - begin);
  part->offload = packet.offload;
  part->size = layout.headers + payload;
  copy_payload(packet, 0, *part, 0, layout.headers);
  copy_payload(packet, layout.headers + begin, *part, layout.headers, payload);
  part->layout = layout;
  part->layout.segments = count;
  part->layout.wire_bytes = part->size + (count - 1) * layout.headers;
  fix_headers(*part, first, begin + payload == whole);
  if (count == 1) part->offload.kind = kNoSuperPacket, part->offload.segment_payload = 0;
  pool.trim(part);
  return part;
}

bool damage(Packet& packet, int segment, uint64_t choice) {
  const Layout& layout = packet.layout;
  if (layout.is_fragment || (layout.protocol != IPPROTO_TCP && layout.protocol != IPPROTO_UDP)) return false;
  const int begin = layout.headers + segment * layout.segment_payload;
  const int bytes = std::min(layout.segment_payload, packet.size - begin);
  if (bytes <= 0) return false;
  leave_checksum_to_receiver(packet);
  const auto byte = static_cast<int>((choice >> 3) % static_cast<uint64_t>(bytes));
  *packet.at(begin + byte) ^= static_cast<uint8_t>(1 << (choice & 7));
  return true;
}

}  // namespace gradmesh::net
