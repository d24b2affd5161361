// Little-endian integers at an address.
#pragma once
#include <cstdint>
#include <cstring>

namespace gradmesh {

template <class Integer>
inline void store(uint8_t* target, Integer value) {
  std::memcpy(target, &value, sizeof value);
}
template <class Integer>
inline Integer load(const uint8_t* source) {
  Integer value;
  std::memcpy(&value, source, sizeof value);
  return value;
}

}  // namespace gradmesh
