#include "device/device.h"

#include <charconv>
#include <utility>

#include "device/plugin.h"

namespace gradmesh::device {
namespace {

constexpr int kOutOfMemory = 2;  // cudaErrorMemoryAllocation

}  // namespace

Status open_named(std::string_view name, SharedDevice* device) {
  constexpr std::string_view kCuda = "cuda";
  device->reset();
  if (name == "cpu") return Status::ok();
  uint32_t index = 0;
  const std::string_view rest = name.starts_with(kCuda) ? name.substr(kCuda.size()) : "?";
  const char* end = rest.data() + rest.size();
  bool known = rest.empty();
  if (rest.size() > 1 && rest[0] == ':') {
    const auto [stop, error] = std::from_chars(rest.data() + 1, end, index);
    known = error == std::errc() && stop == end;
  }
  if (known) return Device::open(index, device);
  return {GM_INVALID_ARGUMENT,
          "device is \"" + std::string(name) + "\"; allowed: cpu, cuda, or cuda:<index> such as cuda:1"};
}

Status Device::open(uint32_t index, std::shared_ptr<const Device>* device) {
  const DeviceTable* table;
  GM_TRY(find_plugin(&table));
  return open(*table, index, device);
}

Status Device::open(const DeviceTable& table, uint32_t index, std::shared_ptr<const Device>* device) {
  uint32_t devices;
  GM_TRY(count_devices(table, &devices));
  if (index >= devices)
    return {GM_INVALID_ARGUMENT, "device is " + std::to_string(index) + "; this machine has " +
                                     std::to_string(devices) + ", numbered from 0"};
  std::shared_ptr<Device> opened(new Device(table, index));
  GM_TRY(opened->check(table.device_properties(index, &opened->properties_), "reading the properties"));
  GM_TRY(opened->use());
  *device = std::move(opened);
  return Status::ok();
}

Status Device::use() const { return check(table_.set_device(index_), "choosing the device"); }

Status Device::check(int error, const char* what) const {
  if (error == 0) return Status::ok();
  const std::string text = std::string(what) + " on GPU " + std::to_string(index_) + " (" + properties_.name +
                           ") failed: " + table_.error_text(error) + " (CUDA error " + std::to_string(error) +
                           ")";
  return {error == kOutOfMemory ? GM_OUT_OF_MEMORY : GM_INTERNAL, text};
}

Status Memory::allocate(const SharedDevice& device, Kind kind, size_t bytes, Memory* memory) {
  Memory made;
  GM_TRY(device->use());
  const auto allocate = kind == Kind::device ? device->table().allocate : device->table().allocate_pinned;
  const std::string what =
      "allocating " + std::to_string(bytes) + " bytes" + (kind == Kind::pinned ? " pinned" : "");
  if (bytes > 0) GM_TRY(device->check(allocate(bytes, &made.address_), what.c_str()));
  made.device_ = device;
  made.kind_ = kind;
  made.bytes_ = bytes;
  *memory = std::move(made);
  return Status::ok();
}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(kind_, other.kind_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

// What frees ignores errors: they are those of earlier work, and its synchronize has told of them.
Memory::~Memory() {
  if (address_ != nullptr)
    (kind_ == Kind::device ? device_->table().release : device_->table().release_pinned)(address_);
}

Status Stream::create(const SharedDevice& device, Stream* stream) {
  Stream made;
  GM_TRY(device->use());
  GM_TRY(device->check(device->table().stream_create(&made.handle_), "creating a stream"));
  made.device_ = device;
  *stream = std::move(made);
  return Status::ok();
}

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  return *this;
}

Stream::~Stream() {
  if (handle_ != nullptr) device_->table().stream_destroy(handle_);
}

Status Stream::copy(void* target, const void* source, size_t bytes) const {
  if (bytes == 0) return Status::ok();
  return device_->check(device_->table().copy(target, source, bytes, handle_), "copying");
}

Status Stream::fill(void* target, uint8_t byte, size_t bytes) const {
  if (bytes == 0) return Status::ok();
  return device_->check(device_->table().fill(target, byte, bytes, handle_), "filling memory");
}

Status Stream::wait(const Event& event) const {
  return device_->check(device_->table().stream_wait(handle_, event.handle()), "waiting for an event");
}

Status Stream::synchronize() const {
  return device_->check(device_->table().stream_synchronize(handle_), "the work of a stream");
}

Status Event::create(const SharedDevice& device, Event* event) {
  Event made;
  GM_TRY(device->use());
  GM_TRY(device->check(device->table().event_create(&made.handle_), "creating an event"));
  made.device_ = device;
  *event = std::move(made);
  return Status::ok();
}

Event& Event::operator=(Event&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  return *this;
}

Event::~Event() {
  if (handle_ != nullptr) device_->table().event_destroy(handle_);
}

Status Event::record(const Stream& stream) const {
  return device_->check(device_->table().event_record(handle_, stream.handle()), "recording an event");
}

Status Event::done(bool* done) const {
  uint32_t reached = 0;
  GM_TRY(device_->check(device_->table().event_done(handle_, &reached), "the work before an event"));
  *done = reached != 0;
  return Status::ok();
}

Status Event::synchronize() const {
  return device_->check(device_->table().event_synchronize(handle_), "the work before an event");
}

Status Event::elapsed_since(const Event& begin, float* milliseconds) const {
  return device_->check(device_->table().event_elapsed(begin.handle(), handle_, milliseconds), "timing");
}

}  // namespace gradmesh::device
