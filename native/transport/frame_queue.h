// Frames that wait, first in, first out: a ring that grows and never shrinks, so that a frame costs no
// allocation.
#pragma once
#include <utility>
#include <vector>

#include "transport/stream.h"

namespace gradmesh {

class FrameQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  void push(const OutgoingFrame& frame) {
    if (size_ == frames_.size()) grow();
    frames_[(first_ + size_++) & (frames_.size() - 1)] = frame;
  }
  OutgoingFrame pop() {
    --size_;
    return frames_[std::exchange(first_, (first_ + 1) & (frames_.size() - 1))];
  }
  // Forgets the frames that `gone` is true of; the others keep their order.
  template <class Gone>
  void erase_if(Gone&& gone) {
    size_t kept = 0;
    for (size_t at = 0; at < size_; ++at) {
      const OutgoingFrame& frame = frames_[(first_ + at) & (frames_.size() - 1)];
      if (!gone(frame)) frames_[(first_ + kept++) & (frames_.size() - 1)] = frame;
    }
    size_ = kept;
  }

 private:
  void grow() {
    std::vector<OutgoingFrame> larger(frames_.empty() ? 16 : 2 * frames_.size());
    for (size_t at = 0; at < size_; ++at) larger[at] = frames_[(first_ + at) & (frames_.size() - 1)];
    frames_ = std::move(larger);
    first_ = 0;
  }
  std::vector<OutgoingFrame> frames_;  // a power of two of them
  size_t first_ = 0, size_ = 0;
};

}  // namespace gradmesh
