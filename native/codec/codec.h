// A codec turns float32 elements into wire bytes and back. The rows of codecs.def are the registry; each
// foo.h is the definition per element or block; isa/ is compiled once per instruction set; cuda/codec/ holds
// the twins.
//
// A codec is named by a specification: a row's name, and options that differ from the row's defaults, as in
// "int4_block:scale=fp32,rounding=stochastic".
//
// Wire layouts never contain padding: bytes(elements) is exact, and the wire of a whole number of blocks
// followed by a tail is valid for any length, also 0. The coded elements come first, scales behind them: so
// the elements of a wire that lies at a multiple of 16 bytes do too.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/loops.h"
#include "codec/parts.h"

namespace gradmesh {

struct Codec {
  std::string
      spec;  // canonical: the row's name, then options that differ from its defaults, in the row's order
  const char* name;  // the row's
  uint32_t row;      // the row's id: the wire format
  uint32_t id;  // in this process: the row's id where all options are defaults, else the next free number
  CodecOptions options;
  CodecTraits traits;
  uint64_t fingerprint;  // of spec: equal on two machines where the specifications are

  size_t bytes(size_t elements) const { return bytes_of(options, elements); }
  // The same by kind.
  CodecParts parts(size_t elements) const { return parts_of(options, elements); }
  size_t (*bytes_of)(const CodecOptions& options, size_t elements);
  CodecParts (*parts_of)(const CodecOptions& options, size_t elements);
};

// One option of a row, as data.
struct CodecOption {
  const char* row;
  const char* name;
  uint32_t CodecOptions::*member;
  uint32_t initial, least, most;
  const char* choices;  // names separated by spaces, or null for a number
  const char* doc;
};

struct CodecRow {
  const char* name;
  uint32_t id;
  const char *wire, *error, *special, *source;  // for the documentation
};

const std::vector<CodecRow>& codec_rows();
const std::vector<CodecOption>& codec_options();
// The specifications that tests, golden vectors and benches run over: every row's default and its variants.
const std::vector<std::string>& codec_cases();

// The codec of a specification; equal ones give the same, which lives as long as the process.
// GM_INVALID_ARGUMENT names the option, its value, and what is allowed. At most kCodecsMax different ones.
Status codec_open(std::string_view spec, const Codec** codec);
inline constexpr uint32_t kCodecsMax = 4096;
// Of an id that codec_open() gave, or a row's; null where there is none.
const Codec* codec_find(uint32_t id);
// codec_open() of a specification that is known to be right; null where it is not.
const Codec* codec_find(std::string_view spec);
// The loops of the backend that is active now.
const CodecLoops& codec_loops(const Codec& codec);

}  // namespace gradmesh
