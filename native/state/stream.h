// Buffers read as one stream of bytes, from any place.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace gradmesh {

using Bytes = std::span<const uint8_t>;

class BufferStream {
 public:
  explicit BufferStream(std::span<const Bytes> buffers);
  uint64_t length() const { return ends_.empty() ? 0 : ends_.back(); }

  class Reader {
   public:
    // From byte `start` of the stream, at most its length.
    Reader(const BufferStream& stream, uint64_t start);
    // The bytes from here on that lie together; empty only at the end.
    Bytes together() const { return rest_; }
    // Passes over so many bytes of together().
    void skip(size_t bytes);
    // Copies the next target.size() bytes, which the stream has.
    void copy(std::span<uint8_t> target);

   private:
    const BufferStream& stream_;
    size_t buffer_ = 0;
    Bytes rest_;
  };

 private:
  std::span<const Bytes> buffers_;
  std::vector<uint64_t> ends_;  // of each buffer, in the stream
};

}  // namespace gradmesh
