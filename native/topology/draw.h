// Random integers for graphs: a sequence keyed by seed and stream, the same on every machine.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "base/prng.h"

namespace gradmesh {

// Every use draws from a stream of its own; a codec's streams have other upper bytes.
enum class GraphStream : uint64_t { regular = 0x21, equi, equi_pairs, small_world, pairs, start, ring_order };

class Draws {
 public:
  // `part`: the round, or the attempt; below 2^56.
  Draws(uint64_t seed, GraphStream stream, uint64_t part)
      : seed_(seed), stream_(static_cast<uint64_t>(stream) << 56 | (part & ((uint64_t{1} << 56) - 1))) {}
  uint32_t bits() { return prng::bits(seed_, stream_, next_++); }
  // 0 .. limit - 1; uneven by at most limit / 2^32.
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(uint64_t{bits()} * limit >> 32); }
  // Fisher and Yates.
  template <class T>
  void shuffle(std::vector<T>* values) {
    for (size_t left = values->size(); left > 1; left--)
      std::swap((*values)[left - 1], (*values)[below(static_cast<uint32_t>(left))]);
  }

 private:
  uint64_t seed_, stream_, next_ = 0;
};

}  // namespace gradmesh
