// Every forward operator as plain loops in double precision, from its formula and not from its kernel.
#pragma once
#include <vector>

#include "support.h"

namespace support {

using Doubles = std::vector<double>;

inline std::vector<Doubles> widen(const std::vector<Floats>& tensors) {
  std::vector<Doubles> wide;
  for (const Floats& t : tensors) wide.emplace_back(t.begin(), t.end());
  return wide;
}

// inputs as in ops.def; an i32 tensor comes as `index`. Returns the outputs; a row's second output
// (probabilities, mean, rstd) is included.
std::vector<Doubles> reference(const Case& c, const std::vector<Doubles>& inputs,
                               const std::vector<int32_t>& index);

// The i32 input of a case, or nothing.
inline std::vector<int32_t> index_of(const Case& c, const std::vector<Floats>& tensors) {
  const int input = shape_of(c).index_input;
  if (input < 0) return {};
  std::vector<int32_t> index(tensors[size_t(input)].size());
  std::memcpy(index.data(), tensors[size_t(input)].data(), index.size() * 4);
  return index;
}

}  // namespace support
