// Super-packets cut into segments: headers, sequence numbers, checksums and bytes.
#include "packet.h"

#include "case.h"
#include "check.h"

namespace {

using namespace gradmesh::net;

constexpr int kHeaders = 40;

TEST("a super-packet is counted as the segments that a wire would carry") {
  PacketPool pool(4);
  Packet* packet = tcp_packet(pool, 3, 10 * 1460 + 1, 1460);
  CHECK(parse(*packet));
  CHECK(packet->layout.destination == 4 && packet->layout.headers == kHeaders);
  CHECK(packet->layout.segments == 11 && packet->layout.wire_bytes == 11 * kHeaders + 10 * 1460 + 1);
  pool.give_back(packet);
}

TEST("what is no whole IPv4 packet is refused") {
  PacketPool pool(4);
  Packet* packet = tcp_packet(pool, 1, 0, 1460);
  packet->size = 19;
  CHECK(!parse(*packet));
  packet->size = 30;  // less than TCP's header
  CHECK(!parse(*packet));
  packet->size = kHeaders;
  CHECK(parse(*packet) && packet->layout.segments == 1);
  packet->head[0] = 0x65;
  CHECK(!parse(*packet));
  pool.give_back(packet);
}

TEST("cut at any place, the parts hold the segments' bytes under right headers") {
  PacketPool pool(4);
  constexpr int kPayload = 3 * 1448 + 100;
  Packet* packet = tcp_packet(pool, 1, kPayload, 1448);
  CHECK(parse(*packet));
  for (int first = 0; first < 4; first++) {
    for (int count = 1; first + count <= 4; count++) {
      Packet* part = copy_segments(*packet, first, count, pool);
      const int begin = first * 1448;
      const int payload = std::min(count * 1448, kPayload - begin);
      CHECK(part->size == kHeaders + payload && part->layout.segments == count);
      CHECK((part->offload.kind == kNoSuperPacket) == (count == 1));
      CHECK(part->offload.flags == kNeedsChecksum && part->offload.checksum_begin == 20);
      CHECK(sequence_of(*part) == 0xfffffff0u + static_cast<uint32_t>(begin) && header_sums_up(*part));
      const bool pushes = part->head[20 + 13] & 0x08;
      CHECK(pushes == (first + count == 4));
      const Layout stated = part->layout;
      CHECK(parse(*part) && part->layout.segments == count && part->layout.wire_bytes == stated.wire_bytes);
      bool is_equal = true;
      for (int index = 0; index < payload; index++)
        is_equal &= *part->at(kHeaders + index) == static_cast<uint8_t>((begin + index) % 251);
      CHECK(is_equal);
      pool.give_back(part);
    }
  }
  pool.give_back(packet);
}

TEST("damage flips one bit of the chosen segment's payload") {
  PacketPool pool(4);
  Packet* packet = tcp_packet(pool, 1, 3 * 1448, 1448);
  CHECK(parse(*packet));
  for (int segment = 0; segment < 3; segment++) {
    CHECK(damage(*packet, segment, check::seed()));
    int flipped = 0;
    for (int index = 0; index < 3 * 1448; index++) {
      uint8_t& byte = *packet->at(kHeaders + index);
      const auto bits = __builtin_popcount(byte ^ static_cast<uint8_t>(index % 251));
      flipped += bits;
      CHECK(bits == 0 || index / 1448 == segment);
      byte = static_cast<uint8_t>(index % 251);
    }
    CHECK(flipped == 1);
  }
  packet->size = kHeaders;
  packet->offload = {};
  CHECK(parse(*packet) && !damage(*packet, 0, 7));
  pool.give_back(packet);
}

TEST("a pool gives no more than its bound") {
  PacketPool pool(2);
  Packet* first = pool.take();
  Packet* second = pool.take();
  CHECK(first != nullptr && second != nullptr && pool.take() == nullptr);
  pool.give_back(first);
  CHECK(pool.take() == first);
  pool.give_back(first);
  pool.give_back(second);
}

}  // namespace
