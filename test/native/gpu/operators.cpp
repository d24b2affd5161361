// Every operator's kernels against the CPU, by bytes, in device memory.
#include "../ops/support.h"
#include "device.h"

using namespace support;
using gradmesh::device::Memory;
using gradmesh::device::Stream;

namespace {

constexpr size_t kGuard =
    64;  // floats behind each tensor that a kernel must leave alone; also keeps 256-byte starts

// The tensors of a case on the device, each `shift` floats past a 256-byte boundary and with NaN around it.
struct Placed {
  std::vector<Memory> memory;
  std::vector<float*> starts;
  Memory scratch;
  Stream stream;
};

Status place(const std::vector<Floats>& tensors, size_t shift, uint64_t scratch_floats, Placed* placed) {
  const auto& device = gpu_test::suite().device;
  GM_TRY(Stream::create(device, &placed->stream));
  GM_TRY(Memory::allocate(device, Memory::Kind::device, scratch_floats * sizeof(float), &placed->scratch));
  for (const Floats& tensor : tensors) {
    Floats image(tensor.size() + 2 * kGuard + shift, exact::quiet_nan());
    std::copy(tensor.begin(), tensor.end(), image.begin() + static_cast<ptrdiff_t>(kGuard + shift));
    Memory memory;
    GM_TRY(Memory::allocate(device, Memory::Kind::device, image.size() * sizeof(float), &memory));
    GM_TRY(placed->stream.copy(memory.data(), image.data(), image.size() * sizeof(float)));
    GM_TRY(placed->stream.synchronize());
    placed->starts.push_back(memory.data<float>() + kGuard + shift);
    placed->memory.push_back(std::move(memory));
  }
  return Status::ok();
}

Status fetch(const Placed& placed, size_t shift, const std::string& where, std::vector<Floats>& tensors) {
  for (size_t t = 0; t < tensors.size(); t++) {
    Floats image(tensors[t].size() + 2 * kGuard + shift);
    GM_TRY(placed.stream.copy(image.data(), placed.memory[t].data(), image.size() * sizeof(float)));
    GM_TRY(placed.stream.synchronize());
    for (size_t i = 0; i < image.size(); i++) {
      const bool inside = i >= kGuard + shift && i < kGuard + shift + tensors[t].size();
      if (inside)
        tensors[t][i - kGuard - shift] = image[i];
      else
        CHECK_THAT(exact::bits(image[i]) == 0x7fc00000u,
                   where + ": wrote outside tensor " + std::to_string(t));
    }
  }
  return Status::ok();
}

// Leaves the outputs, and the inputs as the kernels left them, in tensors.
Status run_on_device(const Case& c, std::vector<Floats>& tensors, size_t shift) {
  const auto& device = gpu_test::suite().device;
  const gradmesh::ops::OpRow& row = *gradmesh::ops::op_find(static_cast<uint32_t>(c.op));
  Placed placed;
  GM_TRY(place(tensors, shift, shape_of(c).device_scratch, &placed));
  gradmesh::ops::Arguments arguments = {};
  for (size_t t = 0; t < tensors.size(); t++) {
    if (t < row.inputs)
      arguments.inputs[t] = placed.starts[t];
    else
      arguments.outputs[t - row.inputs] = placed.starts[t];
  }
  arguments.integers = c.integers.data();
  arguments.floats = c.floats.data();
  arguments.scratch = placed.scratch.data<float>();
  const gradmesh::DeviceOperator launch = device->table().operation[static_cast<uint32_t>(c.op)];
  GM_TRY(device->check(launch(arguments, placed.stream.handle()), "the operator"));
  return fetch(placed, shift, describe(c), tensors);
}

void compare(const Case& c, size_t shift) {
  const std::vector<Floats> tensors = make_tensors(c, check::seed());
  std::vector<Floats> expected = tensors, found = tensors;
  const Status cpu = run_case(c, expected), gpu = run_on_device(c, found, shift);
  CHECK_THAT(bool(cpu), describe(c) + ": " + cpu.message());
  CHECK_THAT(bool(gpu), describe(c) + ": " + gpu.message());
  for (size_t t = 0; t < tensors.size(); t++) {
    const bool same =
        std::memcmp(expected[t].data(), found[t].data(), expected[t].size() * sizeof(float)) == 0;
    CHECK_THAT(same, describe(c) + ": tensor " + std::to_string(t) + " differs from the CPU's");
  }
}

}  // namespace

TEST("operators: the device's bytes are the CPU's") {
  CHECK(gpu_test::suite().device->table().arguments_bytes == sizeof(gradmesh::ops::Arguments));
  for (const Case& c : awkward_cases())
    for (const size_t shift : {0, 1}) compare(c, shift);
}

TEST("operators: the device's bytes are the CPU's at the sizes of a model") {
  if (!gpu_test::suite().large) return;
  const std::vector<Case> cases = {{Op::matmul, {1024, 768, 3072, 1}, {}},
                                   {Op::matmul_backward_input, {1024, 768, 3072}, {}},
                                   {Op::matmul_backward_weight, {1024, 768, 3072}, {}},
                                   {Op::attention, {4, 256, 12, 768}, {}},
                                   {Op::attention_backward, {4, 256, 12, 768}, {}},
                                   {Op::layernorm, {1024, 768}, {1e-5}},
                                   {Op::cross_entropy, {512, 50257}, {}},
                                   {Op::adamw, {1 << 22}, {0.9, 0.999, 1e-8, 0.1}},
                                   {Op::adaptive, {1 << 22, 1}, {0.9, 0.99, 1e-3}},
                                   {Op::axpby, {(1 << 24) + 5}, {}},
                                   {Op::scatter, {1 << 24, 1 << 20}, {}},
                                   {Op::gather, {1 << 24, 1 << 20}, {}},
                                   {Op::dot, {1 << 22}, {}},
                                   {Op::im2col, {64, 32, 32, 16, 3, 1, 1}, {}},
                                   {Op::col2im, {64, 32, 32, 16, 3, 1, 1}, {}}};
  for (const Case& c : cases) compare(c, 0);
}
