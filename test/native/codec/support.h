// What the codec tests share: inputs with every kind of value, backends to run under, memory with guards
// around it.
#pragma once
#include <cmath>
#include <limits>

#include "check.h"
#include "codec/codec.h"
#include "numeric/backend.h"
#include "numeric/exact.h"

namespace codec_test {

using namespace gradmesh;

// Runs under one backend, then goes back to the best.
template <class Body>
void with_backend(backend::Backend backend, Body body) {
  CHECK(static_cast<bool>(backend::force(backend::name(backend))));
  CHECK(backend::active() == backend);
  body();
  CHECK(static_cast<bool>(backend::force("auto")));
}

// Memory whose neighbours are checked: a byte written outside is found without a sanitizer. The start has no
// alignment.
class Guarded {
 public:
  explicit Guarded(size_t length, size_t skew = 1)
      : skew_(skew), length_(length), bytes_(length + 2 * kGuard, kFill) {}
  uint8_t* data() { return bytes_.data() + kGuard - 8 + skew_; }
  std::vector<uint8_t> contents() { return {data(), data() + length_}; }
  bool intact() const {
    const size_t start = kGuard - 8 + skew_;
    for (size_t i = 0; i < bytes_.size(); i++)
      if ((i < start || i >= start + length_) && bytes_[i] != kFill) return false;
    return true;
  }

 private:
  static constexpr size_t kGuard = 320;
  static constexpr uint8_t kFill = 0xa5;
  size_t skew_, length_;
  std::vector<uint8_t> bytes_;
};

enum class Kind { raw, normal, tiny, ties, special, zeros, last = zeros };
inline constexpr int kKinds = static_cast<int>(Kind::last) + 1;

inline std::vector<float> values(Kind kind, size_t count, std::mt19937_64& random) {
  static const float specials[] = {0.0f,
                                   -0.0f,
                                   1.0f,
                                   -127.0f,
                                   127.0f,
                                   127.5f,
                                   0.5f,
                                   0.49999997f,
                                   3e9f,
                                   1e-40f,
                                   -1e-45f,
                                   std::numeric_limits<float>::max(),
                                   std::numeric_limits<float>::min(),
                                   std::numeric_limits<float>::infinity(),
                                   -std::numeric_limits<float>::infinity(),
                                   exact::from_bits(0x7fc00001),
                                   exact::from_bits(0xffa00000),
                                   exact::from_bits(0x7f800001)};
  std::vector<float> result(count);
  for (float& x : result) {
    const uint64_t draw = random();
    const auto bits = static_cast<uint32_t>(draw);
    switch (kind) {
      case Kind::raw:
        x = exact::from_bits(bits);
        break;
      case Kind::normal:
        x = std::normal_distribution<float>(0.0f, 0.01f)(random);
        break;
      case Kind::tiny:
        x = exact::from_bits(bits & 0x80ffffffu);
        break;
      case Kind::ties:
        x = static_cast<float>(static_cast<int>(bits % 511) - 255) * 0.5f;
        break;
      case Kind::special:
        x = draw >> 32 & 63 ? static_cast<float>(bits % 100) : specials[bits % 18];
        break;
      case Kind::zeros:
        x = bits & 1 ? 0.0f : -0.0f;
        break;
    }
  }
  return result;
}

inline std::vector<size_t> lengths(const Codec& codec) {
  const size_t block = codec.traits.block_elements;
  return {0, 1, 2, 3, 5, 7, 13, 31, block - 1, block, block + 1, 2 * block, 127, 257, 509, 1021, 4099, 10007};
}

inline CodecKey key_of(uint32_t rank) { return {11, 3, 0, rank}; }

inline std::vector<uint8_t> encode(const Codec& codec, const std::vector<float>& source, uint32_t rank = 0) {
  std::vector<uint8_t> wire(codec.bytes(source.size()));
  codec_loops(codec).encode(codec.options, key_of(rank), source.data(), source.size(), wire.data());
  return wire;
}
inline std::vector<float> decode(const Codec& codec, const std::vector<uint8_t>& wire, size_t elements,
                                 uint32_t rank = 0) {
  std::vector<float> target(elements);
  codec_loops(codec).decode(codec.options, key_of(rank), wire.data(), elements, target.data());
  return target;
}
// wires[i] as coded by rank i; decode the result as kMeanRank's.
inline std::vector<uint8_t> mean(const Codec& codec, const std::vector<std::vector<uint8_t>>& wires,
                                 size_t elements) {
  std::vector<const uint8_t*> pointers;
  for (const auto& wire : wires) pointers.push_back(wire.data());
  std::vector<uint8_t> result(codec.bytes(elements));
  codec_loops(codec).mean(codec.options, key_of(kMeanRank), pointers.data(),
                          static_cast<uint32_t>(wires.size()), elements, result.data());
  return result;
}
// The same through an accumulator that is fed in the order given; exact_sum codecs only.
inline std::vector<uint8_t> accumulated(const Codec& codec, const std::vector<std::vector<uint8_t>>& wires,
                                        const std::vector<size_t>& order, size_t elements) {
  const CodecLoops& loops = codec_loops(codec);
  const size_t bytes = loops.sum_bytes(codec.options, elements);
  std::vector<uint8_t> memory(bytes + 64);
  uint8_t* sum = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
  for (const size_t rank : order)
    loops.accumulate(codec.options, key_of(static_cast<uint32_t>(rank)), wires[rank].data(), elements, sum);
  std::vector<uint8_t> result(codec.bytes(elements));
  loops.finish(codec.options, key_of(kMeanRank), sum, static_cast<uint32_t>(wires.size()), elements,
               result.data());
  return result;
}
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0);
}
inline std::vector<uint8_t> random_wire(const Codec& codec, size_t elements, std::mt19937_64& random) {
  std::vector<uint8_t> wire(codec.bytes(elements));
  for (uint8_t& byte : wire) byte = static_cast<uint8_t>(random());
  return wire;
}

}  // namespace codec_test
