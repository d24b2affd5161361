// The codecs' loops, compiled once per instruction set from the one definition of each codec. Nothing here
// decides a bit: the loops only say who computes which element, in plain code that the compiler vectorizes.
#include "codec/codec.h"
#include "codec/isa/elementwise.h"
#include "codec/isa/int8_block_loops.h"

namespace gradmesh::GM_ISA {

// extern: const alone would hide it from dispatch.cpp.
extern const CodecLoops codec_table[kCodecs];
const CodecLoops codec_table[kCodecs] = {
#define GM_CODEC(name, ...)                                                                   \
  {Loops<codecs::name>::encode, Loops<codecs::name>::decode, Loops<codecs::name>::decode_add, \
   Loops<codecs::name>::mean},
#include "codec/codecs.def"
#undef GM_CODEC
};

}  // namespace gradmesh::GM_ISA
