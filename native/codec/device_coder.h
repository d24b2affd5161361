// A codec's twin on a device, called with host memory: copies in, codes, copies out, waits. For golden
// vectors and tests; work that stays on a device calls the plugin's table itself.
#pragma once
#include <initializer_list>
#include <vector>

#include "codec/codec.h"
#include "codec/loops.h"
#include "device/device.h"

namespace gradmesh {

// Each function is its namesake of CodecLoops, with GM_INTERNAL where the device fails or a kernel writes
// outside the memory that is its own.
class DeviceCoder {
 public:
  // GM_UNSUPPORTED where the plugin has no twin of the codec, or was built from other headers than this
  // library.
  static Status create(const device::SharedDevice& device, const Codec& codec, DeviceCoder* coder);

  Status encode(const CodecKey& key, const float* source, size_t elements, uint8_t* wire);
  Status decode(const CodecKey& key, const uint8_t* wire, size_t elements, float* target);
  Status decode_add(const CodecKey& key, const uint8_t* wire, size_t elements, float* target);
  // Where the twin has no fused form: decode_add to a copy of source, then encode.
  Status decode_add_encode(const CodecKey& from, const CodecKey& to, const uint8_t* wire, const float* source,
                           size_t elements, uint8_t* result);
  Status mean(const CodecKey& key, const uint8_t* const* wires, uint32_t ranks, size_t elements,
              uint8_t* wire);

  // Whether the twin sums contributions as they come; else the two below are not to be called.
  bool accumulates() const {
    return codec_->traits.exact_sum && loops_->accumulate != nullptr && loops_->finish != nullptr;
  }
  Status accumulate(const CodecKey& key, const uint8_t* wire, size_t elements, uint8_t* sum);
  Status finish(const CodecKey& key, const uint8_t* sum, uint32_t ranks, size_t elements, uint8_t* wire);

 private:
  class Buffer;
  // Sends both lists, invokes a function of the twin, and brings back what it wrote.
  template <class Invoke>
  Status run(const char* what, size_t elements, uint32_t ranks, std::initializer_list<Buffer*> read,
             std::initializer_list<Buffer*> written, Invoke invoke);

  device::SharedDevice device_;
  const Codec* codec_ = nullptr;
  const DeviceCodecLoops* loops_ = nullptr;
  device::Stream stream_;
  device::Memory scratch_;
};

}  // namespace gradmesh
