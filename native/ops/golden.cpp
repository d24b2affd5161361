// Golden cases of operators. Shapes and inputs are part of the vectors' meaning: changing one changes every
// digest.
#include "ops/golden.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "base/crypto.h"
#include "base/prng.h"
#include "numeric/exact.h"
#include "ops/device_graph.h"

namespace gradmesh {
namespace {

using ops::Op;

// About `elements` elements in the largest tensor of an operator over rows, or terms of a product.
std::vector<int32_t> golden_integers(Op op, uint64_t elements) {
  const auto n = static_cast<int32_t>(elements);
  int32_t side = 1, cube = 1;  // the whole parts of the square and cube roots
  while ((side + 1) * (side + 1) <= n) side++;
  while ((cube + 1) * (cube + 1) * (cube + 1) <= n) cube++;
  switch (op) {
    case Op::embedding:
    case Op::embedding_backward:
      return {side, cube, side, 2 * cube + 1};
    case Op::layernorm:
    case Op::layernorm_backward:
    case Op::bias_backward:
    case Op::cross_entropy:
    case Op::cross_entropy_backward:
      return {side, side + 1};
    case Op::matmul:
      return {cube + 1, 16 * cube, cube + 3, 1};
    case Op::matmul_backward_input:
      return {cube + 1, cube + 3, 16 * cube};
    case Op::matmul_backward_weight:
      return {16 * cube, cube + 1, cube + 3};
    case Op::adaptive:
      return {n, n % 5 % 3};  // every kind is among the sizes of op.json
    case Op::gather:
      return {n, n / 2 + 2};
    case Op::scatter:
      return {n, n / 3 + 1};
    case Op::im2col:
    case Op::col2im:
      return {2, cube + 1, cube + 2, cube, 3, 1 + n % 2, 1};
    case Op::attention:
    case Op::attention_backward:
      return {2, cube + 1, 2, 2 * cube};
    case Op::combine_rows:
    case Op::pair_distances:
    case Op::centered_clip:
      return {1 + n % 32, n};
    case Op::trimmed_mean:
      return {1 + n % 32, n, n % 32 / 3};
    default:
      return {n};
  }
}

std::vector<double> golden_floats(Op op) {
  if (op == Op::layernorm) return {1e-5};
  if (op == Op::clip_scale) return {1.0};
  if (op == Op::adamw) return {0.9, 0.95, 1e-8, 0.1};
  if (op == Op::adaptive) return {0.9, 0.99, 1e-3};
  return {};
}

// Normal deviates; one in 64 is tiny, huge or a zero instead, so that rounding at the ends of the range
// shows.
float golden_value(uint64_t seed, uint64_t stream, uint64_t i) {
  const uint32_t draw = prng::bits(seed, stream + 64, i);
  const float x = prng::normal(seed, stream, i, 1.0f);
  if (draw % 64 != 0) return x;
  const float factors[] = {0.0f, -0.0f, 0x1p-140f, 0x1p-70f, 0x1p-20f, 0x1p20f};
  return exact::mul(x, factors[draw / 64 % 6]);
}

// Values that an operator asks for: second moments and rstd are positive, a schedule is a rate and a step.
void make_plausible(Op op, size_t tensor, std::vector<float>& values) {
  if (op == Op::adamw && tensor == 1) values = {0.5f, 2.0f};
  if (op == Op::adamw && tensor == 2) values = {0.001f, 7.0f};
  if (op == Op::nesterov && tensor == 1) values = {0.7f, 0.9f};
  if (op == Op::sign_step && tensor == 1) values = {0.01f, 0.1f};
  if (op == Op::adaptive && tensor == 1) values = {0.1f};
  if (op == Op::adamw && tensor == 3)
    for (float& x : values) x = x > 0 ? 1.0f : 0.0f;
  if ((op == Op::adamw && tensor == 6) || (op == Op::adaptive && tensor == 4) ||
      (op == Op::layernorm_backward && tensor == 4))
    for (float& x : values) x = exact::magnitude(x);
}

// Index i of `count`: any row, or where they must ascend one of the rows that are its share.
uint32_t golden_index(const ops::Shape& shape, uint64_t count, uint32_t draw, uint64_t i) {
  const uint64_t share = shape.index_ascends ? shape.index_rows / count : shape.index_rows;
  return static_cast<uint32_t>((shape.index_ascends ? i * share : 0) + draw % share);
}

struct GoldenCase {
  ops::Shape shape;
  std::vector<double> tensors;
  std::vector<int32_t> nodes;
  std::vector<double> floats;
  std::vector<std::vector<float>> memory;  // inputs, then outputs
};

Status make_case(const ops::OpRow& row, uint64_t elements, uint64_t seed, GoldenCase* c) {
  const Op op = static_cast<Op>(row.id);
  const std::vector<int32_t> integers = golden_integers(op, elements);
  c->floats = golden_floats(op);
  GM_TRY(ops::op_shape(op, integers, c->floats, &c->shape));
  c->nodes = {static_cast<int32_t>(row.id)};
  for (size_t t = 0; t < row.inputs + row.outputs; t++) {
    const bool index = c->shape.index_input == static_cast<int>(t);
    const uint64_t size = t < row.inputs ? c->shape.inputs[t] : c->shape.outputs[t - row.inputs];
    std::vector<float> values(size);
    for (uint64_t i = 0; i < size; i++) {
      values[i] = golden_value(seed, t, i);
      if (index) values[i] = exact::from_bits(golden_index(c->shape, size, prng::bits(seed, t, i), i));
    }
    make_plausible(op, t, values);
    c->tensors.insert(c->tensors.end(), {double(t), 0, double(size), index ? 1.0 : 0.0});
    c->nodes.push_back(static_cast<int32_t>(t));
    c->memory.push_back(std::move(values));
  }
  c->nodes.insert(c->nodes.end(), integers.begin(), integers.end());
  return Status::ok();
}

using MakeRunner = std::function<Status(const ops::Description&, std::shared_ptr<ops::Runner>*)>;

Status run_golden(std::string_view name, uint64_t elements, uint64_t seed, const MakeRunner& make,
                  std::string* digest) {
  const ops::OpRow* row = ops::op_find(name);
  if (row == nullptr)
    return {GM_INVALID_ARGUMENT, "name is \"" + std::string(name) + "\", which is no operator"};
  if (elements < 1 || elements > kGoldenOpElementsMax)
    return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; a golden case has 1 to " +
                                     std::to_string(kGoldenOpElementsMax)};
  GoldenCase c;
  GM_TRY(make_case(*row, elements, seed, &c));
  std::vector<gm_bytes> bindings;
  for (auto& values : c.memory)
    bindings.push_back({reinterpret_cast<uint8_t*>(values.data()), values.size() * 4});
  std::shared_ptr<ops::Runner> runner;
  GM_TRY(make({c.tensors, c.nodes, c.floats}, &runner));
  GM_TRY(runner->run(bindings, {}, nullptr));
  crypto::Sha256 hash;
  GM_TRY(crypto::Sha256::create(&hash));
  for (size_t t = row->inputs; t < bindings.size(); t++) {
    // The bits of a NaN are not defined, so a golden case must not lead to one.
    if (std::any_of(c.memory[t].begin(), c.memory[t].end(), [](float x) { return exact::is_nan(x); }))
      return {GM_INTERNAL, "the golden case of " + std::string(name) + " holds a NaN"};
    GM_TRY(hash.update({bindings[t].data, bindings[t].length}));
  }
  crypto::Digest result;
  GM_TRY(hash.finish(&result));
  *digest = crypto::hex(result);
  return Status::ok();
}

}  // namespace

Status golden_op(std::string_view name, uint64_t elements, uint64_t seed, std::string* digest) {
  const auto make = [](const ops::Description& description, std::shared_ptr<ops::Runner>* runner) {
    return ops::create_runner(description, "cpu", 1, runner);
  };
  return run_golden(name, elements, seed, make, digest);
}

Status golden_op(std::string_view name, uint64_t elements, uint64_t seed, const device::SharedDevice& device,
                 std::string* digest) {
  const auto make = [&](const ops::Description& description, std::shared_ptr<ops::Runner>* runner) -> Status {
    std::shared_ptr<ops::DeviceGraph> graph;
    GM_TRY(ops::DeviceGraph::create(description, device, &graph));
    *runner = std::move(graph);
    return Status::ok();
  };
  return run_golden(name, elements, seed, make, digest);
}

}  // namespace gradmesh
