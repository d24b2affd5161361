// The plugin's table: CUDA's device, memory, stream and event calls one by one, and the kernels by row.
#include <cstring>

#include "codec/options.h"
#include "launch.h"
#include "ops/launchers.h"
#include "state/launchers.h"
#include "table.h"

namespace gradmesh {

// cuda/codec/<family>.cu defines <name>_loops. Weak: a row without a twin is a null in the table, which a
// test refuses, not a plugin that cannot be opened.
namespace cuda {
#define GM_CODEC(name, ...) __attribute__((weak)) extern const DeviceCodecLoops name##_loops;
#include "codec/registry.h"
}  // namespace cuda

namespace {

int device_count(uint32_t* count) {
  int found = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  *count = error == cudaSuccess ? static_cast<uint32_t>(found) : 0;
  return error;
}

uint32_t attribute(cudaDeviceAttr which, uint32_t device) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, static_cast<int>(device)) == cudaSuccess && value > 0
             ? static_cast<uint32_t>(value)
             : 0;
}

int device_properties(uint32_t device, DeviceProperties* properties) {
  cudaDeviceProp found;
  const cudaError_t error = cudaGetDeviceProperties(&found, static_cast<int>(device));
  if (error != cudaSuccess) return error;
  *properties = {};
  static_assert(sizeof found.name <= sizeof properties->name, "CUDA's name fits");
  std::memcpy(properties->name, found.name, sizeof found.name);
  properties->major = static_cast<uint32_t>(found.major);
  properties->minor = static_cast<uint32_t>(found.minor);
  properties->memory_bytes = found.totalGlobalMem;
  properties->multiprocessors = static_cast<uint32_t>(found.multiProcessorCount);
  properties->l2_bytes = static_cast<uint32_t>(found.l2CacheSize);
  properties->shared_bytes = static_cast<uint32_t>(found.sharedMemPerBlockOptin);
  properties->clock_khz = attribute(cudaDevAttrClockRate, device);
  properties->memory_clock_khz = attribute(cudaDevAttrMemoryClockRate, device);
  properties->memory_bus_bits = static_cast<uint32_t>(found.memoryBusWidth);
  return cudaSuccess;
}

int driver_version(uint32_t* version) {
  int found = 0;
  const cudaError_t error = cudaDriverGetVersion(&found);
  *version = static_cast<uint32_t>(found);
  return error;
}

int memory_free(uint64_t* bytes) {
  size_t free = 0, total = 0;
  const cudaError_t error = cudaMemGetInfo(&free, &total);
  *bytes = free;
  return error;
}

int event_done(DeviceEvent event, uint32_t* done) {
  const cudaError_t error = cudaEventQuery(event);
  *done = error == cudaSuccess;
  return error == cudaErrorNotReady ? cudaSuccess : error;
}

constexpr const DeviceCodecLoops* kCodecs[] = {
#define GM_CODEC(name, ...) &cuda::name##_loops,
#include "codec/registry.h"
};

constexpr DeviceOperator kOperators[] = {
#define GM_OP(name, id, inputs, outputs, integers, floats, doc)     \
  [](const ops::Arguments& arguments, DeviceStream stream) -> int { \
    return ops::device::name(arguments, stream);                    \
  },
#include "ops/ops.def"
#undef GM_OP
};

template <class T, size_t count>
constexpr uint32_t length(const T (&)[count]) {
  return static_cast<uint32_t>(count);
}

#if defined(__CUDACC__)
constexpr uint32_t kEmulated = 0;
#else
constexpr uint32_t kEmulated = 1;
#endif

constexpr DeviceTable make_table() {
  DeviceTable table = {};
  table.version = kDeviceTableVersion;
  table.table_bytes = sizeof(DeviceTable);
  table.options_bytes = sizeof(CodecOptions);
  table.key_bytes = sizeof(CodecKey);
  table.arguments_bytes = sizeof(ops::Arguments);
  table.emulated = kEmulated;
  table.build = GM_CUDA_BUILD;
  table.error_text = [](int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); };
  table.device_count = device_count;
  table.device_properties = device_properties;
  table.driver_version = driver_version;
  table.set_device = [](uint32_t device) -> int { return cudaSetDevice(static_cast<int>(device)); };
  table.memory_free = memory_free;
  table.allocate = [](size_t bytes, void** address) -> int { return cudaMalloc(address, bytes); };
  table.release = [](void* address) -> int { return cudaFree(address); };
  table.allocate_pinned = [](size_t bytes, void** address) -> int {
    return cudaHostAlloc(address, bytes, cudaHostAllocPortable);
  };
  table.release_pinned = [](void* address) -> int { return cudaFreeHost(address); };
  table.copy = [](void* target, const void* source, size_t bytes, DeviceStream stream) -> int {
    return cudaMemcpyAsync(target, source, bytes, cudaMemcpyDefault, stream);
  };
  table.fill = [](void* target, uint8_t byte, size_t bytes, DeviceStream stream) -> int {
    return cudaMemsetAsync(target, byte, bytes, stream);
  };
  table.stream_create = [](DeviceStream* stream) -> int {
    return cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
  };
  table.stream_destroy = [](DeviceStream stream) -> int { return cudaStreamDestroy(stream); };
  table.stream_synchronize = [](DeviceStream stream) -> int { return cudaStreamSynchronize(stream); };
  table.stream_wait = [](DeviceStream stream, DeviceEvent event) -> int {
    return cudaStreamWaitEvent(stream, event, 0);
  };
  table.event_create = [](DeviceEvent* event) -> int {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
  };
  table.event_destroy = [](DeviceEvent event) -> int { return cudaEventDestroy(event); };
  table.event_record = [](DeviceEvent event, DeviceStream stream) -> int {
    return cudaEventRecord(event, stream);
  };
  table.event_done = event_done;
  table.event_synchronize = [](DeviceEvent event) -> int { return cudaEventSynchronize(event); };
  table.event_elapsed = [](DeviceEvent begin, DeviceEvent end, float* milliseconds) -> int {
    return cudaEventElapsedTime(milliseconds, begin, end);
  };
  table.digest_scratch_bytes = cuda::digest_scratch_bytes;
  table.digest = [](const uint8_t* source, size_t bytes, void* scratch, uint8_t* digest,
                    DeviceStream stream) -> int {
    return cuda::digest(source, bytes, scratch, digest, stream);
  };
  table.codecs = length(kCodecs);
  table.operators = length(kOperators);
  table.codec = kCodecs;
  table.operation = kOperators;
  return table;
}

}  // namespace
}  // namespace gradmesh

extern "C" __attribute__((visibility("default"))) const gradmesh::DeviceTable* gradmesh_device_table() {
  static constexpr gradmesh::DeviceTable table = gradmesh::make_table();
  return &table;
}
