// What a request must be: the message of a refusal names the field, its value and what is allowed.
#include <cmath>

#include "collective/rows.h"
#include "collective/salvage.h"
#include "topology/graph.h"

namespace gradmesh {
namespace {

Status refused(const std::string& field, const std::string& value, const std::string& allowed) {
  return {GM_INVALID_ARGUMENT, field + " is " + value + "; allowed: " + allowed};
}
Status refused(const std::string& field, uint64_t value, const std::string& allowed) {
  return refused(field, std::to_string(value), allowed);
}
std::string at(const char* list, uint64_t index) {
  return std::string(list) + "[" + std::to_string(index) + "]";
}
std::string entries(uint64_t count) { return "a list of " + std::to_string(count); }

Status check_sizes(const ScheduleRequest& request) {
  if (request.elements > kElementsMax)
    return refused("elements", request.elements, "0 to " + std::to_string(kElementsMax));
  if (request.segment_elements == 0 || request.segment_elements > kSegmentElementsMax)
    return refused("segment_elements", request.segment_elements,
                   "1 to " + std::to_string(kSegmentElementsMax));
  const uint64_t length = segment_length(request.segment_elements, request.block_elements());
  // Some collectives also send the elements of a block as float32.
  uint64_t bytes = length * sizeof(float);
  for (const Codec* codec : {request.codec, &request.down_codec()})
    if (length <= kSegmentElementsMax) bytes = std::max<uint64_t>(bytes, codec->bytes(length));
  if (bytes > kFrameBytesMax)
    return {GM_INVALID_ARGUMENT, "codec is " + request.codec->spec +
                                     (request.down == nullptr ? "" : " and down is " + request.down->spec) +
                                     ", whose blocks of " + std::to_string(length) + " elements take " +
                                     std::to_string(bytes) + " bytes; a frame holds " +
                                     std::to_string(kFrameBytesMax)};
  if (request.elements / length > kSegmentsMax)
    return refused("segment_elements", request.segment_elements,
                   "at least " + std::to_string(request.elements / kSegmentsMax + 1) + " for " +
                       std::to_string(request.elements) + " elements (at most " +
                       std::to_string(kSegmentsMax) + " segments)");
  return Status::ok();
}

Status check_ranks(const ScheduleRequest& request) {
  if (request.ranks == 0 || request.ranks > kRanksMax)
    return refused("ranks", request.ranks, "1 to " + std::to_string(kRanksMax));
  const std::string below = "0 to " + std::to_string(request.ranks - 1);
  if (request.rank >= request.ranks) return refused("rank", request.rank, below);
  if (request.root >= request.ranks) return refused("root", request.root, below);
  return Status::ok();
}

std::string names_of(uint32_t reductions) {
  std::string names;
  for (uint32_t index = 0; index < kReductions; ++index)
    if ((reductions >> index & 1) != 0)
      names += (names.empty() ? "" : ", ") + std::string(reduction_name(static_cast<Reduction>(index)));
  return names;
}

// dtype, codec and reduction.
Status check_arithmetic(const ScheduleRequest& request, const CollectiveRow& row) {
  if (static_cast<uint32_t>(request.dtype) >= kDtypes)
    return refused("dtype", static_cast<uint32_t>(request.dtype), "0 (fp32), 1 (fp16), 2 (bf16)");
  const std::string own = dtype_name(request.dtype);
  if (request.codec == nullptr) return refused("codec", "unknown", "what codec_open gives");
  if (!row.coded && !request.wire_is_memory())
    return refused("codec", request.codec->spec, own + ", as " + row.name + " takes only the tensor's own");
  if (static_cast<uint32_t>(request.reduction) >= kReductions)
    return refused("reduction", static_cast<uint32_t>(request.reduction), names_of(kAllReductions));
  const std::string reduction = reduction_name(request.reduction);
  const uint32_t taken = row.reductions == 0 ? reduction_bit(Reduction::mean) : row.reductions;
  if ((taken & reduction_bit(request.reduction)) == 0)
    return refused(
        "reduction", reduction,
        names_of(taken) + " for " + row.name + (row.reductions == 0 ? ", which reduces nothing" : ""));
  if (request.reduction == Reduction::max && !request.wire_is_memory())
    return refused("reduction", reduction + " with codec " + request.codec->spec,
                   "codec " + own + " with max");
  return Status::ok();
}

// The codec on the way down and the owner's feedback.
Status check_down(const ScheduleRequest& request, const std::string& name) {
  const bool fed = !(request.owner_decay < 0);
  if (request.down == nullptr && !fed) return Status::ok();
  if (name != "direct")
    return request.down != nullptr ? refused("down", request.down->spec,
                                             "none for " + name + "; only direct has an owner who codes")
                                   : refused("owner_decay", std::to_string(request.owner_decay),
                                             "none (below 0) for " + name + "; only direct has an owner");
  if (request.reduction == Reduction::max)
    return refused("reduction", "max with a codec on the way down",
                   names_of(kAllReductions & ~reduction_bit(Reduction::max)));
  if (!fed) return Status::ok();
  if (!(request.owner_decay <= 1))
    return refused("owner_decay", std::to_string(request.owner_decay), "from 0 to 1, or below 0 for none");
  const Codec& down = request.down_codec();
  if (!down.traits.contractive)
    return refused(
        request.down == nullptr ? "codec" : "down", down.spec,
        std::string("a contractive codec (such as \"int4_block\") with owner_decay, as this one is ") +
            (down.traits.unbiased ? "unbiased" : "not contractive") +
            ": what it leaves out does not shrink from round to round; or owner_decay below 0");
  if ((kMeans & reduction_bit(request.reduction)) == 0)
    return refused("reduction", reduction_name(request.reduction), names_of(kMeans) + " with owner_decay");
  if (!request.held.empty())
    return refused("held", entries(request.held.size()),
                   "none with owner_decay, as what is kept left its residue with the failed operation");
  return Status::ok();
}

Status check_weights(const ScheduleRequest& request) {
  if (request.reduction != Reduction::weighted_mean) {
    if (request.weights.empty()) return Status::ok();
    return refused("weights", entries(request.weights.size()), "none, unless the reduction is weighted_mean");
  }
  if (request.weights.size() != request.ranks)
    return refused("weights", entries(request.weights.size()),
                   std::to_string(request.ranks) + ", one a rank");
  double sum = 0;
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    const double weight = request.weights[rank];
    if (!std::isfinite(weight) || weight < 0)
      return refused(at("weights", rank), std::to_string(weight), "finite and not negative");
    sum += weight;
  }
  // So that weight * ranks / sum is a number in doubles.
  if (!(sum >= 0x1p-900 && sum <= 0x1p900))
    return refused("weights", "a list whose sum is " + std::to_string(sum), "a sum between 2^-900 and 2^900");
  return Status::ok();
}

Status check_topology(const ScheduleRequest& request, const std::string& name) {
  if (name != "mix") {
    if (request.topology.empty()) return Status::ok();
    return refused("topology", "\"" + request.topology + "\"", "none, unless the collective is mix");
  }
  Graph graph;
  const Status status = graph_open(request.topology, request.ranks, &graph);
  return status ? Status::ok() : Status{status.code(), "topology: " + status.message()};
}

Status check_islands(const ScheduleRequest& request, const std::string& name) {
  if (name != "hierarchical") {
    if (request.islands.empty()) return Status::ok();
    return refused("islands", entries(request.islands.size()), "none, unless the collective is hierarchical");
  }
  if (request.islands.size() != request.ranks)
    return refused("islands", entries(request.islands.size()),
                   std::to_string(request.ranks) + ", one a rank");
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    const uint32_t leader = request.islands[rank];
    if (leader >= request.ranks || request.islands[leader] != leader)
      return refused(at("islands", rank), leader, "a rank that leads its own island");
  }
  return Status::ok();
}

Status check_held(const ScheduleRequest& request, const std::string& name) {
  if (request.held.empty()) return Status::ok();
  if (!salvageable(request.collective))
    return refused("held", entries(request.held.size()), "none for " + name + ", which cannot be salvaged");
  if (request.held.size() != request.ranks)
    return refused("held", entries(request.held.size()), std::to_string(request.ranks) + ", one a rank");
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    uint64_t last = 0;
    for (const Range& range : request.held[rank]) {
      if (range.elements == 0 || range.begin < last || range.begin > request.elements ||
          range.elements > request.elements - range.begin)
        return refused(at("held", rank),
                       std::to_string(range.elements) + " elements from " + std::to_string(range.begin),
                       "ranges of the tensor, not empty, ascending and apart");
      last = range.begin + range.elements;
    }
  }
  return Status::ok();
}

}  // namespace

Status check_request(const ScheduleRequest& request) {
  const CollectiveRow* row = find_collective(request.collective);
  if (row == nullptr) return refused("collective", request.collective, collective_names());
  const std::string name = row->name;
  GM_TRY(check_arithmetic(request, *row));
  GM_TRY(check_ranks(request));
  GM_TRY(check_sizes(request));
  GM_TRY(check_down(request, name));
  if (name == "barrier" && request.elements != 0)
    return refused("elements", request.elements, "0 for barrier");
  GM_TRY(check_weights(request));
  GM_TRY(check_topology(request, name));
  GM_TRY(check_islands(request, name));
  return check_held(request, name);
}

}  // namespace gradmesh
