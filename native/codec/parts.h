// What of a codec's wire is coded elements, what scales and what indices: read off the names that definitions
// give the parts of their wires.
#pragma once
#include <cstddef>

#include "codec/options.h"

namespace gradmesh {

struct CodecParts {
  size_t payload, scales, indices;  // bytes
};

// Elements come first in every wire, then indices, then scales.
template <class Codec>
constexpr CodecParts codec_parts(const CodecOptions& options, size_t elements) {
  const size_t all = Codec::bytes(options, elements);
  const auto scales_behind = [&](size_t payload) { return CodecParts{payload, all - payload, 0}; };
  if constexpr (requires { Codec::layout(options, elements).scales; }) {
    const auto at = Codec::layout(options, elements);
    return {at.indices, all - at.scales, at.scales - at.indices};
  } else if constexpr (requires { Codec::places(options, 0, elements).indices; }) {
    const auto at = Codec::places(options, 0, elements);
    return {at.indices, all - at.scale, at.scale - at.indices};
  } else if constexpr (requires { Codec::places(options, 0, elements).scale; }) {
    return scales_behind(Codec::places(options, 0, elements).scale);
  } else if constexpr (requires { Codec::code_bytes(options, elements); }) {
    return scales_behind(Codec::code_bytes(options, elements));
  } else if constexpr (requires { Codec::code_bytes(elements); }) {
    return scales_behind(Codec::code_bytes(elements));
  } else if constexpr (requires { Codec::q_bytes(elements); }) {
    return scales_behind(Codec::q_bytes(elements));
  } else if constexpr (requires { Codec::sign_bytes(elements); }) {
    return scales_behind(Codec::sign_bytes(elements));
  } else {
    return {all, 0, 0};
  }
}

}  // namespace gradmesh
