// A frame is what a link carries: a fixed header, a payload, and a trailer that proves both (CRC-32C, or the
// GCM tag).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"

namespace gradmesh {

enum class FrameType : uint8_t {
  proof = 1,      // the first frame of a stream in each direction: shows that the sender holds the key
  heartbeat = 2,  // nothing to say, but alive
  begin = 3,      // what the sender thinks the operation is (collective/agreement.h)
  data = 4,       // the bytes of one send step, named by the tag
  done = 5,       // the sender has every byte that it needs of the operation
  abort = 6,      // the sender has ended the operation, and why
  ping = 7,       // answer at once with the same operation and tag (transport/probe.h)
  pong = 8,       // the answer
  probe = 9,      // a part of a burst that measures; an empty one ends it and says in its tag what was sent
  probed = 10,    // what arrived of the burst, and how fast
};
inline constexpr uint8_t kFrameTypeLast = 10;

// Payloads that lie in the sender's memory while they leave, and that pacing holds back.
constexpr bool is_bulk(FrameType type) { return type == FrameType::data || type == FrameType::probe; }

struct FrameHeader {
  FrameType type = FrameType::heartbeat;
  uint32_t length = 0;     // payload bytes
  uint64_t operation = 0;  // 0: none
  uint64_t tag = 0;        // data: the step's tag
  uint64_t sequence = 0;   // of this stream and direction, from 0, ascending by one; a part of the GCM nonce
};

inline constexpr size_t kFrameHeaderBytes = 32;
inline constexpr uint32_t kFramePayloadMax = 16u << 20;  // no frame is longer, whatever the schedule
inline constexpr uint32_t kControlPayloadMax = 128;      // of every type but data and probe
inline constexpr uint32_t kProbePayloadMax = 64u << 10;  // of probe
using FrameHeaderBytes = std::array<uint8_t, kFrameHeaderBytes>;

// Little endian: type, 3 zero bytes, length (4), operation (8), tag (8), sequence (8).
FrameHeaderBytes encode_header(const FrameHeader& header);
// GM_PROTOCOL for an unknown type, a set reserved byte, a sequence other than `sequence`, or a length above
// the limits of its type. Looks at nothing but the 32 bytes.
Status decode_header(std::span<const uint8_t, kFrameHeaderBytes> bytes, uint64_t sequence,
                     FrameHeader* header);

}  // namespace gradmesh
