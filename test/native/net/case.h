// Packets made by hand for the tests of the test network.
#pragma once
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include <cstring>
#include <vector>

#include "packet.h"

// A TCP packet from host 0 to host `target`: `payload` bytes 0, 1, 2, ... modulo 251, in segments of
// `segment` bytes.
inline gradmesh::net::Packet* tcp_packet(gradmesh::net::PacketPool& pool, int target, int payload,
                                         int segment) {
  constexpr int kHeaders = sizeof(iphdr) + sizeof(tcphdr);
  gradmesh::net::Packet* packet = pool.take();
  packet->offload = {};
  if (payload > segment)
    packet->offload.kind = 1, packet->offload.segment_payload = static_cast<uint16_t>(segment);
  packet->size = kHeaders + payload;
  iphdr ip = {};
  ip.version = 4, ip.ihl = 5, ip.protocol = IPPROTO_TCP,
  ip.tot_len = htons(static_cast<uint16_t>(packet->size));
  ip.saddr = htonl(0x0a4d0001), ip.daddr = htonl(0x0a4d0001 + static_cast<uint32_t>(target));
  tcphdr tcp = {};
  tcp.seq = htonl(0xfffffff0u), tcp.doff = 5, tcp.ack = 1, tcp.psh = 1;
  std::memcpy(packet->head, &ip, sizeof ip);
  std::memcpy(packet->head + sizeof ip, &tcp, sizeof tcp);
  for (int index = 0; index < payload; index++)
    *packet->at(kHeaders + index) = static_cast<uint8_t>(index % 251);
  return packet;
}

inline uint32_t sequence_of(const gradmesh::net::Packet& packet) {
  tcphdr tcp;
  std::memcpy(&tcp, packet.head + sizeof(iphdr), sizeof tcp);
  return ntohl(tcp.seq);
}

// The sum of a header that holds its own right checksum is all ones (RFC 1071).
inline bool header_sums_up(const gradmesh::net::Packet& packet) {
  uint32_t sum = 0;
  for (size_t offset = 0; offset < sizeof(iphdr); offset += 2)
    sum += static_cast<uint32_t>(packet.head[offset] << 8 | packet.head[offset + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}
