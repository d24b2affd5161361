// Finds a place in a list of buffers by their ends, and walks on from there.
#include "state/stream.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace gradmesh {

BufferStream::BufferStream(std::span<const Bytes> buffers) : buffers_(buffers) {
  ends_.reserve(buffers.size());
  for (const Bytes& buffer : buffers) ends_.push_back(length() + buffer.size());
}

BufferStream::Reader::Reader(const BufferStream& stream, uint64_t start) : stream_(stream) {
  GM_ASSERT(start <= stream.length());
  const auto& ends = stream.ends_;
  buffer_ = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), start) - ends.begin());
  if (buffer_ == ends.size()) return;
  rest_ = stream.buffers_[buffer_];
  rest_ = rest_.subspan(rest_.size() - static_cast<size_t>(ends[buffer_] - start));
}

void BufferStream::Reader::skip(size_t bytes) {
  rest_ = rest_.subspan(bytes);
  while (rest_.empty() && buffer_ < stream_.buffers_.size())
    if (++buffer_ < stream_.buffers_.size()) rest_ = stream_.buffers_[buffer_];
}

void BufferStream::Reader::copy(std::span<uint8_t> target) {
  while (!target.empty()) {
    const Bytes piece = together().first(std::min(target.size(), together().size()));
    GM_ASSERT(!piece.empty());
    std::memcpy(target.data(), piece.data(), piece.size());
    target = target.subspan(piece.size());
    skip(piece.size());
  }
}

}  // namespace gradmesh
