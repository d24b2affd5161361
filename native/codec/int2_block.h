// The int2_block codec: integers of 2 bits that share a scale; int_block.h defines it.
// 64 elements a block by default, 2.13 bits an element: with three levels, the largest of a block decides
// which of the others vanish, so blocks are small.
#pragma once
#include "codec/int_block.h"

namespace gradmesh::codecs {

struct int2_block : IntBlock<2> {};

}  // namespace gradmesh::codecs
