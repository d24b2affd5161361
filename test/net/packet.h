// IPv4 packets as a TUN device with virtual network headers gives them: up to 64 KiB of TCP segments in one,
// parsed, cut into segments and damaged.
#pragma once
#include <cstdint>
#include <vector>

namespace gradmesh::net {

// The virtio header before each packet (virtio 1.2, 5.1.6), in the machine's byte order; linux/virtio_net.h
// is not C++.
struct Offload {
  uint8_t flags;
  uint8_t kind;  // of super-packet; kNoSuperPacket for a plain packet
  uint16_t header_bytes;
  uint16_t segment_payload;
  uint16_t checksum_begin;   // where the bytes it sums begin
  uint16_t checksum_offset;  // where it is, from there
};
static_assert(sizeof(Offload) == 10);
constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kNoSuperPacket = 0;

constexpr int kHeadBytes = 2048;
constexpr int kTailBytes = 65536;

// What the bridge needs to know of a packet. Offsets and sizes in bytes.
struct Layout {
  int destination;  // the last byte of the IPv4 address
  int protocol;     // IPPROTO_*
  bool is_fragment;
  bool is_tcp_open;     // a SYN that is not an answer
  int headers;          // IP and TCP or UDP headers together; the payload begins there
  int transport;        // where the TCP or UDP header begins
  int segment_payload;  // payload of each segment but the last
  int segments;         // packets on a real wire
  int wire_bytes;       // IP bytes of all segments, each with its headers
};

// A packet's bytes: the first 2 KiB, which hold every header, and behind them a tail that small packets lack.
struct Packet {
  Layout layout;
  Offload offload;
  int32_t size;
  uint8_t* tail;  // kTailBytes, or null
  uint8_t head[kHeadBytes];

  uint8_t* at(int offset) { return offset < kHeadBytes ? head + offset : tail + (offset - kHeadBytes); }
};

// Fills the layout from size, offload and bytes; false where it is no whole IPv4 packet.
[[nodiscard]] bool parse(Packet& packet);

// Recycles packets and tails up to a bound; memory is taken when first needed.
class PacketPool {
 public:
  explicit PacketPool(int packets_max);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  // A packet with a tail; null when the bound is reached.
  Packet* take();
  // Gives a packet's tail back when `size` shows that it is not used.
  void trim(Packet* packet);
  void give_back(Packet* packet);

 private:
  int unborn_;
  std::vector<Packet*> packets_;
  std::vector<uint8_t*> tails_;
};

// A new packet of `count` of a packet's segments, beginning with segment `first`, with headers of its own;
// null when the pool is empty. The packet is TCP where it has several segments.
Packet* copy_segments(Packet& packet, int first, int count, PacketPool& pool);

// Flips one bit of one byte of a segment's payload and leaves the packet with a checksum that its receiver
// accepts. `choice` selects byte and bit. False where there is no payload to damage.
bool damage(Packet& packet, int segment, uint64_t choice);

}  // namespace gradmesh::net
