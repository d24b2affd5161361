// Memory, streams and events of the emulated device.
#include "device/device.h"

#include <numeric>

#include "check.h"
#include "device/plugin.h"

using namespace gradmesh;
using device::Memory;

namespace {

device::SharedDevice open_device() {
  const DeviceTable* table;
  device::SharedDevice device;
  Status status = device::open_plugin(GM_TEST_PLUGIN, &table);
  if (status) status = device::Device::open(*table, 0, &device);
  CHECK_THAT(status, status.message());
  return device;
}

}  // namespace

TEST("a device says what it is; an index that none has is refused") {
  const auto device = open_device();
  CHECK(std::string(device->properties().name) == "emulated device");
  CHECK(device->properties().major >= 8 && device->properties().memory_bytes > 0);
  device::SharedDevice other;
  const Status status = device::Device::open(device->table(), 1, &other);
  CHECK(status.code() == GM_INVALID_ARGUMENT && status.message().find("device is 1") == 0);
}

TEST("bytes come back from a device as they went") {
  const auto device = open_device();
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{255}, size_t{100003}}) {
    Memory pinned, memory, back;
    device::Stream stream;
    CHECK(Memory::allocate(device, Memory::Kind::pinned, bytes, &pinned));
    CHECK(Memory::allocate(device, Memory::Kind::device, bytes, &memory));
    CHECK(Memory::allocate(device, Memory::Kind::pinned, bytes, &back));
    CHECK(device::Stream::create(device, &stream));
    CHECK(memory.bytes() == bytes && reinterpret_cast<uintptr_t>(memory.data()) % 256 == 0);
    for (size_t i = 0; i < bytes; i++) pinned.data()[i] = static_cast<uint8_t>(i * 31 + check::seed());
    CHECK(stream.copy(memory.data(), pinned.data(), bytes));
    CHECK(stream.copy(back.data(), memory.data(), bytes));
    CHECK(stream.synchronize());
    CHECK(bytes == 0 || std::memcmp(pinned.data(), back.data(), bytes) == 0);
    CHECK(stream.fill(memory.data(), 7, bytes));
    CHECK(stream.copy(back.data(), memory.data(), bytes));
    CHECK(stream.synchronize());
    for (size_t i = 0; i < bytes; i++) CHECK(back.data()[i] == 7);
  }
}

TEST("memory, streams and events move, and are freed once") {
  const auto device = open_device();
  Memory first, second;
  CHECK(Memory::allocate(device, Memory::Kind::device, 64, &first));
  const uint8_t* address = first.data();
  second = std::move(first);
  CHECK(second.data() == address && first.data() == nullptr && first.bytes() == 0);
  std::vector<Memory> many;
  for (int i = 0; i < 10; i++) {
    Memory memory;
    CHECK(Memory::allocate(device, Memory::Kind::pinned, 100, &memory));
    many.push_back(std::move(memory));
  }
}

TEST("too much memory is an error that says how much and where") {
  const auto device = open_device();
  Memory memory;
  const Status status = Memory::allocate(device, Memory::Kind::device, size_t{1} << 50, &memory);
  CHECK(status.code() == GM_OUT_OF_MEMORY);
  CHECK_THAT(
      status.message().find("allocating 1125899906842624 bytes on GPU 0 (emulated device) failed: out of "
                            "memory (CUDA error 2)") == 0,
      status.message());
  CHECK(memory.data() == nullptr);
}

TEST("events order streams and take times") {
  const auto device = open_device();
  device::Stream first, second;
  device::Event begin, end;
  CHECK(device::Stream::create(device, &first) && device::Stream::create(device, &second));
  CHECK(device::Event::create(device, &begin) && device::Event::create(device, &end));
  CHECK(begin.record(first) && second.wait(begin) && end.record(second) && end.synchronize());
  bool done = false;
  CHECK(end.done(&done) && done);
  float milliseconds = -1;
  CHECK(end.elapsed_since(begin, &milliseconds) && milliseconds >= 0);
}
