// The int4_block codec: integers of 4 bits that share a scale; int_block.h defines it.
// 128 elements a block by default, 4.06 bits an element; options for less error are smaller blocks and
// scale=fp32.
#pragma once
#include "codec/int_block.h"

namespace gradmesh::codecs {

struct int4_block : IntBlock<4> {};

}  // namespace gradmesh::codecs
