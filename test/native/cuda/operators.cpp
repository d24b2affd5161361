// Every operator's CUDA kernels, on the emulator, against the CPU's by bytes: over awkward shapes, raw bits,
// alignments and the emulator's orders.
#include <algorithm>

#include "../../../cuda/launch.h"
#include "../../../cuda/ops/launchers.h"
#include "../ops/support.h"

using namespace support;

namespace {

using Launcher = cudaError_t (*)(const gradmesh::ops::Arguments&, cudaStream_t);
constexpr Launcher kLaunchers[] = {
#define GM_OP(name, ...) gradmesh::ops::device::name,
#include "ops/ops.def"
#undef GM_OP
};

// Runs c on tensors as a device would hold them, each `shift` floats past its 256-byte boundary, and leaves
// the outputs there. What follows a tensor is NaN, and must stay as it was.
cudaError_t run_on_device(const Case& c, std::vector<Floats>& tensors, size_t shift) {
  constexpr size_t kMargin = 64;
  const gradmesh::ops::OpRow& row = *gradmesh::ops::op_find(static_cast<uint32_t>(c.op));
  const gradmesh::ops::Shape shape = shape_of(c);
  std::vector<Floats> memory(tensors.size());
  std::vector<float*> starts;
  for (size_t t = 0; t < tensors.size(); t++) {
    memory[t].assign(tensors[t].size() + 2 * kMargin + shift, exact::quiet_nan());
    starts.push_back(
        reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory[t].data()) + 255) / 256 * 256) + shift);
    std::memcpy(starts[t], tensors[t].data(), tensors[t].size() * 4);
  }
  Floats scratch(shape.device_scratch, exact::quiet_nan());
  gradmesh::ops::Arguments arguments = {};
  for (size_t t = 0; t < tensors.size(); t++) {
    if (t < row.inputs)
      arguments.inputs[t] = starts[t];
    else
      arguments.outputs[t - row.inputs] = starts[t];
  }
  arguments.integers = c.integers.data();
  arguments.floats = c.floats.data();
  arguments.scratch = scratch.data();
  const cudaError_t error = kLaunchers[static_cast<uint32_t>(c.op)](arguments, nullptr);
  for (size_t t = 0; t < tensors.size(); t++) {
    for (const float* p = memory[t].data(); p < memory[t].data() + memory[t].size(); p++)
      if (p < starts[t] || p >= starts[t] + tensors[t].size())
        CHECK_THAT(exact::bits(*p) == 0x7fc00000u,
                   describe(c) + ": wrote outside tensor " + std::to_string(t));
    if (t < row.inputs)
      CHECK_THAT(std::memcmp(starts[t], tensors[t].data(), tensors[t].size() * 4) == 0,
                 describe(c) + ": wrote an input");
    else
      std::memcpy(tensors[t].data(), starts[t], tensors[t].size() * 4);
  }
  return error;
}

std::string difference(const std::vector<Floats>& a, const std::vector<Floats>& b, bool any_nan) {
  for (size_t t = 0; t < a.size(); t++)
    for (size_t i = 0; i < a[t].size(); i++)
      if (exact::bits(a[t][i]) != exact::bits(b[t][i]) &&
          !(any_nan && exact::is_nan(a[t][i]) && exact::is_nan(b[t][i])))
        return "tensor " + std::to_string(t) + " at " + std::to_string(i) + " is " + std::to_string(b[t][i]) +
               ", the CPU's " + std::to_string(a[t][i]);
  return "";
}

void compare(const Case& c, const std::vector<Floats>& tensors, size_t shift, bool any_nan = false) {
  std::vector<Floats> expected = tensors, found = tensors;
  const Status status = run_case(c, expected);
  CHECK_THAT(bool(status), describe(c) + ": " + status.message());
  const cudaError_t error = run_on_device(c, found, shift);
  CHECK_THAT(error == cudaSuccess, describe(c) + ": " + cudaGetErrorString(error));
  const std::string what = difference(expected, found, any_nan);
  CHECK_THAT(what.empty(), describe(c) + ": " + what);
}

// Shapes at which a kernel goes another way than at support's: rows past what registers hold, every tile of a
// product with and without accesses of 16 bytes, more tokens than one tile, sums longer than one tile.
std::vector<Case> device_cases() {
  std::vector<Case> cases;
  const auto add = [&](Op op, std::vector<int32_t> integers, std::vector<double> floats = {}) {
    cases.push_back({op, std::move(integers), std::move(floats)});
  };
  const int32_t rows[][2] = {{3, 1031}, {9, 512}, {5, 513}, {2, 128}, {17, 129}};
  for (const auto& [r, c] : rows) {
    add(Op::layernorm, {r, c}, {1e-5});
    add(Op::layernorm_backward, {r, c});
    add(Op::cross_entropy, {r, c});
    add(Op::cross_entropy_backward, {r, c});
  }
  const int32_t products[][3] = {{1025, 20, 1924}, {513, 36, 772}, {515, 13, 769}, {44, 68, 36}};
  for (const auto& [m, k, n] : products) {
    add(Op::matmul, {m, k, n, 1});
    add(Op::matmul_backward_input, {m, n, k});
    add(Op::matmul_backward_weight, {k, m, n});
  }
  const int32_t heads[][4] = {
      {1, 530, 1, 8}, {1, 200, 1, 16}, {32, 68, 4, 32}, {43, 70, 3, 15}, {16, 132, 2, 8}};
  for (const auto& [b, t, h, c] : heads) {
    add(Op::attention, {b, t, h, c});
    add(Op::attention_backward, {b, t, h, c});
  }
  add(Op::embedding_backward, {5003, 41, 33, 7});
  for (const int32_t columns : {65, 4099}) {
    add(Op::bias_backward, {301, columns});
    add(Op::layernorm_backward, {301, columns});
  }
  add(Op::mean, {30011});
  add(Op::clip_scale, {30011}, {0.5});
  add(Op::dot, {30011});
  return cases;
}

}  // namespace

TEST("operators: the device's bytes are the CPU's on awkward shapes, in any order of threads") {
  for (const Case& c : awkward_cases())
    for (const size_t shift : {0, 1}) compare(c, make_tensors(c, check::seed()), shift);
}

TEST("operators: the device's bytes are the CPU's for every tile and every length of row") {
  for (const Case& c : device_cases()) compare(c, make_tensors(c, check::seed()), 0);
}

TEST("operators: any float at all gives the same result on the device") {
  for (const Case& c : awkward_cases()) {
    std::vector<Floats> tensors = make_tensors(c, check::seed());
    const int index = shape_of(c).index_input;
    for (size_t t = 0; t < tensors.size(); t++)
      for (size_t i = 0; i < tensors[t].size() && int(t) != index && !(c.op == Op::adamw && t == 2); i++) {
        const uint32_t draw = prng::bits(check::seed(), 100 + t, i);
        if (draw % 3 == 0) tensors[t][i] = exact::from_bits(draw * 2654435761u);
      }
    compare(c, tensors, 0, !nans_are_defined(c.op));
  }
}

// Sums of products that vanish to -0, which a padded term of +0 would turn into +0.
TEST("operators: a sum of products may be -0 at the end of any slice") {
  for (const int32_t terms : {1, 2, 3, 8, 9, 31, 33})
    for (const Case& c :
         {Case{Op::matmul, {3, terms, 4, 0}, {}}, Case{Op::matmul_backward_input, {3, 4, terms}, {}},
          Case{Op::matmul_backward_weight, {terms, 4, 3}, {}}}) {
      std::vector<Floats> tensors = make_tensors(c, check::seed());
      for (float& a : tensors[0]) a = -1e-30f;
      for (float& b : tensors[1]) b = 1e-30f;
      compare(c, tensors, 0);
      std::vector<Floats> found = tensors;
      CHECK(run_on_device(c, found, 0) == cudaSuccess);
      CHECK_THAT(exact::bits(found.back()[0]) == 0x80000000u, describe(c));
    }
}

// Another order shows a sanitizer nothing new, and takes it a minute.
#if defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kOrders = 1;
#else
constexpr uint64_t kOrders = 4;
#endif

TEST("operators: the order in which blocks and threads run changes no bit") {
  const uint64_t seed = check::seed();
  for (const Case& c : awkward_cases()) {
    if (shape_of(c).outputs[0] > 3000) continue;
    for (uint64_t i = 0; i < kOrders; i++) {
      simt::set_seed(seed + i);
      compare(c, make_tensors(c, seed), 0);
    }
  }
}
