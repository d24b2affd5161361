// What the C ABI's calls with a codec check alike.
#pragma once
#include "abi/abi.h"
#include "codec/codec.h"

namespace gradmesh::abi {

// The codec of an id that codec_open gave.
Status find_codec(uint32_t id, const Codec** codec);
// GM_INVALID_ARGUMENT for a step or rank out of range, and a `first` off the codec's blocks.
Status make_key(const Codec& codec, uint64_t seed, uint64_t step, uint32_t rank, uint64_t first,
                CodecKey* key);
// The codec; its wire has the length that so many elements take, and lies apart from them; MXCSR is the
// default.
Status prepare_coding(uint32_t id, gm_f32s elements, gm_bytes wire, const Codec** codec);
// `field` is written while `source` is read.
Status check_apart(const std::string& field, const void* target, size_t target_bytes, const void* source,
                   size_t source_bytes);

}  // namespace gradmesh::abi
