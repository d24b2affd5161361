// The C ABI of the machine: what CPU and GPU there are, and which backend runs.
#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "abi/abi.h"
#include "numeric/backend.h"

using namespace gradmesh;

namespace {

std::string quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "\"";
}

std::string list(const std::vector<std::string>& items) {
  std::string json = "[";
  for (const std::string& item : items) json += (json.size() > 1 ? "," : "") + quote(item);
  return json + "]";
}

struct Cpu {
  std::string model = "unknown";
  std::vector<std::string> features;  // those that kernels, digests or links gain from
};

Cpu read_cpu() {
  static constexpr const char* kMatter[] = {"avx2",     "fma",      "f16c",        "avx512f",     "avx512bw",
                                            "avx512dq", "avx512vl", "avx512_bf16", "avx512_vnni", "amx_tile",
                                            "aes",      "vaes",     "vpclmulqdq",  "sha_ni",      "asimd",
                                            "sve",      "pmull",    "sha2"};
  Cpu cpu;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !line.empty();) {  // the first processor's lines
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string value = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
    if (line.starts_with("model name")) cpu.model = value;
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    std::istringstream words(value);
    for (std::string word; words >> word;)
      for (const char* name : kMatter)
        if (word == name) cpu.features.push_back(word);
  }
  return cpu;
}

struct Gpu {
  std::string reason;  // why there is none; empty when there is
  std::vector<std::string> devices;
};

// The CUDA driver API's stable entry points (cuda.h); the library is never closed, as drivers keep threads.
Gpu look_for_gpu() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
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
    void* address = dlsym(driver, name);
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
  Gpu gpu;
  for (int i = 0; i < devices; i++) {
    int device = 0;
    char name[256] = {};
    const bool named = get(&device, i) == 0 && get_name(name, sizeof name - 1, device) == 0;
    gpu.devices.push_back(named ? name : "unnamed");
  }
  return gpu;
}

std::string capabilities() {
  static const Cpu cpu = read_cpu();
  static const Gpu gpu = look_for_gpu();  // once: starting a driver takes long
  std::vector<std::string> backends;
  for (const backend::Backend each : backend::available()) backends.push_back(backend::name(each));
  std::string json = "{\"cpu\":{\"model\":" + quote(cpu.model) + ",\"features\":" + list(cpu.features) + "}";
  json += ",\"backends\":" + list(backends) + ",\"backend\":" + quote(backend::name(backend::active()));
  json += ",\"threads\":" + std::to_string(std::thread::hardware_concurrency());
  json += ",\"gpu\":{\"available\":" + std::string(gpu.reason.empty() ? "true" : "false");
  return json + ",\"reason\":" + quote(gpu.reason) + ",\"devices\":" + list(gpu.devices) + "}}";
}

}  // namespace

extern "C" {

int32_t gm_backend_force(gm_text name) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"name", name}}));
    return backend::force(abi::string(name));
  });
}

int32_t gm_capabilities(gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    return abi::copy_text(capabilities(), result);
  });
}

}  // extern "C"
