// Causal self-attention, forward and backward: three products over all heads at once, and a softmax between
// them. The scores are made where the probabilities (or, backward, scratch) go. Position t sees the positions
// s <= t: nothing masked takes part in any sum.
#include "launchers.h"
#include "ops/define/attention.h"
#include "product.h"
#include "softmax.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

// Row t of every head: softmax over s <= t, and +0 beyond.
template <int Items>
__global__ void __launch_bounds__(kRowThreads)
    attention_softmax_kernel(size_t rows, unsigned positions, float scale, float* probabilities) {
  const RowPlace place = row_place(rows);
  const unsigned visible = (unsigned)(place.row % positions) + 1;
  float* row = probabilities + place.row * positions;
  LaneOfRow<Items> x(row, visible, place.lane);
  softmax_row(x, scale, row, place.writes);
  if (!place.writes) return;
  for (unsigned i = visible + place.lane; i < positions; i += kLanes) row[i] = 0.0f;
}

// In place: d_score = P (d_P - sum over s <= t of P d_P) scale.
template <int Items>
__global__ void __launch_bounds__(kRowThreads)
    attention_slope_kernel(size_t rows, unsigned positions, float scale, const float* probabilities,
                           float* d_scores) {
  const RowPlace place = row_place(rows);
  const unsigned visible = (unsigned)(place.row % positions) + 1;
  float* d_row = d_scores + place.row * positions;
  LaneOfRow<Items> p(probabilities + place.row * positions, visible, place.lane);
  LaneOfRow<Items> d(d_row, visible, place.lane);
  float lane = 0.0f;
  each_of_lane([&](unsigned, bool, float x, float y) { lane = exact::fma(x, y, lane); }, p, d);
  const float total = fold_lanes(lane);
  if (!place.writes) return;
  each_of_lane(
      [&](unsigned i, bool inside, float x, float y) {
        if (inside) d_row[i] = define::attention_slope(x, y, total, scale);
      },
      p, d);
}

// ---- helpers ----

// The operator's integers, and where a head's matrices lie.
struct Heads {
  size_t batch, positions, heads, columns, width;
  explicit Heads(const Arguments& arguments)
      : batch(integer(arguments, 0)),
        positions(integer(arguments, 1)),
        heads(integer(arguments, 2)),
        columns(integer(arguments, 3)),
        width(columns / heads) {}
  size_t rows() const { return batch * heads * positions; }
  Operand in_qkv(const float* data) const { return {data, 3 * columns, positions * 3 * columns, width}; }
  Operand in_out(const float* data) const { return {data, columns, positions * columns, width}; }
  Operand square(const float* data) const {
    return {data, positions, heads * positions * positions, positions * positions};
  }
  // A product over every head.
  Product product(Operand a, Operand b, Operand c, float* out, size_t out_columns, size_t terms) const {
    Product p = {};
    p.a = a, p.b = b;
    p.c = out, p.c_stride = c.stride, p.c_group = c.group, p.c_member = c.member;
    p.rows = (int)positions, p.columns = (int)out_columns, p.terms = (int)terms;
    p.group = (unsigned)heads, p.count = (unsigned)(batch * heads);
    return p;
  }
  bool fours(const Product& p) const { return in_fours(p.a.data, p.b.data, p.c, positions, width); }
};

// left right^T for s <= t -> out[T,T]
cudaError_t scores(const Heads& h, Operand left, Operand right, float* out, cudaStream_t stream) {
  const Product p = h.product(left, right, h.square(out), out, h.positions, h.width);
  return multiply<Inside::terms, Inside::terms, Terms::outputs>(p, h.fours(p), stream);
}
// weights[T,T] values[T,D], over s <= t
cudaError_t gather(const Heads& h, const float* weights, Operand values, Operand place, float* out,
                   cudaStream_t stream) {
  const Product p = h.product(h.square(weights), values, place, out, h.width, h.positions);
  return multiply<Inside::terms, Inside::outputs, Terms::up_to>(p, h.fours(p), stream);
}
// weights[T,T]^T values[T,D], over t >= s
cudaError_t scatter(const Heads& h, const float* weights, Operand values, float* out, cudaStream_t stream) {
  const Product p = h.product(h.square(weights), values, h.in_qkv(out), out, h.width, h.positions);
  return multiply<Inside::outputs, Inside::outputs, Terms::from>(p, h.fours(p), stream);
}

}  // namespace

// ---- launchers ----

cudaError_t attention(const Arguments& arguments, cudaStream_t stream) {
  const Heads h(arguments);
  const float* query = input(arguments, 0);
  float* out = output(arguments, 0);
  float* probabilities = output(arguments, 1);
  const float scale = define::attention_scale(h.width);
  const unsigned positions = (unsigned)h.positions;
  cudaError_t error = scores(h, h.in_qkv(query), h.in_qkv(query + h.columns), probabilities, stream);
  if (error == cudaSuccess)
    error = LAUNCH_ROWS(attention_softmax_kernel, positions, h.rows(), stream, h.rows(), positions, scale,
                        probabilities);
  if (error == cudaSuccess)
    error = gather(h, probabilities, h.in_qkv(query + 2 * h.columns), h.in_out(out), out, stream);
  return error;
}

cudaError_t attention_backward(const Arguments& arguments, cudaStream_t stream) {
  const Heads h(arguments);
  const float* d_out = input(arguments, 0);
  const float* query = input(arguments, 1);
  const float* probabilities = input(arguments, 2);
  float* d_query = output(arguments, 0);
  float* d_scores = arguments.scratch;
  const float scale = define::attention_scale(h.width);
  const unsigned positions = (unsigned)h.positions;
  cudaError_t error = scores(h, h.in_out(d_out), h.in_qkv(query + 2 * h.columns), d_scores, stream);
  if (error == cudaSuccess)
    error = LAUNCH_ROWS(attention_slope_kernel, positions, h.rows(), stream, h.rows(), positions, scale,
                        probabilities, d_scores);
  if (error == cudaSuccess)
    error = gather(h, d_scores, h.in_qkv(query + h.columns), h.in_qkv(d_query), d_query, stream);
  if (error == cudaSuccess) error = scatter(h, d_scores, h.in_qkv(query), d_query + h.columns, stream);
  if (error == cudaSuccess)
    error = scatter(h, probabilities, h.in_out(d_out), d_query + 2 * h.columns, stream);
  return error;
}

}  // namespace gradmesh::ops::device
