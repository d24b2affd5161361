#include "codec/device_coder.h"

#include <cstring>

#include "base/assert.h"

namespace gradmesh {
namespace {

// Bytes around each buffer on the device that a kernel must leave alone; they keep its alignment.
constexpr size_t kGuard = 256;
constexpr uint8_t kGuardByte = 0x5a;

constexpr size_t rounded_up(size_t bytes) { return (bytes + 15) / 16 * 16; }

}  // namespace

// Host memory and its image on the device.
class DeviceCoder::Buffer {
 public:
  Buffer(void* host, size_t bytes) : host_(static_cast<uint8_t*>(host)), bytes_(bytes) {}
  Buffer(const void* host, size_t bytes) : Buffer(const_cast<void*>(host), bytes) {}

  Status send(const device::SharedDevice& device, const device::Stream& stream) {
    image_.assign(bytes_ + 2 * kGuard, kGuardByte);
    if (bytes_ > 0) std::memcpy(image_.data() + kGuard, host_, bytes_);
    GM_TRY(device::Memory::allocate(device, device::Memory::Kind::device, image_.size(), &memory_));
    return stream.copy(memory_.data(), image_.data(), image_.size());
  }
  Status fetch(const device::Stream& stream) {
    return stream.copy(image_.data(), memory_.data(), image_.size());
  }
  // After the stream's synchronize.
  Status take() {
    for (size_t i = 0; i < kGuard; i++)
      if (image_[i] != kGuardByte || image_[kGuard + bytes_ + i] != kGuardByte)
        return {GM_INTERNAL, "a kernel wrote outside its memory"};
    if (bytes_ > 0) std::memcpy(host_, image_.data() + kGuard, bytes_);
    return Status::ok();
  }
  uint8_t* bytes() const { return memory_.data() + kGuard; }
  float* floats() const { return reinterpret_cast<float*>(bytes()); }

 private:
  uint8_t* host_;
  size_t bytes_;
  std::vector<uint8_t> image_;
  device::Memory memory_;
};

Status DeviceCoder::create(const device::SharedDevice& device, const Codec& codec, DeviceCoder* coder) {
  const DeviceTable& table = device->table();
  if (table.options_bytes != sizeof(CodecOptions) || table.key_bytes != sizeof(CodecKey))
    return {GM_UNSUPPORTED, "the CUDA plugin was built from other headers of codecs than this library"};
  if (codec.row >= table.codecs || table.codec[codec.row] == nullptr)
    return {GM_UNSUPPORTED, std::string("the CUDA plugin has no twin of codec ") + codec.name};
  coder->device_ = device;
  coder->codec_ = &codec;
  coder->loops_ = table.codec[codec.row];
  return device::Stream::create(device, &coder->stream_);
}

template <class Invoke>
Status DeviceCoder::run(const char* what, size_t elements, uint32_t ranks,
                        std::initializer_list<Buffer*> read, std::initializer_list<Buffer*> written,
                        Invoke invoke) {
  GM_TRY(device_->use());
  const size_t bytes =
      loops_->scratch_bytes == nullptr ? 0 : loops_->scratch_bytes(codec_->options, elements, ranks);
  if (scratch_.bytes() < bytes)
    GM_TRY(device::Memory::allocate(device_, device::Memory::Kind::device, bytes, &scratch_));
  for (Buffer* buffer : read) GM_TRY(buffer->send(device_, stream_));
  for (Buffer* buffer : written) GM_TRY(buffer->send(device_, stream_));
  GM_TRY(device_->check(invoke(), what));
  for (Buffer* buffer : written) GM_TRY(buffer->fetch(stream_));
  GM_TRY(stream_.synchronize());
  for (Buffer* buffer : written) GM_TRY(buffer->take());
  return Status::ok();
}

Status DeviceCoder::encode(const CodecKey& key, const float* source, size_t elements, uint8_t* wire) {
  Buffer floats(source, elements * sizeof(float)), bytes(wire, codec_->bytes(elements));
  return run("encode", elements, 1, {&floats}, {&bytes}, [&] {
    return loops_->encode(codec_->options, key, floats.floats(), elements, bytes.bytes(), scratch_.data(),
                          stream_.handle());
  });
}

Status DeviceCoder::decode(const CodecKey& key, const uint8_t* wire, size_t elements, float* target) {
  Buffer bytes(wire, codec_->bytes(elements)), floats(target, elements * sizeof(float));
  return run("decode", elements, 1, {&bytes}, {&floats}, [&] {
    return loops_->decode(codec_->options, key, bytes.bytes(), elements, floats.floats(), scratch_.data(),
                          stream_.handle());
  });
}

Status DeviceCoder::decode_add(const CodecKey& key, const uint8_t* wire, size_t elements, float* target) {
  Buffer bytes(wire, codec_->bytes(elements)), floats(target, elements * sizeof(float));
  return run("decode_add", elements, 1, {&bytes}, {&floats}, [&] {
    return loops_->decode_add(codec_->options, key, bytes.bytes(), elements, floats.floats(), scratch_.data(),
                              stream_.handle());
  });
}

Status DeviceCoder::decode_add_encode(const CodecKey& from, const CodecKey& to, const uint8_t* wire,
                                      const float* source, size_t elements, uint8_t* result) {
  if (loops_->decode_add_encode == nullptr) {
    std::vector<float> sum(source, source + elements);
    GM_TRY(decode_add(from, wire, elements, sum.data()));
    return encode(to, sum.data(), elements, result);
  }
  Buffer bytes(wire, codec_->bytes(elements)), floats(source, elements * sizeof(float));
  Buffer coded(result, codec_->bytes(elements));
  return run("decode_add_encode", elements, 1, {&bytes, &floats}, {&coded}, [&] {
    return loops_->decode_add_encode(codec_->options, from, to, bytes.bytes(), floats.floats(), elements,
                                     coded.bytes(), scratch_.data(), stream_.handle());
  });
}

Status DeviceCoder::mean(const CodecKey& key, const uint8_t* const* wires, uint32_t ranks, size_t elements,
                         uint8_t* wire) {
  const size_t length = codec_->bytes(elements), stride = rounded_up(length);
  std::vector<uint8_t> all(stride * ranks);
  for (uint32_t i = 0; i < ranks && length > 0; i++) std::memcpy(all.data() + i * stride, wires[i], length);
  Buffer contributions(all.data(), all.size()), coded(wire, length);
  return run("mean", elements, ranks, {&contributions}, {&coded}, [&] {
    return loops_->mean(codec_->options, key, contributions.bytes(), stride, ranks, elements, coded.bytes(),
                        scratch_.data(), stream_.handle());
  });
}

Status DeviceCoder::accumulate(const CodecKey& key, const uint8_t* wire, size_t elements, uint8_t* sum) {
  GM_ASSERT(accumulates());
  Buffer bytes(wire, codec_->bytes(elements));
  Buffer total(sum, codec_loops(*codec_).sum_bytes(codec_->options, elements));
  return run("accumulate", elements, 1, {&bytes}, {&total}, [&] {
    return loops_->accumulate(codec_->options, key, bytes.bytes(), elements, total.bytes(), scratch_.data(),
                              stream_.handle());
  });
}

Status DeviceCoder::finish(const CodecKey& key, const uint8_t* sum, uint32_t ranks, size_t elements,
                           uint8_t* wire) {
  GM_ASSERT(accumulates());
  Buffer total(sum, codec_loops(*codec_).sum_bytes(codec_->options, elements));
  Buffer coded(wire, codec_->bytes(elements));
  return run("finish", elements, ranks, {&total}, {&coded}, [&] {
    return loops_->finish(codec_->options, key, total.bytes(), ranks, elements, coded.bytes(),
                          scratch_.data(), stream_.handle());
  });
}

}  // namespace gradmesh
