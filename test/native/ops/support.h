// Runs one operator through a graph on inputs that come from a seed, on any backend, thread count and
// alignment.
#pragma once
#include <random>
#include <string>
#include <vector>

#include "base/prng.h"
#include "check.h"
#include "numeric/backend.h"
#include "numeric/exact.h"
#include "ops/graph.h"

namespace support {

using gradmesh::Status;
using gradmesh::ops::Op;
using Floats = std::vector<float>;

struct Case {
  Op op;
  std::vector<int32_t> integers;
  std::vector<double> floats;
};

inline std::string describe(const Case& c) {
  std::string text = gradmesh::ops::op_find(static_cast<uint32_t>(c.op))->name;
  for (const int32_t i : c.integers) text += " " + std::to_string(i);
  return text;
}

inline gradmesh::ops::Shape shape_of(const Case& c) {
  gradmesh::ops::Shape shape;
  const Status status = gradmesh::ops::op_shape(c.op, c.integers, c.floats, &shape);
  CHECK_THAT(bool(status), status.message());
  return shape;
}

// The tensors of a case: first the inputs, then the outputs. An i32 tensor holds its integers' bits.
inline std::vector<Floats> make_tensors(const Case& c, uint64_t seed) {
  const gradmesh::ops::OpRow& row = *gradmesh::ops::op_find(static_cast<uint32_t>(c.op));
  const gradmesh::ops::Shape shape = shape_of(c);
  std::vector<Floats> tensors(row.inputs + row.outputs);
  for (uint32_t t = 0; t < tensors.size(); t++) {
    const uint64_t size = t < row.inputs ? shape.inputs[t] : shape.outputs[t - row.inputs];
    tensors[t].resize(size == gradmesh::ops::kAnySize ? 1 : size);
    gradmesh::fill_normal(seed, t, 0, 1.0f, tensors[t].data(), tensors[t].size());
    if (shape.index_input == static_cast<int>(t))
      for (uint64_t i = 0; i < size; i++) {
        const auto index = static_cast<uint32_t>(prng::bits(seed, t, i) % shape.index_rows);
        std::memcpy(&tensors[t][i], &index, 4);
      }
  }
  if (c.op == Op::adamw) {
    tensors[1] = {0.7f, 2.0f}, tensors[2] = {0.01f, 3.0f};
    for (float& v : tensors[6]) v *= v;
    for (float& d : tensors[3]) d = d > 0 ? 1.0f : 0.0f;
  }
  if (c.op == Op::layernorm_backward)
    for (float& rstd : tensors[4]) rstd = 0.5f + rstd * rstd;
  if (c.op == Op::nesterov) tensors[1] = {0.7f, 0.9f};
  return tensors;
}

struct Setting {
  std::string backend = "auto";
  uint32_t threads = 1;
  size_t shift = 0;  // floats past a cache line at which every tensor starts
};

// Runs c on tensors (as make_tensors orders them) and leaves the outputs there.
inline Status run_case(const Case& c, std::vector<Floats>& tensors, const Setting& setting = {}) {
  const gradmesh::ops::OpRow& row = *gradmesh::ops::op_find(static_cast<uint32_t>(c.op));
  const gradmesh::ops::Shape shape = shape_of(c);
  std::vector<double> described;
  std::vector<int32_t> nodes = {static_cast<int32_t>(c.op)};
  std::vector<Floats> memory(tensors.size());
  std::vector<gm_bytes> bindings;
  for (size_t t = 0; t < tensors.size(); t++) {
    described.insert(described.end(),
                     {double(t), 0, double(tensors[t].size()), shape.index_input == int(t) ? 1.0 : 0.0});
    nodes.push_back(int32_t(t));
    memory[t].resize(tensors[t].size() + 32);
    float* start = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory[t].data()) + 63) / 64 * 64) +
                   setting.shift;
    std::memcpy(start, tensors[t].data(), tensors[t].size() * 4);
    bindings.push_back({reinterpret_cast<uint8_t*>(start), tensors[t].size() * 4});
  }
  nodes.insert(nodes.end(), c.integers.begin(), c.integers.end());
  GM_TRY(gradmesh::backend::force(setting.backend));
  std::shared_ptr<gradmesh::ops::Graph> graph;
  GM_TRY(gradmesh::ops::Graph::create({described, nodes, c.floats}, setting.threads, &graph));
  const Status status = graph->run(bindings, nullptr);
  GM_TRY(gradmesh::backend::force("auto"));
  for (size_t t = row.inputs; t < tensors.size(); t++)
    std::memcpy(tensors[t].data(), bindings[t].data, tensors[t].size() * 4);
  return status;
}

// Awkward shapes of every operator: ones, primes, and sizes around the kernels' blocks.
inline std::vector<Case> awkward_cases() {
  std::vector<Case> cases;
  const auto add = [&](Op op, std::vector<int32_t> integers, std::vector<double> floats = {}) {
    cases.push_back({op, std::move(integers), std::move(floats)});
  };
  const int32_t products[][3] = {{1, 1, 1},      {7, 5, 3},    {8, 16, 48},  {9, 17, 49}, {13, 300, 31},
                                 {65, 257, 193}, {6, 512, 64}, {129, 3, 97}, {3, 1, 211}};
  for (const auto& [m, k, n] : products) {
    add(Op::matmul, {m, k, n, 1});
    add(Op::matmul, {m, k, n, 0});
    add(Op::matmul_backward_input, {m, k, n});
    add(Op::matmul_backward_weight, {m, k, n});
    add(Op::bias_backward, {m, n});
    add(Op::layernorm, {m, n}, {1e-5});
    add(Op::layernorm_backward, {m, n});
    add(Op::cross_entropy, {m, n});
    add(Op::cross_entropy_backward, {m, n});
  }
  const int32_t lookups[][4] = {{1, 1, 1, 1}, {7, 3, 5, 2}, {34, 17, 67, 85}, {128, 64, 128, 11}};
  for (const auto& [r, t, c, v] : lookups) {
    add(Op::embedding, {r, t, c, v});
    add(Op::embedding_backward, {r, t, c, v});
  }
  const int32_t heads[][4] = {{1, 1, 1, 1},    {2, 3, 2, 10},  {1, 17, 3, 51},
                              {2, 64, 4, 128}, {1, 71, 1, 33}, {1, 48, 2, 600}};
  for (const auto& [b, t, h, c] : heads) {
    add(Op::attention, {b, t, h, c});
    add(Op::attention_backward, {b, t, h, c});
  }
  for (const int32_t n : {1, 15, 16, 17, 31, 4095, 4097, 9001}) {
    for (const Op op : {Op::gelu, Op::gelu_backward, Op::add, Op::subtract, Op::mean, Op::copy, Op::nesterov})
      add(op, {n});
    add(Op::clip_scale, {n}, {0.5});
    add(Op::clip_scale, {n}, {0.0});
    add(Op::adamw, {n}, {0.9, 0.999, 1e-8, 0.1});
  }
  return cases;
}

}  // namespace support
