// A codec turns float32 elements into wire bytes and back. The rows of codecs.def are the registry; each foo.h is the
// definition per element or block; isa/loops.cpp is compiled once per instruction set.
//
// Wire layouts never contain padding: bytes(elements) is exact, and the wire of a whole number of blocks followed by
// a tail is valid for any length, also 0.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gradmesh {

struct CodecLoops {
  // source[elements] -> wire[bytes(elements)]
  void (*encode)(const float* source, size_t elements, uint8_t* wire);
  // Any wire bytes are defined (also a stranger's): no input makes it read or write outside.
  void (*decode)(const uint8_t* wire, size_t elements, float* target);
  // target[i] = target[i] + decoded[i], one exact::add each; a NaN that comes of it is always 0x7fc00000
  void (*decode_add)(const uint8_t* wire, size_t elements, float* target);
  // Codes the mean of `ranks` coded contributions. exact_sum codecs add in integers and round once, so the order of
  // the wires does not matter; others add decoded values in the order given, then exact::div by ranks, then encode.
  // ranks >= 1; wire overlaps none of the wires. A NaN that adding or dividing makes is always 0x7fc00000.
  void (*mean)(const uint8_t* const* wires, uint32_t ranks, size_t elements, uint8_t* wire);
};

struct Codec {
  const char* name;
  uint32_t id;              // wire id, never reused
  uint32_t block_elements;  // chunks and segments are cut at multiples of it
  bool unbiased;            // E[decode(encode(x))] = x
  bool contractive;         // |x - decode(encode(x))| <= (1 - d)|x|: the kind that error feedback accepts
  bool linear;              // decode(encode(x)) = x: sums on the way lose nothing
  bool exact_sum;           // mean() is exact in integers, free of order
  size_t (*bytes)(size_t elements);
  const char* doc;
};

inline constexpr uint32_t kCodecs = 3;
// Null when there is no such id or name.
const Codec* codec_find(uint32_t id);
const Codec* codec_find(std::string_view name);
// The loops of the backend that is active now.
const CodecLoops& codec_loops(const Codec& codec);

}  // namespace gradmesh
