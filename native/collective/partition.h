// How a tensor is cut: a chunk for each rank, a segment for each frame. All cuts fall on multiples of the
// codec's block, so that coding the parts gives the bytes that coding the whole gives.
#pragma once
#include <algorithm>
#include <cstdint>

namespace gradmesh {

struct Range {
  uint64_t begin = 0;  // first element
  uint64_t elements = 0;
};

// The part of `elements` that belongs to `rank`: whole blocks, as even as they go, the tail with the last.
inline Range chunk_range(uint64_t elements, uint64_t block, uint32_t ranks, uint32_t rank) {
  const uint64_t blocks = elements / block + (elements % block != 0);
  const auto edge = [&](uint64_t index) {
    const uint64_t share = blocks / ranks * index + blocks % ranks * index / ranks;
    return std::min(elements, share * block);
  };
  return {edge(rank), edge(rank + 1) - edge(rank)};
}

// The largest multiple of the block within segment_elements; one block where the block is larger.
inline uint64_t segment_length(uint64_t segment_elements, uint64_t block) {
  return std::max(block, segment_elements / block * block);
}

inline uint64_t segment_count(const Range& chunk, uint64_t length) {
  return chunk.elements / length + (chunk.elements % length != 0);
}

inline Range segment_range(const Range& chunk, uint64_t length, uint64_t index) {
  const uint64_t begin = index * length;
  return {chunk.begin + begin, std::min(length, chunk.elements - begin)};
}

// Names the bytes of one frame; unique between two ranks, and below 2^53 so that JSON can hold it. phase <
// 2^14, chunk < 2^14 (kRanksMax and more), segment < 2^24.
inline uint64_t segment_tag(uint32_t phase, uint32_t chunk, uint64_t segment) {
  return (uint64_t{phase} << 38) | (uint64_t{chunk} << 24) | segment;
}
constexpr uint64_t tag_without_segment(uint64_t tag) { return tag >> 24; }

}  // namespace gradmesh
