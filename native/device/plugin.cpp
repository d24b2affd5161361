#include "device/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "device/driver.h"

namespace gradmesh::device {
namespace {

constexpr char kFile[] = "gradmesh_cuda.so";
// CUDA's numbers (driver_types.h) for a machine without a GPU, without a driver, or with one that does not
// start.
constexpr int kInsufficientDriver = 35, kNoDevice = 100, kUnknown = 999;

Status no_gpu(const std::string& reason) { return {GM_UNSUPPORTED, "no GPU: " + reason}; }

std::string beside_this_code() {
  Dl_info info = {};
  const std::string own =
      dladdr(reinterpret_cast<void*>(&plugin_path), &info) != 0 && info.dli_fname != nullptr ? info.dli_fname
                                                                                             : "";
  const size_t slash = own.rfind('/');
  return (slash == std::string::npos ? std::string() : own.substr(0, slash + 1)) + kFile;
}

std::string wrong_version(const std::string& path, uint32_t version) {
  return "the CUDA plugin " + path + " has version " + std::to_string(version) +
         " of the table, this library has " + std::to_string(kDeviceTableVersion) +
         "; install both from the same release";
}

Status find_once(const DeviceTable** table) {
  uint32_t devices;
  const Status opened = open_plugin(plugin_path(), table);
  if (opened) {
    const Status counted = count_devices(**table, &devices);
    // Without a driver CUDA only says that it is insufficient; the driver itself is asked for a better
    // reason.
    if (counted || (*table)->emulated != 0 || driver().reason.empty()) return counted;
    return no_gpu(driver().reason);
  }
  if (!driver().reason.empty() && std::getenv("GRADMESH_CUDA_PLUGIN") == nullptr)
    return no_gpu(driver().reason);
  return opened;
}

}  // namespace

std::string plugin_path() {
  const char* given = std::getenv("GRADMESH_CUDA_PLUGIN");
  return given != nullptr && *given != '\0' ? given : beside_this_code();
}

Status open_plugin(const std::string& path, const DeviceTable** table) {
  *table = nullptr;
  if (access(path.c_str(), F_OK) != 0)
    return no_gpu("the CUDA plugin " + path + " is not there; a build makes it where nvcc is found");
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return no_gpu("the CUDA plugin cannot be opened: " + std::string(why != nullptr ? why : path));
  }
  DeviceTableFunction get = nullptr;
  void* address = dlsym(library, kDeviceTableSymbol);
  std::memcpy(&get, &address, sizeof address);
  if (get == nullptr) return no_gpu(path + " is no CUDA plugin of gradmesh: it lacks " + kDeviceTableSymbol);
  const DeviceTable* found = get();
  if (found->version != kDeviceTableVersion) return no_gpu(wrong_version(path, found->version));
  if (found->table_bytes != sizeof(DeviceTable))
    return no_gpu(
        "the CUDA plugin " + path + " was built from other headers than this library: its table has " +
        std::to_string(found->table_bytes) + " bytes instead of " + std::to_string(sizeof(DeviceTable)));
  *table = found;
  return Status::ok();
}

Status count_devices(const DeviceTable& table, uint32_t* devices) {
  const int error = table.device_count(devices);
  if (error == kInsufficientDriver)
    return no_gpu("the NVIDIA driver is missing, or older than the plugin's CUDA needs (CUDA error 35)");
  if (error == kNoDevice || (error == 0 && *devices == 0))
    return no_gpu("the NVIDIA driver finds no GPU (CUDA error 100)");
  if (error == kUnknown)
    return no_gpu("the NVIDIA driver does not start (CUDA error 999); restarting the machine often helps");
  if (error != 0)
    return no_gpu(std::string(table.error_text(error)) + " (CUDA error " + std::to_string(error) + ")");
  return Status::ok();
}

Status find_plugin(const DeviceTable** table) {
  struct Found {
    const DeviceTable* table = nullptr;
    Status status;
    Found() : status(find_once(&table)) {}
  };
  static const Found found;
  *table = found.status ? found.table : nullptr;
  return found.status;
}

}  // namespace gradmesh::device
