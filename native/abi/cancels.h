// The table of cancel flags, for the ABI functions that take one.
#pragma once
#include "base/cancel.h"
#include "base/handles.h"

namespace gradmesh::abi {
// find() gives null for 0 and for a freed flag: work without one is not cancellable.
HandleTable<Cancel>& cancels();
}  // namespace gradmesh::abi
