// The table of endpoints, and the check that every limit in milliseconds passes.
#pragma once
#include "base/handles.h"
#include "collective/endpoint.h"

namespace gradmesh::abi {
HandleTable<Endpoint>& endpoints();
// GM_INVALID_ARGUMENT unless 1 ms to a day.
Status check_limit(uint32_t limit_ms);
}  // namespace gradmesh::abi
