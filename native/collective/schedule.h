// A schedule is a collective as data: the steps of one rank, with what each waits for. A schedule writer
// (ring.h, direct.h, broadcast.h) only fills this in; executor.h runs any schedule; tests check any schedule
// without a network.
#pragma once
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "codec/codec.h"

namespace gradmesh {

enum class Space : uint8_t {
  input,    // the caller's float32 tensor, read only
  output,   // the caller's float32 result
  staging,  // coded bytes, scratch of the group
};

// `elements` elements; offset counts elements in input and output, bytes in staging (codec.bytes(elements)
// long).
struct Region {
  Space space;
  uint64_t offset;
  uint64_t elements;
};

enum class StepKind : uint8_t {
  encode,  // source (input) -> target (staging)
  send,  // source (staging, or input/output where the codec is fp32 itself: the wire is the tensor's memory)
         // -> peer
  recv,    // peer -> target (staging, or output where the codec is fp32 itself)
  add,     // target (output) = sources[0] (staging or output, fp32) + sources[1] (input)
  mean,    // target = codec mean of all sources, in rank order; staging, or input/output where the codec is
           // fp32 itself
  divide,  // target (output) = source (output) / ranks, one exact::div each
  decode,  // source (staging) -> target (output)
  copy,    // source (input) -> target (output)
  load,    // of tensors on a device: a segment of the input -> its mirror on the host
  store,   // likewise: the mirror -> a segment of the output
};

struct Step {
  StepKind kind;
  uint32_t coder = 0;  // encode, decode: the rank whose key codes the wire, or kMeanRank
  uint64_t first = 0;  // encode, decode, mean: the coded elements' place in the tensor
  uint32_t peer = 0;   // send, recv: the other rank
  uint64_t tag = 0;    // send, recv: names the bytes; unique per (sender, receiver) in a schedule
  std::vector<Region> sources;
  Region target{Space::staging, 0, 0};
  std::vector<uint32_t> waits;  // indices of earlier steps that must be done first
};

struct Schedule {
  std::vector<Step> steps;
  uint64_t staging_bytes = 0;
};

struct ScheduleRequest {
  uint32_t collective = 0;  // id in collectives.def
  uint32_t ranks = 1;       // 1..kRanksMax
  uint32_t rank = 0;
  uint32_t root = 0;  // broadcast: the source
  uint64_t elements = 0;
  uint64_t segment_elements = 65536;  // a chunk is cut into segments of at most this many elements
  const Codec* codec = nullptr;
};
inline constexpr uint32_t kRanksMax = 16;
inline constexpr uint64_t kElementsMax = uint64_t{1} << 40;
inline constexpr uint64_t kSegmentElementsMax = uint64_t{1} << 22;  // elements of fp32 that a frame holds
inline constexpr uint64_t kFrameBytesMax = kSegmentElementsMax * sizeof(float);
inline constexpr uint64_t kSegmentsMax = uint64_t{1} << 20;  // of one tensor; bounds a schedule's memory

// Of the data alone: agreeing on the end (operation.h) takes one more one-way delay and no payload.
struct Cost {
  uint32_t latency_steps = 0;
  uint64_t bytes_sent = 0;  // payload bytes this rank sends, without frame headers
};

// GM_INVALID_ARGUMENT names the field that is wrong.
Status write_schedule(const ScheduleRequest& request, Schedule* schedule);
Status collective_cost(const ScheduleRequest& request, Cost* cost);
const char* collective_name(uint32_t id);

}  // namespace gradmesh
