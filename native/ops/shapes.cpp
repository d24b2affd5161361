// The shape rules.
#include "ops/shapes.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/assert.h"
#include "ops/define/optimizer.h"
#include "ops/define/robust.h"
#include "ops/define/window.h"

namespace gradmesh::ops {
namespace {

// The product of the factors (1 or more), or kElementsMax + 1 where it is larger than any tensor may be.
uint64_t size(std::initializer_list<uint64_t> factors) {
  uint64_t product = 1;
  for (const uint64_t factor : factors) {
    if (product > kElementsMax / factor) return kElementsMax + 1;
    product *= factor;
  }
  return product;
}

uint64_t whole_vectors(uint64_t count) { return blocks(count, 16) * 16; }
uint64_t panel(uint64_t terms) { return terms * 48; }  // the widest tile is 48 columns

Status impossible(const OpRow& row, const std::string& what) {
  return {GM_INVALID_ARGUMENT, std::string(row.name) + ": " + what};
}

// What an operator's integer may be.
struct Limits {
  int32_t least, most;
};
Limits limits(Op op, size_t integer) {
  if (op == Op::matmul && integer == 3) return {0, 1};
  if (op == Op::adaptive && integer == 1) return {0, define::kAdaptiveKinds - 1};
  const bool robust =
      op == Op::combine_rows || op == Op::trimmed_mean || op == Op::pair_distances || op == Op::centered_clip;
  if (robust && integer == 0) return {1, define::kPeersMax};
  if (op == Op::trimmed_mean && integer == 2) return {0, (define::kPeersMax - 1) / 2};
  if ((op == Op::im2col || op == Op::col2im) && integer == 6) return {0, INT32_MAX};
  return {1, INT32_MAX};
}

Status check_integers(const OpRow& row, std::span<const int32_t> integers) {
  for (size_t i = 0; i < integers.size(); ++i) {
    const Limits allowed = limits(static_cast<Op>(row.id), i);
    if (integers[i] < allowed.least || integers[i] > allowed.most)
      return impossible(row, "integer " + std::to_string(i) + " is " + std::to_string(integers[i]) +
                                 ", allowed: " + std::to_string(allowed.least) + " to " +
                                 std::to_string(allowed.most));
  }
  return Status::ok();
}

Status check_floats(const OpRow& row, std::span<const double> floats) {
  const bool moments =
      row.id == static_cast<uint32_t>(Op::adamw) || row.id == static_cast<uint32_t>(Op::adaptive);
  for (size_t i = 0; i < floats.size(); ++i) {
    const bool beta = moments && i < 2;
    const double value = floats[i];
    if (!(value >= 0) || !(value <= 3.4e38) || (beta && value >= 1))
      return impossible(row, "float " + std::to_string(i) + " is " + std::to_string(value) +
                                 (beta ? ", allowed: 0 up to but not 1" : ", allowed: 0 or more, finite"));
  }
  return Status::ok();
}

void assign(uint64_t* sizes, std::initializer_list<uint64_t> values) {
  std::copy(values.begin(), values.end(), sizes);
}

void product_shape(Op op, uint64_t m, uint64_t k, uint64_t n, bool has_bias, Shape* s) {
  const uint64_t mk = size({m, k}), kn = size({k, n}), mn = size({m, n});
  const auto units = [](uint64_t rows, uint64_t columns) {
    return blocks(rows, kBlockRows) * blocks(columns, kBlockColumns);
  };
  uint64_t terms = k;
  if (op == Op::matmul) {
    assign(s->inputs, {mk, kn, has_bias ? n : kAnySize});
    s->outputs[0] = mn, s->units = units(m, n);
  } else if (op == Op::matmul_backward_input) {
    assign(s->inputs, {mn, kn});
    s->outputs[0] = mk, s->units = units(m, k), terms = n;
  } else {
    assign(s->inputs, {mk, mn});
    s->outputs[0] = kn, s->units = units(k, n), terms = m;
  }
  s->scratch = panel(std::min(terms, kBlockTerms));
}

void attention_shape(Op op, uint64_t batch, uint64_t positions, uint64_t heads, uint64_t columns, Shape* s) {
  const uint64_t out = size({batch, positions, columns}), square = size({batch, heads, positions, positions});
  const uint64_t qkv = size({batch, positions, 3, columns});
  s->units = size({batch, heads});
  s->scratch = panel(std::max(positions, std::min(columns / heads, kBlockTerms)));
  if (op == Op::attention) {
    s->inputs[0] = qkv;
    assign(s->outputs, {out, square});
    s->scratch += whole_vectors(positions);
  } else {
    assign(s->inputs, {out, qkv, square});
    s->outputs[0] = qkv;
    s->scratch += whole_vectors(size({positions, positions}));
    s->device_scratch = square;  // the gradients of all scores
  }
}

void row_shape(Op op, uint64_t rows, uint64_t columns, Shape* s) {
  const uint64_t all = size({rows, columns});
  s->units = blocks(rows, kRowsPerUnit);
  if (op == Op::layernorm) {
    assign(s->inputs, {all, columns, columns});
    assign(s->outputs, {all, rows, rows});
  } else if (op == Op::layernorm_backward) {
    assign(s->inputs, {all, all, columns, rows, rows});
    assign(s->outputs, {all, columns, columns});
    s->units += blocks(columns, kColumnsPerUnit);
    s->scratch = 2 * whole_vectors(columns);
  } else if (op == Op::cross_entropy) {
    assign(s->inputs, {all, rows});
    assign(s->outputs, {rows, all});
    s->scratch = whole_vectors(columns);
  } else {
    assign(s->inputs, {all, rows});
    s->outputs[0] = all;
  }
  if (op == Op::cross_entropy || op == Op::cross_entropy_backward)
    s->index_input = 1, s->index_rows = columns;
}

void embedding_shape(Op op, uint64_t rows, uint64_t period, uint64_t columns, uint64_t entries, Shape* s) {
  const uint64_t out = size({rows, columns}), table = size({entries, columns}),
                 places = size({period, columns});
  if (op == Op::embedding) {
    assign(s->inputs, {rows, table, places});
    s->outputs[0] = out;
  } else {
    assign(s->inputs, {rows, out});
    assign(s->outputs, {table, places});
  }
  s->index_input = 0, s->index_rows = entries;
  s->units = op == Op::embedding ? blocks(rows, kRowsPerUnit) : blocks(columns, kColumnsPerUnit);
}

void flat_shape(Op op, uint64_t n, Shape* s) {
  s->units = blocks(n, kElementsPerUnit);
  s->inputs[0] = s->outputs[0] = n;
  if (op == Op::add || op == Op::subtract || op == Op::gelu_backward) s->inputs[1] = n;
  if (op == Op::axpby) assign(s->inputs, {n, n, 2});
  if (op == Op::scale_by) s->inputs[1] = 1;
}

// Sums over a whole tensor.
void total_shape(Op op, uint64_t n, Shape* s) {
  s->units = 1;
  s->inputs[0] = n, s->outputs[0] = op == Op::clip_scale ? 2 : 1;
  if (op == Op::dot) s->inputs[1] = n;
}

void optimizer_shape(Op op, uint64_t n, Shape* s) {
  s->units = blocks(n, kElementsPerUnit);
  s->in_place = true;
  s->inputs[0] = s->outputs[0] = n;
  s->inputs[1] = op == Op::adaptive ? 1 : 2;
  if (op == Op::nesterov) s->outputs[1] = n;
  if (op == Op::adaptive) assign(s->outputs, {n, n, n});
  if (op == Op::adamw) {
    assign(s->inputs, {n, 2, 2, n});
    assign(s->outputs, {n, n, n});
  }
}

Status select_shape(const OpRow& row, Op op, uint64_t n, uint64_t k, Shape* s) {
  s->units = blocks(k, kElementsPerUnit);
  s->index_input = 1, s->index_rows = n;
  assign(s->inputs, {op == Op::gather ? n : k, k});
  s->outputs[0] = op == Op::gather ? k : n;
  s->in_place = s->index_ascends = op == Op::scatter;
  if (op == Op::scatter && k > n)
    return impossible(row, "k is " + std::to_string(k) + ", more than the n = " + std::to_string(n) +
                               " elements that indices can name");
  return Status::ok();
}

Status window_shape(const OpRow& row, Op op, std::span<const int32_t> integers, Shape* s) {
  const auto i = [&](size_t index) { return static_cast<uint64_t>(integers[index]); };
  const uint64_t kernel = i(4), stride = i(5), padding = i(6);
  if (padding >= kernel)
    return impossible(row, "P is " + std::to_string(padding) + ", allowed: less than K, which is " +
                               std::to_string(kernel));
  for (const size_t side : {1, 2})
    if (i(side) + 2 * padding < kernel)
      return impossible(row, "K is " + std::to_string(kernel) + ", more than the " +
                                 std::to_string(i(side) + 2 * padding) + " pixels of a padded side");
  const uint64_t rows = size({i(0), define::window_places(i(1), kernel, stride, padding),
                              define::window_places(i(2), kernel, stride, padding)});
  const uint64_t pixels = size({i(0), i(1), i(2)}), columns = size({kernel, kernel, i(3)});
  if (rows > INT32_MAX || pixels > INT32_MAX || columns > INT32_MAX)
    return impossible(row, "the integers ask for more than 2^31 - 1 pixels, rows or columns");
  const uint64_t image = size({pixels, i(3)}), matrix = size({rows, columns});
  const bool forward = op == Op::im2col;
  s->inputs[0] = forward ? image : matrix, s->outputs[0] = forward ? matrix : image;
  s->units = blocks(forward ? rows : pixels, kRowsPerUnit);
  return Status::ok();
}

// x[n,d]: what peers sent.
Status peers_shape(const OpRow& row, Op op, std::span<const int32_t> integers, Shape* s) {
  const auto peers = static_cast<uint64_t>(integers[0]), columns = static_cast<uint64_t>(integers[1]);
  s->inputs[0] = size({peers, columns});
  s->outputs[0] = columns;
  s->units = blocks(columns, kElementsPerUnit);
  if (op == Op::combine_rows) s->inputs[1] = peers;
  if (op == Op::trimmed_mean && 2 * static_cast<uint64_t>(integers[2]) >= peers)
    return impossible(row, "f is " + std::to_string(integers[2]) +
                               ", allowed: less than half of n, which is " + std::to_string(peers));
  if (op == Op::pair_distances) {
    s->outputs[0] = peers * peers;
    s->units = 1;
    s->scratch = peers * (peers + 1) / 2 * 16;  // the lanes of each pair's sum
  }
  if (op == Op::centered_clip) {
    s->inputs[1] = s->outputs[1] = peers;
    s->in_place = true;
    s->units = 1;
    s->scratch = peers * 16;
  }
  return Status::ok();
}

Status check_sizes(const OpRow& row, const Shape& shape) {
  const auto small = [](uint64_t elements) { return elements <= kElementsMax || elements == kAnySize; };
  if (std::all_of(shape.inputs, shape.inputs + kInputsMax, small) &&
      std::all_of(shape.outputs, shape.outputs + kOutputsMax, small) && shape.scratch <= kElementsMax)
    return Status::ok();
  return impossible(row, "the integers ask for a tensor of more than 2^40 elements");
}

}  // namespace

Status op_shape(Op op, std::span<const int32_t> integers, std::span<const double> floats, Shape* shape) {
  const OpRow& row = *op_find(static_cast<uint32_t>(op));
  GM_ASSERT(integers.size() == row.integers && floats.size() == row.floats);
  GM_TRY(check_integers(row, integers));
  GM_TRY(check_floats(row, floats));
  *shape = {};
  const auto i = [&](size_t index) { return static_cast<uint64_t>(integers[index]); };
  switch (op) {
    case Op::embedding:
    case Op::embedding_backward:
      embedding_shape(op, i(0), i(1), i(2), i(3), shape);
      break;
    case Op::matmul:
    case Op::matmul_backward_input:
    case Op::matmul_backward_weight:
      product_shape(op, i(0), i(1), i(2), op == Op::matmul && i(3) == 1, shape);
      break;
    case Op::bias_backward:
      shape->inputs[0] = size({i(0), i(1)}), shape->outputs[0] = i(1),
      shape->units = blocks(i(1), kColumnsPerUnit);
      break;
    case Op::attention:
    case Op::attention_backward:
      if (i(3) % i(2) != 0)
        return impossible(row, "C is " + std::to_string(i(3)) + ", no multiple of H " + std::to_string(i(2)));
      attention_shape(op, i(0), i(1), i(2), i(3), shape);
      break;
    case Op::layernorm:
    case Op::layernorm_backward:
    case Op::cross_entropy:
    case Op::cross_entropy_backward:
      row_shape(op, i(0), i(1), shape);
      break;
    case Op::mean:
    case Op::clip_scale:
    case Op::dot:
      total_shape(op, i(0), shape);
      break;
    case Op::adamw:
    case Op::nesterov:
    case Op::sign_step:
    case Op::adaptive:
      optimizer_shape(op, i(0), shape);
      break;
    case Op::gather:
    case Op::scatter:
      GM_TRY(select_shape(row, op, i(0), i(1), shape));
      break;
    case Op::im2col:
    case Op::col2im:
      GM_TRY(window_shape(row, op, integers, shape));
      break;
    case Op::combine_rows:
    case Op::trimmed_mean:
    case Op::pair_distances:
    case Op::centered_clip:
      GM_TRY(peers_shape(row, op, integers, shape));
      break;
    default:
      flat_shape(op, i(0), shape);
  }
  return check_sizes(row, *shape);
}

}  // namespace gradmesh::ops
