// The header's layout, and the checks that come before anything else is read.
#include "transport/frame.h"

#include <string>

#include "transport/bytes.h"

namespace gradmesh {
namespace {

uint32_t payload_max(FrameType type) {
  if (type == FrameType::data) return kFramePayloadMax;
  return type == FrameType::probe ? kProbePayloadMax : kControlPayloadMax;
}

}  // namespace

FrameHeaderBytes encode_header(const FrameHeader& header) {
  FrameHeaderBytes bytes{};
  bytes[0] = static_cast<uint8_t>(header.type);
  store(&bytes[4], header.length);
  store(&bytes[8], header.operation);
  store(&bytes[16], header.tag);
  store(&bytes[24], header.sequence);
  return bytes;
}

Status decode_header(std::span<const uint8_t, kFrameHeaderBytes> bytes, uint64_t sequence,
                     FrameHeader* header) {
  if (bytes[0] == 0 || bytes[0] > kFrameTypeLast || bytes[1] != 0 || bytes[2] != 0 || bytes[3] != 0)
    return {GM_PROTOCOL, "a frame has an unknown type"};
  *header = {static_cast<FrameType>(bytes[0]), load<uint32_t>(&bytes[4]), load<uint64_t>(&bytes[8]),
             load<uint64_t>(&bytes[16]), load<uint64_t>(&bytes[24])};
  if (header->sequence != sequence)
    return {GM_PROTOCOL, "a frame has sequence " + std::to_string(header->sequence) + " where " +
                             std::to_string(sequence) + " was due: replayed, dropped or out of order"};
  const uint32_t length_max = payload_max(header->type);
  if (header->length > length_max)
    return {GM_PROTOCOL, "a frame of " + std::to_string(header->length) + " bytes; at most " +
                             std::to_string(length_max) + " are allowed"};
  return Status::ok();
}

}  // namespace gradmesh
