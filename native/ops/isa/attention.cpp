// Causal self-attention, forward and backward. A unit is one head of one sequence; its products are those of
// product.h. Position t sees the positions s <= t: nothing masked takes part in any sum.
#include "ops/define/attention.h"

#include "ops/isa/arguments.h"
#include "ops/isa/product.h"
#include "ops/isa/rows.h"

namespace gradmesh::ops::GM_ISA {
namespace {

using define::Head;

HD Head head_of(const Arguments& arguments, uint64_t unit) {
  return define::head_of(integer(arguments, 1), integer(arguments, 2), integer(arguments, 3), unit);
}

// left[T,D] right[T,D]^T for s <= t -> out[T,T]
void scores(const Head& h, const float* left, size_t left_row, const float* right, size_t right_row,
            float* out, float* panel) {
  const Product p = {left,        left_row,    1,           right,   1,       right_row,     out,
                     h.positions, h.positions, h.positions, h.width, nullptr, Terms::outputs};
  multiply(p, 0, h.positions, 0, h.positions, panel);
}

// weights[T,T] values[T,D], over s <= t -> out[T,D]
void gather(const Head& h, const float* weights, const float* values, float* out, size_t out_row,
            float* panel) {
  const Product p = {weights, h.positions, 1,       values,      h.row_qkv, 1,           out,
                     out_row, h.positions, h.width, h.positions, nullptr,   Terms::up_to};
  multiply(p, 0, h.positions, 0, h.width, panel);
}

// weights[T,T]^T values[T,D], over t >= s -> out[T,D] with rows of 3C
void scatter(const Head& h, const float* weights, const float* values, size_t values_row, float* out,
             float* panel) {
  const Product p = {weights,   1,           h.positions, values,      values_row, 1,          out,
                     h.row_qkv, h.positions, h.width,     h.positions, nullptr,    Terms::from};
  multiply(p, 0, h.positions, 0, h.width, panel);
}

// In place, per row t: d_score = P (d_P - sum over s <= t of P d_P) scale.
void softmax_backward(const Head& h, const float* probabilities, float* d_scores) {
  const float scale = define::attention_scale(h.width);
  for (size_t t = 0; t < h.positions; ++t) {
    const float* __restrict p = probabilities + t * h.positions;
    float* __restrict d = d_scores + t * h.positions;
    const float total = row_dot(p, d, t + 1);
    const size_t whole =
        smaller(whole_vectors(t + 1), h.positions);  // beyond t: any finite or NaN, never read
    for (size_t s = 0; s < whole; ++s) d[s] = define::attention_slope(p[s], d[s], total, scale);
  }
}

}  // namespace

void attention(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  for (uint64_t unit = unit_begin; unit < unit_end; ++unit) {
    const Head h = head_of(arguments, unit);
    const float* query = input(arguments, 0) + h.first_qkv;
    float* probabilities = output(arguments, 1) + h.first_probability;
    const float scale = define::attention_scale(h.width);
    float* row = arguments.scratch;
    float* panel = arguments.scratch + whole_vectors(h.positions);
    scores(h, query, h.row_qkv, query + h.row, h.row_qkv, probabilities, panel);
    for (size_t t = 0; t < h.positions; ++t) {
      float* p = probabilities + t * h.positions;
      memcpy(row, p, (t + 1) * 4);
      softmax_row(row, t + 1, scale);
      memcpy(p, row, (t + 1) * 4);
      memset(p + t + 1, 0, (h.positions - t - 1) * 4);
    }
    gather(h, probabilities, query + 2 * h.row, output(arguments, 0) + h.first, h.row, panel);
  }
}

void attention_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  for (uint64_t unit = unit_begin; unit < unit_end; ++unit) {
    const Head h = head_of(arguments, unit);
    const float* d_out = input(arguments, 0) + h.first;
    const float* query = input(arguments, 1) + h.first_qkv;
    const float* probabilities = input(arguments, 2) + h.first_probability;
    float* d_query = output(arguments, 0) + h.first_qkv;
    float* d_scores = arguments.scratch;
    float* panel = arguments.scratch + whole_vectors(h.positions * h.positions);
    scores(h, d_out, h.row, query + 2 * h.row, h.row_qkv, d_scores, panel);
    softmax_backward(h, probabilities, d_scores);
    gather(h, d_scores, query + h.row, d_query, h.row_qkv, panel);
    scatter(h, d_scores, query, h.row_qkv, d_query + h.row, panel);
    scatter(h, probabilities, d_out, h.row, d_query + 2 * h.row, panel);
  }
}

}  // namespace gradmesh::ops::GM_ISA
