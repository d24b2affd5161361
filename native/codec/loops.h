// What a codec does, as functions of plain data: the interface between the registry and the files of isa/.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"

namespace gradmesh {

// The functions of one codec on one backend. `options` are checked ones of codec_open(). Wires have no
// alignment, floats that of a float. What is written overlaps nothing that is read, unless it says so.
struct CodecLoops {
  // source[elements] -> wire[bytes(elements)]
  void (*encode)(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
                 uint8_t* wire);
  // Any wire bytes are defined (also a stranger's): no input makes it read or write outside. `key` is the
  // encoder's.
  void (*decode)(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                 float* target);
  // target[i] = target[i] + decoded[i], one exact::add each; a NaN that comes of it is always 0x7fc00000
  void (*decode_add)(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                     float* target);
  // A ring's hop in one pass: result = encode(source + decode(wire)), with the bytes that decode_add to a
  // copy of source and then encode give. `from` is the key of wire, `to` that of result.
  void (*decode_add_encode)(const CodecOptions& options, const CodecKey& from, const CodecKey& to,
                            const uint8_t* wire, const float* source, size_t elements, uint8_t* result);
  // Codes the mean of `ranks` coded contributions. exact_sum codecs add in integers and round once, so the
  // order of the wires does not matter; others add decoded values in the order given, then exact::div by
  // ranks, then encode. Wire i was coded with key.rank = i, the result is with kMeanRank. ranks >= 1. A NaN
  // that adding or dividing makes is always 0x7fc00000.
  void (*mean)(const CodecOptions& options, const CodecKey& key, const uint8_t* const* wires, uint32_t ranks,
               size_t elements, uint8_t* wire);

  // Null where no options make the sum exact; called only where traits.exact_sum says so. The same mean from
  // contributions that are added as they come, in any order: `sum` is sum_bytes(elements) long, aligned to 64
  // bytes, and all zero bytes at first. finish codes sum / ranks.
  size_t (*sum_bytes)(const CodecOptions& options, size_t elements);
  void (*accumulate)(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                     uint8_t* sum);
  void (*finish)(const CodecOptions& options, const CodecKey& key, const uint8_t* sum, uint32_t ranks,
                 size_t elements, uint8_t* wire);
};

}  // namespace gradmesh
