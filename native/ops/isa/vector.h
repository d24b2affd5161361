// The vectors that kernels are written in: numeric/lanes.h, by the names of this room.
#pragma once
#include "numeric/lanes.h"

namespace gradmesh::ops::GM_ISA {
using namespace gradmesh::GM_ISA;
}  // namespace gradmesh::ops::GM_ISA
