// Exact sums of floats, whatever their magnitudes: for the rare contributions that lie too far apart for
// doubles.
#pragma once
#include <cstddef>
#include <vector>

#include "codec/wide.h"

namespace gradmesh {

class WideSums {
 public:
  explicit WideSums(size_t elements) : sums_(elements, codecs::Wide::zero()) {}
  // Up to 65536 tensors of as many elements. What is not finite adds nothing.
  void add(const float* source);
  // Where sums[i] is finite it becomes the sum of element i, rounded once; a sum in doubles that is 0 keeps
  // its sign.
  void round(double* sums) const;

 private:
  std::vector<codecs::Wide> sums_;  // in units of 2^-149
};

}  // namespace gradmesh
