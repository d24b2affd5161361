// Fills arrays with random numbers.
#include "base/prng.h"

namespace gradmesh {

void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, float* target, size_t elements) {
  for (size_t i = 0; i < elements; i++) target[i] = prng::uniform(seed, stream, first + i);
}

void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, float deviation, float* target,
                 size_t elements) {
  for (size_t i = 0; i < elements; i++) target[i] = prng::normal(seed, stream, first + i, deviation);
}

}  // namespace gradmesh
