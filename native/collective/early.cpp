// Bookkeeping of early frames and ended operations.
#include "collective/early.h"

#include <algorithm>
#include <new>

namespace gradmesh {

Status EarlyFrames::hold(uint32_t link, const FrameHeader& header, EarlyFrame** frame) {
  if (operations_.count(header.operation) == 0) {
    const auto begun = std::count_if(operations_.begin(), operations_.end(),
                                     [&](const auto& entry) { return entry.second.count(link) != 0; });
    if (static_cast<size_t>(begun) >= 4 * kOperationsMax && !forget_aborted(link))
      return {GM_PROTOCOL, "frames of more operations than a peer may have under way"};
  }
  Sent& sent = operations_[header.operation][link];
  if (header.type == FrameType::data) {
    const uint64_t cost = eager_cost(header.length);
    if (sent.cost != 0 && sent.cost + cost > kEagerBytes)
      return {GM_PROTOCOL, "more data than a peer may send before this rank has begun"};
    // Of two with one tag the first to be there would speak for the other, which is still landing.
    if (!sent.tags.insert(header.tag).second) return {GM_PROTOCOL, "data that came already"};
    sent.cost += cost;
  } else if (++sent.controls > kControlsMax) {
    return {GM_PROTOCOL, "more control frames than an operation has"};
  }
  sent.frames.push_back(std::make_unique<EarlyFrame>());
  *frame = sent.frames.back().get();
  (*frame)->header = header;
  return Status::ok();
}

// The oldest operation that the link's peer has aborted, unless data for it is just landing.
bool EarlyFrames::forget_aborted(uint32_t link) {
  for (auto entry = operations_.begin(); entry != operations_.end(); ++entry) {
    const auto sent = entry->second.find(link);
    if (sent == entry->second.end()) continue;
    const Frames& frames = sent->second.frames;
    const auto whole = [](const auto& frame) { return frame->complete; };
    const auto abort = [](const auto& frame) { return frame->header.type == FrameType::abort; };
    if (!std::all_of(frames.begin(), frames.end(), whole) ||
        !std::any_of(frames.begin(), frames.end(), abort))
      continue;
    entry->second.erase(sent);
    if (entry->second.empty()) operations_.erase(entry);
    return true;
  }
  return false;
}

Status EarlyFrames::land(uint32_t link, const FrameHeader& header, uint8_t** target) {
  EarlyFrame* frame = nullptr;
  GM_TRY(hold(link, header, &frame));
  try {
    frame->payload.resize(header.length);
  } catch (const std::bad_alloc&) {
    return {GM_OUT_OF_MEMORY,
            std::to_string(header.length) + " bytes for data of an operation not yet begun"};
  }
  *target = frame->payload.data();
  return Status::ok();
}

void EarlyFrames::complete(uint32_t link, const FrameHeader& header) {
  const auto operation = operations_.find(header.operation);
  if (operation == operations_.end()) return;
  for (const auto& frame : operation->second[link].frames)
    if (frame->header.type == FrameType::data && frame->header.tag == header.tag) frame->complete = true;
}

Status EarlyFrames::control(uint32_t link, const FrameHeader& header, std::span<const uint8_t> payload) {
  EarlyFrame* frame = nullptr;
  GM_TRY(hold(link, header, &frame));
  frame->payload.assign(payload.begin(), payload.end());
  frame->complete = true;
  return Status::ok();
}

std::map<uint32_t, EarlyFrames::Frames> EarlyFrames::take(uint64_t operation) {
  std::map<uint32_t, Frames> taken;
  const auto found = operations_.find(operation);
  if (found == operations_.end()) return taken;
  for (auto& [link, sent] : found->second) taken.emplace(link, std::move(sent.frames));
  operations_.erase(found);
  return taken;
}

void EarlyFrames::forget_link(uint32_t link) {
  for (auto entry = operations_.begin(); entry != operations_.end();) {
    entry->second.erase(link);
    entry = entry->second.empty() ? operations_.erase(entry) : std::next(entry);
  }
}

void EndedOperations::add(uint64_t operation) {
  if (contains(operation)) return;
  ended_.insert(operation);
  while (ended_.size() > kRemembered) {
    floor_ = *ended_.begin();
    ended_.erase(ended_.begin());
  }
}

}  // namespace gradmesh
