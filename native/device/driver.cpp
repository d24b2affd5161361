// Asks the CUDA driver API's stable entry points (cuda.h); the library is never closed, as drivers keep
// threads.
#include "device/driver.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>

namespace gradmesh::device {
namespace {

Driver look() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const bool module = access("/proc/driver/nvidia/version", R_OK) == 0;
    return {module ? "the NVIDIA kernel driver is loaded, but its library libcuda.so.1 is not found; install "
                     "the driver's libraries"
                   : "no NVIDIA driver is installed (libcuda.so.1 is not found)",
            {}};
  }
  int (*init)(unsigned) = nullptr;
  int (*count)(int*) = nullptr;
  int (*get)(int*, int) = nullptr;
  int (*get_name)(char*, int, int) = nullptr;
  const auto find = [&](auto& function, const char* name) {
    void* address = dlsym(library, name);
    std::memcpy(&function, &address, sizeof address);
    return address != nullptr;
  };
  if (!find(init, "cuInit") || !find(count, "cuDeviceGetCount") || !find(get, "cuDeviceGet") ||
      !find(get_name, "cuDeviceGetName"))
    return {"libcuda.so.1 is there, but is no CUDA driver: it lacks cuInit or cuDeviceGet", {}};
  int devices = 0;
  if (const int error = init(0); error != 0)
    return {error == 100
                ? "the NVIDIA driver finds no GPU"
                : "the NVIDIA driver does not start (cuInit gives error " + std::to_string(error) + ")",
            {}};
  if (count(&devices) != 0 || devices == 0) return {"the NVIDIA driver finds no GPU", {}};
  Driver found;
  for (int i = 0; i < devices; i++) {
    int device = 0;
    char name[256] = {};
    const bool named = get(&device, i) == 0 && get_name(name, sizeof name - 1, device) == 0;
    found.names.push_back(named ? name : "unnamed");
  }
  return found;
}

}  // namespace

const Driver& driver() {
  static const Driver found = look();
  return found;
}

}  // namespace gradmesh::device
