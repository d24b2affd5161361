// A schedule is a collective as data: the steps of one rank, with what each waits for. A schedule writer
// (one file per row of collectives.def) only fills this in; executor.h runs any schedule; simulate.h times
// any; tests check any without a network.
#pragma once
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "base/status.h"
#include "codec/codec.h"
#include "collective/partition.h"

namespace gradmesh {

// What a tensor's elements are. Sums of the 16-bit types are taken in fp32.
enum class Dtype : uint32_t { fp32, fp16, bf16 };
inline constexpr uint32_t kDtypes = 3;
constexpr size_t dtype_bytes(Dtype dtype) { return dtype == Dtype::fp32 ? 4 : 2; }
const char* dtype_name(Dtype dtype);  // that of the codec whose wire is the tensor's own memory

enum class Reduction : uint32_t {
  mean,           // sum / ranks
  sum,            // in the order that the collective writes down; of a coded reduction ranks * (coded mean)
  weighted_mean,  // the mean of x[rank] * fl(w[rank] * ranks / sum of w), each product rounded once
  max,            // NaN where any is NaN; only where the wire is the tensor's own memory
};
inline constexpr uint32_t kReductions = 4;
const char* reduction_name(Reduction reduction);

enum class Space : uint8_t {
  input,    // the caller's tensor, read only
  output,   // the caller's result
  staging,  // wires: coded bytes, scratch of the group
  floats,   // fp32 scratch, in the same memory as staging
  down,     // wires of the codec on the way down, in the same memory as staging
  state,    // fp32, the owner's error feedback as it is, read only
  next,     // fp32, what the feedback becomes
};
constexpr bool is_scratch(Space space) {
  return space == Space::staging || space == Space::floats || space == Space::down;
}

// `elements` elements; offset counts bytes in the spaces of scratch, else elements.
struct Region {
  Space space;
  uint64_t offset;
  uint64_t elements;
};

// Sources and targets are of any space unless said otherwise; input and state are never a target. "staging"
// stands for down too. Elements are taken as fp32 (exact from 16 bits) and rounded once where they are
// written to 16 bits.
enum class StepKind : uint8_t {
  encode,   // source (not staging) -> target (staging)
  send,     // source -> peer
  recv,     // peer -> target
  combine,  // target = sources[0] + sources[1], or their maximum where the reduction is max (not staging,
            // but staging where the wire is the tensor's own memory)
  reduce,   // target = the reduction of all sources, in the order given: wires -> wire. target may be output
            // and sources input where the wire is the tensor's own memory
  divide,   // target = source / ranks, one exact::div each (not staging)
  scale,    // target = source * factor, one exact::mul each (not staging)
  fold,     // target = fma(factor, source, target) (not staging)
  hop,      // target (staging) = coded(sources[1] + decoded sources[0]): a ring's hop in one pass;
            // sources[0] is a wire of rank `coder_from`
  decode,   // source (staging) -> target (not staging)
  copy,     // source -> target (not staging)
  average,  // target (not staging) = the mean of what all sources decode to; source i was coded by coder i.
            // Of a codec with exact sums the exact sum, rounded to a double, over their number, rounded to
            // fp32; else added in fp32 in the order given, then divided
  advance,  // target = fma(factor, sources[0], sources[1]): a residue and what is to be sent (not staging)
  settle,   // target = target - source, and +0 where the source is not finite (not staging): what of it was
            // sent
  load,     // of tensors on a device: a segment of the input -> its mirror on the host
  store,    // likewise: the mirror -> a segment of the output
};

struct Step {
  StepKind kind;
  uint32_t coder = 0;       // encode, hop, reduce (kMeanRank), decode: the rank whose key codes the wire
  uint32_t coder_from = 0;  // hop: the coder of sources[0]
  uint32_t peer = 0;        // send, recv: the other rank
  uint64_t first = 0;       // encode, hop, reduce, decode: the coded elements' place in the tensor
  uint64_t tag = 0;         // send, recv: names the bytes; unique per (sender, receiver) in a schedule
  float factor = 0;         // scale, fold, advance
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
  uint32_t root = 0;  // broadcast, tree_broadcast, tree_reduce: the source or the sink
  uint64_t elements = 0;
  uint64_t segment_elements = 65536;  // a chunk is cut into segments of at most this many elements
  const Codec* codec = nullptr;
  Dtype dtype = Dtype::fp32;
  Reduction reduction = Reduction::mean;
  std::vector<double> weights{};  // weighted_mean: [ranks], finite, not negative, not all 0; else empty
  std::string topology{};         // mix: a graph of topology/graphs.def; else empty
  uint64_t round = 0;             // mix: the round of a time-varying graph
  std::vector<uint32_t>
      islands{};  // hierarchical: [ranks], the leader's rank of each rank's island; else empty
  // Salvage (salvage.h): per rank, what of the output is final there already; else empty.
  std::vector<std::vector<Range>> held{};
  const Codec* down = nullptr;  // direct: codes the mean on its way down; null: as `codec`
  double owner_decay = -1;      // direct: of the error feedback at a chunk's owner; below 0: there is none

  // The wire is the tensor's own memory, so nothing needs coding.
  bool wire_is_memory() const;
  const Codec& down_codec() const { return down == nullptr ? *codec : *down; }
  bool feeds_back() const { return owner_decay >= 0; }
  // The owner decodes contributions, and codes their mean anew.
  bool recodes() const { return feeds_back() || (down != nullptr && down != codec); }
  // Chunks and segments are cut at multiples of it: whole blocks of both codecs.
  uint64_t block_elements() const {
    return std::lcm<uint64_t>(codec->traits.block_elements, down_codec().traits.block_elements);
  }
};
inline constexpr uint32_t kRanksMax = 1024;  // of a schedule
inline constexpr uint32_t kGroupMax = 64;    // of an operation on a network
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
Status check_request(const ScheduleRequest& request);
Status write_schedule(const ScheduleRequest& request, Schedule* schedule);
Status collective_cost(const ScheduleRequest& request, Cost* cost);
const char* collective_name(uint32_t id);
// Whether this rank's input is read at all (a broadcast reads only the root's).
bool reads_input(const ScheduleRequest& request);
// Of all that must be the same on every rank beside the plain numbers: weights, topology, islands, held, and
// what happens on the way down.
uint64_t details_fingerprint(const ScheduleRequest& request);

}  // namespace gradmesh
