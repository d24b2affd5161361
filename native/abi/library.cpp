// The C ABI of the machine: what CPU and GPU there are, and which backend runs.
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "abi/abi.h"
#include "device/device.h"
#include "device/plugin.h"
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

std::string describe(const DeviceProperties& properties) {
  return std::string(properties.name) + " (sm_" + std::to_string(properties.major) +
         std::to_string(properties.minor) + ", " + std::to_string(properties.memory_bytes >> 20) + " MiB, " +
         std::to_string(properties.multiprocessors) + " multiprocessors)";
}

Status look_for_gpu(std::vector<std::string>* devices) {
  const DeviceTable* table;
  uint32_t count;
  GM_TRY(device::find_plugin(&table));
  GM_TRY(device::count_devices(*table, &count));
  for (uint32_t i = 0; i < count; i++) {
    device::SharedDevice device;
    GM_TRY(device::Device::open(*table, i, &device));
    devices->push_back(describe(device->properties()));
  }
  return Status::ok();
}

Gpu read_gpu() {
  Gpu gpu;
  const Status status = look_for_gpu(&gpu.devices);
  if (status) return gpu;
  static constexpr std::string_view kPrefix = "no GPU: ";  // the reader's sentence says so itself
  const std::string& message = status.message();
  return {message.starts_with(kPrefix) ? message.substr(kPrefix.size()) : message, {}};
}

std::string capabilities() {
  static const Cpu cpu = read_cpu();
  static const Gpu gpu = read_gpu();  // once: starting a driver takes long
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

int32_t gm_device_check(gm_text device) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"device", device}}));
    device::SharedDevice found;
    return device::open_named(abi::view(device), &found);
  });
}

int32_t gm_capabilities(gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    return abi::copy_text(capabilities(), result);
  });
}

}  // extern "C"
