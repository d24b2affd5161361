// What the CUDA plugin gives the rest of gradmesh: one table of functions behind one exported symbol, without
// a CUDA header. The plugin is a library of its own, opened at run time, since a machine may have no driver;
// the same sources make an emulated one for tests.
//
// Every function that can fail returns CUDA's error number, 0 for success; error_text() says it in words.
// Kernels run on the current device of the calling thread (set_device) in the caller's stream, and nothing
// waits but what is called synchronize, and free functions.
#pragma once
#include <cstddef>
#include <cstdint>

struct CUstream_st;  // CUDA's own names, so that its types and these are the same
struct CUevent_st;

namespace gradmesh {

struct CodecOptions;
struct CodecKey;
namespace ops {
struct Arguments;
}

using DeviceStream = CUstream_st*;
using DeviceEvent = CUevent_st*;

struct DeviceProperties {
  char name[256];
  uint32_t major, minor;  // the compute capability
  uint64_t memory_bytes;
  uint32_t multiprocessors;
  uint32_t l2_bytes;
  uint32_t shared_bytes;      // that one block may have
  uint32_t clock_khz;         // at most; 0: the driver does not say
  uint32_t memory_clock_khz;  // likewise
  uint32_t memory_bus_bits;
};

// The twins of CodecLoops (codec/codec.h), in device memory, with the same bytes for the same arguments. They
// differ in this:
// - options and key are in host memory, and read before the function returns; everything else is in device
// memory;
// - every device address is a multiple of 16, as cudaMalloc and chunks cut at multiples of a block give it.
// So the coded
//   elements at a wire's start can be taken 16 bytes at a time. What lies behind them has the alignment that
//   their bytes leave: an fp32 scale behind 5 int8 must be taken by bytes;
// - contribution i of mean() begins at wires + i * stride bytes; stride is a multiple of 16;
// - scratch is scratch_bytes() long, aligned to 256, and its content at the start is undefined. One call's
// scratch may be
//   the next one's in the same stream. null scratch_bytes: none is needed, scratch may be null;
// - elements = 0 is a success that does nothing (mean and encode of 0 elements write no byte).
struct DeviceCodecLoops {
  int (*encode)(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
                uint8_t* wire, void* scratch, DeviceStream stream);
  int (*decode)(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                float* target, void* scratch, DeviceStream stream);
  int (*decode_add)(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                    float* target, void* scratch, DeviceStream stream);
  // null where there is no fused form: then decode_add to a copy and encode.
  int (*decode_add_encode)(const CodecOptions& options, const CodecKey& from, const CodecKey& to,
                           const uint8_t* wire, const float* source, size_t elements, uint8_t* result,
                           void* scratch, DeviceStream stream);
  int (*mean)(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
              uint32_t ranks, size_t elements, uint8_t* wire, void* scratch, DeviceStream stream);
  // null, or of exact_sum codecs. `sum` has the layout and the bytes of the CPU's, sum_bytes() long.
  int (*accumulate)(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                    uint8_t* sum, void* scratch, DeviceStream stream);
  int (*finish)(const CodecOptions& options, const CodecKey& key, const uint8_t* sum, uint32_t ranks,
                size_t elements, uint8_t* wire, void* scratch, DeviceStream stream);
  // The most that any of the functions above needs; ranks of mean (1 for the others).
  size_t (*scratch_bytes)(const CodecOptions& options, size_t elements, uint32_t ranks);
};

// An operator of ops.def: tensors and scratch in device memory, integers and floats in host memory, read
// before it returns.
using DeviceOperator = int (*)(const ops::Arguments& arguments, DeviceStream stream);

// Raised with every change of this file.
inline constexpr uint32_t kDeviceTableVersion = 2;

struct DeviceTable {
  uint32_t version;                                    // kDeviceTableVersion of the plugin's build
  uint32_t table_bytes;                                // and sizes of what crosses: a cheap check that
  uint32_t options_bytes, key_bytes, arguments_bytes;  // both sides were built from the same headers
  uint32_t emulated;                                   // 1: runs on the CPU, for tests
  const char* build;                                   // the compiler and its flags, for reports

  const char* (*error_text)(int error);
  int (*device_count)(uint32_t* count);
  int (*device_properties)(uint32_t device, DeviceProperties* properties);
  int (*driver_version)(uint32_t* version);  // 13000 is CUDA 13.0
  int (*set_device)(uint32_t device);
  int (*memory_free)(uint64_t* bytes);

  int (*allocate)(size_t bytes, void** address);  // of the current device; aligned to 256
  int (*release)(void* address);
  int (*allocate_pinned)(size_t bytes,
                         void** address);  // host memory that every device copies from without a detour
  int (*release_pinned)(void* address);
  int (*copy)(void* target, const void* source, size_t bytes, DeviceStream stream);  // in any direction
  int (*fill)(void* target, uint8_t byte, size_t bytes, DeviceStream stream);

  int (*stream_create)(DeviceStream* stream);
  int (*stream_destroy)(DeviceStream stream);
  int (*stream_synchronize)(DeviceStream stream);
  int (*stream_wait)(DeviceStream stream, DeviceEvent event);  // what comes next in stream begins after event
  int (*event_create)(DeviceEvent* event);
  int (*event_destroy)(DeviceEvent event);
  int (*event_record)(DeviceEvent event, DeviceStream stream);
  int (*event_done)(DeviceEvent event, uint32_t* done);
  int (*event_synchronize)(DeviceEvent event);
  int (*event_elapsed)(DeviceEvent begin, DeviceEvent end, float* milliseconds);

  // BLAKE3 of source[bytes] -> digest[32], the bytes of native/state/digest.h; all in device memory, source
  // and scratch[digest_scratch_bytes(bytes)] at multiples of 16.
  size_t (*digest_scratch_bytes)(size_t bytes);
  int (*digest)(const uint8_t* source, size_t bytes, void* scratch, uint8_t* digest, DeviceStream stream);

  uint32_t codecs, operators;            // rows of codecs.def and of ops.def
  const DeviceCodecLoops* const* codec;  // by row id; null: this build has no twin of it
  const DeviceOperator* operation;       // by row id; null likewise
};

// The plugin's only symbol. Never null, on a machine without a GPU too.
inline constexpr char kDeviceTableSymbol[] = "gradmesh_device_table";
using DeviceTableFunction = const DeviceTable* (*)();

}  // namespace gradmesh
