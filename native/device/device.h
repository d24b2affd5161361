// A GPU and what belongs to it, each freed by its owner: memory, streams, events. Thin: one call of the
// plugin's table each, with errors as sentences.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cuda/table.h"

namespace gradmesh::device {

class Device {
 public:
  // Device number `index` of this process's plugin, or of the given one. GM_UNSUPPORTED where there is no
  // GPU, GM_INVALID_ARGUMENT for an index that none has.
  static Status open(uint32_t index, std::shared_ptr<const Device>* device);
  static Status open(const DeviceTable& table, uint32_t index, std::shared_ptr<const Device>* device);

  const DeviceTable& table() const { return table_; }
  uint32_t index() const { return index_; }
  const DeviceProperties& properties() const { return properties_; }

  // Makes it the calling thread's: kernels may then be started in its streams. allocate() and create() below
  // do it themselves.
  Status use() const;
  // GM_OUT_OF_MEMORY, or GM_INTERNAL, for an error number of the table other than 0: what failed, on which
  // device, and why. A kernel's own fault shows at a later call of its stream.
  Status check(int error, const char* what) const;

 private:
  Device(const DeviceTable& table, uint32_t index) : table_(table), index_(index) {}
  const DeviceTable& table_;
  const uint32_t index_;
  DeviceProperties properties_ = {};
};

using SharedDevice = std::shared_ptr<const Device>;

// "cpu" (null), "cuda" (the first GPU) or "cuda:<index>". GM_INVALID_ARGUMENT for another name;
// GM_UNSUPPORTED where there is no GPU, with the reason.
Status open_named(std::string_view name, SharedDevice* device);

// Memory of a device, or of the host but pinned, so that copies to and from a device need no detour and
// overlap with kernels. Aligned to 256 bytes; undefined at first.
class Memory {
 public:
  enum class Kind { device, pinned };

  Memory() = default;
  static Status allocate(const SharedDevice& device, Kind kind, size_t bytes, Memory* memory);
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();

  template <class T = uint8_t>
  T* data() const {
    return static_cast<T*>(address_);
  }
  size_t bytes() const { return bytes_; }

 private:
  SharedDevice device_;
  Kind kind_ = Kind::device;
  void* address_ = nullptr;
  size_t bytes_ = 0;
};

class Event;

// Work in order. Copies and fills only begin; what they read and write must stay until a synchronize.
class Stream {
 public:
  Stream() = default;
  static Status create(const SharedDevice& device, Stream* stream);
  Stream(Stream&& other) noexcept { *this = std::move(other); }
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  DeviceStream handle() const { return handle_; }
  const SharedDevice& device() const { return device_; }
  // In any direction between device and host memory; a copy of host memory that is not pinned may wait.
  Status copy(void* target, const void* source, size_t bytes) const;
  Status fill(void* target, uint8_t byte, size_t bytes) const;
  // What comes next in this stream begins after the event.
  Status wait(const Event& event) const;
  Status synchronize() const;

 private:
  SharedDevice device_;
  DeviceStream handle_ = nullptr;
};

// A point in a stream's work.
class Event {
 public:
  Event() = default;
  static Status create(const SharedDevice& device, Event* event);
  Event(Event&& other) noexcept { *this = std::move(other); }
  Event& operator=(Event&& other) noexcept;
  ~Event();

  DeviceEvent handle() const { return handle_; }
  Status record(const Stream& stream) const;
  Status done(bool* done) const;
  Status synchronize() const;
  // Milliseconds from `begin` to this; both have been reached.
  Status elapsed_since(const Event& begin, float* milliseconds) const;

 private:
  SharedDevice device_;
  DeviceEvent handle_ = nullptr;
};

}  // namespace gradmesh::device
