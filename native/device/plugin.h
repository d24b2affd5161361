// Opens the CUDA plugin (cuda/table.h) where there is one, and says in one sentence why a machine has no GPU.
#pragma once
#include <string>

#include "base/status.h"
#include "cuda/table.h"

namespace gradmesh::device {

// GRADMESH_CUDA_PLUGIN where it is set, else gradmesh_cuda.so beside the library or program that holds this
// code.
std::string plugin_path();

// Opens a plugin and checks that it was built from the same table as this library; it is never closed, as
// drivers keep threads. GM_UNSUPPORTED names the file and what is wrong with it.
Status open_plugin(const std::string& path, const DeviceTable** table);

// How many devices the plugin's driver has, at least one. GM_UNSUPPORTED with the reason for none.
Status count_devices(const DeviceTable& table, uint32_t* devices);

// This process's plugin, looked for once; it has at least one device. GM_UNSUPPORTED: "no GPU: ..." with the
// first reason that a person can do something about: the driver's, the plugin's.
Status find_plugin(const DeviceTable** table);

}  // namespace gradmesh::device
