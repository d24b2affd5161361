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

// Operators that write no element but one that they have read, or +0.
inline bool hands_on(Op op) {
  return op == Op::copy || op == Op::gather || op == Op::scatter || op == Op::im2col;
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
        // Any row; where they must ascend, one of the rows that are this index's share.
        const uint64_t share = shape.index_ascends ? shape.index_rows / size : shape.index_rows;
        const uint64_t first = shape.index_ascends ? i * share : 0;
        const auto index = static_cast<uint32_t>(first + prng::bits(seed, t, i) % share);
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
  if (c.op == Op::sign_step) tensors[1] = {0.01f, 0.1f};
  if (c.op == Op::adaptive) {
    tensors[1] = {0.05f};
    for (float& v : tensors[4]) v *= v;
  }
  return tensors;
}

// Whether the bits of a NaN are defined too: 0x7fc00000, or those that were handed on.
inline bool nans_are_defined(Op op) {
  switch (op) {
    case Op::add:
    case Op::subtract:
    case Op::adamw:
    case Op::nesterov:
    case Op::axpby:
    case Op::scale_by:
    case Op::sign_step:
    case Op::adaptive:
    case Op::dot:
    case Op::combine_rows:
    case Op::trimmed_mean:
    case Op::pair_distances:
    case Op::centered_clip:
      return true;
    default:
      return hands_on(op);
  }
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
    for (const Op op : {Op::gelu, Op::gelu_backward, Op::add, Op::subtract, Op::mean, Op::copy, Op::nesterov,
                        Op::axpby, Op::scale_by, Op::sign_step, Op::dot})
      add(op, {n});
    for (const int32_t kind : {0, 1, 2}) add(Op::adaptive, {n, kind}, {0.9, 0.99, 1e-3});
    for (const int32_t k : {1, (n + 2) / 3, n}) {
      add(Op::gather, {n, k});
      add(Op::scatter, {n, k});
    }
    add(Op::gather, {n, 2 * n + 1});
    add(Op::clip_scale, {n}, {0.5});
    add(Op::clip_scale, {n}, {0.0});
    add(Op::adamw, {n}, {0.9, 0.999, 1e-8, 0.1});
  }
  for (const int32_t rows : {1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 23, 31, 32})
    for (const int32_t columns : {1, 15, 33, 600, 4097}) {
      if (columns > 33 && rows % 8 > 1) continue;
      add(Op::combine_rows, {rows, columns});
      add(Op::pair_distances, {rows, columns});
      add(Op::centered_clip, {rows, columns});
      for (const int32_t faulty : {0, (rows - 1) / 3, (rows - 1) / 2})
        add(Op::trimmed_mean, {rows, columns, faulty});
    }
  const int32_t windows[][7] = {
      {1, 1, 1, 1, 1, 1, 0},   // B H W C K S P
      {2, 5, 7, 3, 3, 1, 1},   // the usual one
      {1, 9, 8, 1, 5, 2, 2},   // strides, odd sizes
      {2, 6, 6, 4, 2, 3, 0},   // pixels that no window holds, and channels in fours
      {1, 2, 3, 5, 4, 1, 1},   // a kernel that only padding makes room for
      {3, 4, 11, 8, 3, 2, 2},  // windows wholly in the padding but for an edge
      {1, 28, 28, 1, 3, 1, 1}, {2, 3, 40, 17, 3, 1, 0},
  };
  for (const auto& w : windows)
    for (const Op op : {Op::im2col, Op::col2im}) add(op, {std::begin(w), std::end(w)});
  return cases;
}

}  // namespace support
