// Net 4 without Node: test_gpu [--plugin <path>] [--small] [part of a test's name]. Every kernel against its
// CPU twin, by bytes, on the device of a plugin: the one beside this program or of GRADMESH_CUDA_PLUGIN, or
// the one given. Without a GPU it says why and is counted as skipped. --small: the emulator's sizes, also for
// runs under compute-sanitizer.
#include <cstring>

#include "check.h"
#include "device.h"
#include "device/plugin.h"

namespace gpu_test {

Suite& suite() {
  static Suite instance;
  return instance;
}

namespace {

// A plugin that is asked for by name must be there; that a machine has no GPU is nobody's fault.
gradmesh::Status open(const char* plugin, bool* skipped) {
  const gradmesh::DeviceTable* table;
  *skipped = plugin == nullptr;
  if (plugin == nullptr) {
    GM_TRY(gradmesh::device::find_plugin(&table));
  } else {
    GM_TRY(gradmesh::device::open_plugin(plugin, &table));
  }
  *skipped = true;
  return gradmesh::device::Device::open(*table, 0, &suite().device);
}

}  // namespace
}  // namespace gpu_test

int main(int argc, char** argv) {
  const char* plugin = nullptr;
  bool small = false;
  std::vector<char*> rest = {argv[0]};
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--plugin") == 0 && i + 1 < argc)
      plugin = argv[++i];
    else if (std::strcmp(argv[i], "--small") == 0)
      small = true;
    else
      rest.push_back(argv[i]);
  }
  // The emulator's order of threads is part of a failing case.
  setenv("GRADMESH_SIMT_SEED", std::to_string(check::seed()).c_str(), 0);
  bool skipped;
  if (const gradmesh::Status status = gpu_test::open(plugin, &skipped); !status) {
    skipped = skipped && status.code() == GM_UNSUPPORTED;
    std::printf("%s: %s\n", skipped ? "skipped" : "FAILED", status.message().c_str());
    std::printf(skipped ? "0 passed, 0 failed, 1 skipped\n" : "0 passed, 1 failed\n");
    return skipped ? 0 : 1;
  }
  gpu_test::Suite& suite = gpu_test::suite();
  suite.large = !small && suite.device->table().emulated == 0;
  std::printf("on %s, %s\n", suite.device->properties().name, suite.device->table().build);
  return check::run(static_cast<int>(rest.size()), rest.data());
}
