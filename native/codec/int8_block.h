// The int8_block codec: integers of 8 bits that share a scale; int_block.h defines it.
// 256 elements a block by default: the scale byte then costs 1/32 bit an element, and the error is small
// already.
#pragma once
#include "codec/int_block.h"

namespace gradmesh::codecs {

struct int8_block : IntBlock<8> {};

}  // namespace gradmesh::codecs
