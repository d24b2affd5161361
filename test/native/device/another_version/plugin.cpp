// A plugin as another release would have it: the same symbol, a later version of the table.
#include "cuda/table.h"

extern "C" __attribute__((visibility("default"))) const gradmesh::DeviceTable* gradmesh_device_table() {
  static const gradmesh::DeviceTable table = [] {
    gradmesh::DeviceTable later = {};
    later.version = gradmesh::kDeviceTableVersion + 1;
    return later;
  }();
  return &table;
}
