// Floyd's algorithm over a bit for each element, which also gives the indices in their order.
#include "base/sample.h"

#include <bit>
#include <vector>

#include "base/assert.h"
#include "base/prng.h"

namespace gradmesh {
namespace {

// The words of a stream, one after the other; a block of four is made once.
class WordReader {
 public:
  WordReader(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  uint32_t next() {
    if (element_ % 4 == 0) words_ = prng::block(seed_, stream_, element_ / 4);
    return words_.word[element_++ % 4];
  }
  // In [0, bound), each as likely; 1 <= bound <= 2^31.
  uint64_t below(uint64_t bound) {
    const uint64_t unfair = (uint64_t{1} << 32) % bound;
    for (;;) {
      const uint64_t product = next() * bound;
      if (static_cast<uint32_t>(product) >= unfair) return product >> 32;
    }
  }

 private:
  const uint64_t seed_, stream_;
  uint64_t element_ = 0;
  prng::Words words_ = {};
};

}  // namespace

void sample_indices(uint64_t seed, uint64_t stream, uint64_t elements, int32_t* target, size_t count) {
  GM_ASSERT(count <= elements && elements <= kSampleElementsMax);
  if (count == 0) return;
  std::vector<uint64_t> taken((elements + 63) / 64);
  WordReader words(seed, stream);
  for (uint64_t j = elements - count; j < elements; j++) {
    const uint64_t t = words.below(j + 1);
    const uint64_t chosen = (taken[t / 64] >> t % 64 & 1) != 0 ? j : t;
    taken[chosen / 64] |= uint64_t{1} << chosen % 64;
  }
  for (uint64_t word = 0; word < taken.size(); word++)
    for (uint64_t left = taken[word]; left != 0; left &= left - 1)
      *target++ = static_cast<int32_t>(word * 64 + static_cast<uint64_t>(std::countr_zero(left)));
}

}  // namespace gradmesh
