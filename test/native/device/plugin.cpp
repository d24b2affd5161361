// Opening the plugin: the emulated one opens, and whatever is wrong with another is said in one sentence.
#include "device/plugin.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "check.h"
#include "device/driver.h"

using namespace gradmesh;

namespace {

bool contains(const Status& status, const std::string& part) {
  const bool found = status.code() == GM_UNSUPPORTED && status.message().find(part) != std::string::npos;
  if (!found) std::fprintf(stderr, "  \"%s\" is not in: %s\n", part.c_str(), status.message().c_str());
  return found;
}

// What count_devices says when CUDA starts with this error.
Status count_with_error(const char* error) {
  const DeviceTable* table;
  GM_TRY(device::open_plugin(GM_TEST_PLUGIN, &table));
  setenv("GRADMESH_SIMT_ERROR", error, 1);
  uint32_t devices = 0;
  const Status status = device::count_devices(*table, &devices);
  unsetenv("GRADMESH_SIMT_ERROR");
  return status;
}

// find_plugin() in a process of its own, as it looks once; `plugin` is GRADMESH_CUDA_PLUGIN, null for unset.
std::string found_with(const char* plugin) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    if (plugin != nullptr)
      setenv("GRADMESH_CUDA_PLUGIN", plugin, 1);
    else
      unsetenv("GRADMESH_CUDA_PLUGIN");
    const DeviceTable* table;
    const Status status = device::find_plugin(&table);
    const std::string text = status ? table->build : status.message();
    const bool written = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return text;
}

}  // namespace

TEST("the emulated plugin opens and has one device") {
  const DeviceTable* table;
  const Status status = device::open_plugin(GM_TEST_PLUGIN, &table);
  CHECK_THAT(status, status.message());
  if (!status) return;
  uint32_t devices = 0;
  CHECK(device::count_devices(*table, &devices));
  CHECK(devices == 1);
  CHECK(table->emulated == 1);
}

TEST("a plugin that is missing, no library, no plugin or of another version is refused by name") {
  const DeviceTable* table;
  CHECK(contains(device::open_plugin("/nowhere/gradmesh_cuda.so", &table),
                 "no GPU: the CUDA plugin /nowhere/gradmesh_cuda.so is not there"));
  CHECK(table == nullptr);
  char path[] = "/tmp/gradmesh-plugin-XXXXXX";
  const int file = mkstemp(path);
  CHECK(file >= 0);
  close(file);
  std::ofstream(path) << "not a library";
  CHECK(contains(device::open_plugin(path, &table), "cannot be opened"));
  unlink(path);
  Dl_info libc = {};
  CHECK(dladdr(reinterpret_cast<void*>(&getpid), &libc) != 0);
  char* whole = realpath(libc.dli_fname, nullptr);  // a program of its own kind, if libc is linked statically
  if (whole != nullptr) CHECK(!device::open_plugin(whole, &table));
  std::free(whole);
  const std::string own = std::to_string(kDeviceTableVersion),
                    later = std::to_string(kDeviceTableVersion + 1);
  CHECK(contains(device::open_plugin(GM_TEST_OTHER_PLUGIN, &table),
                 "version " + later + " of the table, this library has " + own));
}

TEST("CUDA's errors for no driver, no GPU and a broken driver are sentences") {
  CHECK(contains(count_with_error("35"), "no GPU: the NVIDIA driver is missing, or older"));
  CHECK(contains(count_with_error("100"), "no GPU: the NVIDIA driver finds no GPU"));
  CHECK(contains(count_with_error("999"), "no GPU: the NVIDIA driver does not start (CUDA error 999)"));
  CHECK(contains(count_with_error("2"), "no GPU: out of memory (CUDA error 2)"));
  CHECK(count_with_error("0"));
}

TEST("GRADMESH_CUDA_PLUGIN names the plugin; without it the one beside the program is opened") {
  CHECK(found_with(GM_TEST_PLUGIN).find("emulated") != std::string::npos);
  const std::string missing = found_with("/nowhere/x.so");
  CHECK_THAT(missing.find("no GPU: the CUDA plugin /nowhere/x.so is not there") == 0, missing);
  // The first thing to do on a machine without a driver is not to build a plugin.
  const std::string beside = found_with(nullptr);
  if (!device::driver().reason.empty()) CHECK_THAT(beside == "no GPU: " + device::driver().reason, beside);
  unsetenv("GRADMESH_CUDA_PLUGIN");
  CHECK(device::plugin_path().find("gradmesh_cuda.so") != std::string::npos);
}
