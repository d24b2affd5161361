// Every backward operator against central differences of the forward reference in double precision.
#include <cmath>

#include "reference.h"

using namespace support;

namespace {

// The loss whose gradient is taken: the sum of weights x the forward operator's first output.
double loss(const Case& forward, const std::vector<Doubles>& inputs, const std::vector<int32_t>& index,
            const Doubles& weights) {
  const Doubles out = reference(forward, inputs, index)[0];
  double sum = 0;
  for (size_t i = 0; i < out.size(); i++) sum += weights[i] * out[i];
  return sum;
}

// Compares gradient[i] with (loss(x + h) - loss(x - h)) / 2h for every element i of inputs[which].
void check_gradient(const Case& forward, std::vector<Doubles> inputs, const std::vector<int32_t>& index,
                    const Doubles& weights, size_t which, const Floats& gradient) {
  constexpr double h = 1e-5;
  CHECK(gradient.size() == inputs[which].size());
  for (size_t i = 0; i < gradient.size(); i++) {
    const double x = inputs[which][i];
    inputs[which][i] = x + h;
    const double above = loss(forward, inputs, index, weights);
    inputs[which][i] = x - h;
    const double slope = (above - loss(forward, inputs, index, weights)) / (2 * h);
    inputs[which][i] = x;
    CHECK_THAT(std::fabs(gradient[i] - slope) <= 2e-4 * (1 + std::fabs(slope)),
               describe(forward) + " input " + std::to_string(which) + "[" + std::to_string(i) +
                   "]: " + std::to_string(gradient[i]) + ", not " + std::to_string(slope));
  }
}

Floats run_backward(const Case& backward, const std::vector<Floats>& inputs, size_t output) {
  std::vector<Floats> tensors = make_tensors(backward, 1);
  for (size_t i = 0; i < inputs.size(); i++) tensors[i] = inputs[i];
  const Status status = run_case(backward, tensors);
  CHECK_THAT(bool(status), describe(backward) + " " + status.message());
  return tensors[inputs.size() + output];
}

Doubles wide(const Floats& x) { return {x.begin(), x.end()}; }

}  // namespace

TEST("gradients: matmul and bias") {
  for (const auto& [m, k, n] : {std::array{1, 1, 1}, std::array{5, 7, 3}, std::array{9, 4, 17}}) {
    const Case forward = {Op::matmul, {m, k, n, 1}, {}};
    std::vector<Floats> t = make_tensors(forward, check::seed());
    const Floats d_y = make_tensors({Op::bias_backward, {m, n}, {}}, check::seed() + 1)[0];
    const std::vector<Doubles> in = widen({t[0], t[1], t[2]});
    check_gradient(forward, in, {}, wide(d_y), 0,
                   run_backward({Op::matmul_backward_input, {m, k, n}, {}}, {d_y, t[1]}, 0));
    check_gradient(forward, in, {}, wide(d_y), 1,
                   run_backward({Op::matmul_backward_weight, {m, k, n}, {}}, {t[0], d_y}, 0));
    check_gradient(forward, in, {}, wide(d_y), 2, run_backward({Op::bias_backward, {m, n}, {}}, {d_y}, 0));
  }
}

TEST("gradients: layernorm") {
  for (const auto& [r, c] : {std::array{1, 2}, std::array{3, 19}, std::array{5, 33}}) {
    const Case forward = {Op::layernorm, {r, c}, {1e-5}};
    std::vector<Floats> t = make_tensors(forward, check::seed());
    CHECK(bool(run_case(forward, t)));
    const Floats d_y = make_tensors(forward, check::seed() + 1)[0];
    for (size_t which = 0; which < 3; which++)
      check_gradient(
          forward, widen({t[0], t[1], t[2]}), {}, wide(d_y), which,
          run_backward({Op::layernorm_backward, {r, c}, {}}, {d_y, t[0], t[1], t[4], t[5]}, which));
  }
}

TEST("gradients: gelu, also far out") {
  const Case forward = {Op::gelu, {67}, {}};
  Floats x = make_tensors(forward, check::seed())[0], d_y(67, 0.5f);
  for (size_t i = 0; i < 8; i++) x[i] = float(i) * 10 - 35;
  check_gradient(forward, widen({x}), {}, wide(d_y), 0,
                 run_backward({Op::gelu_backward, {67}, {}}, {x, d_y}, 0));
  const Floats far =
      run_backward({Op::gelu_backward, {4}, {}}, {{1e30f, -1e30f, INFINITY, -INFINITY}, {1, 1, 1, 1}}, 0);
  CHECK(far[0] == 1 && far[1] == 0 && far[2] == 1 && far[3] == 0);
}

TEST("gradients: attention") {
  for (const auto& [b, t, h, c] :
       {std::array{1, 1, 1, 1}, std::array{2, 3, 2, 6}, std::array{1, 11, 2, 10}, std::array{1, 18, 1, 5}}) {
    const Case forward = {Op::attention, {b, t, h, c}, {}};
    std::vector<Floats> tensors = make_tensors(forward, check::seed());
    CHECK(bool(run_case(forward, tensors)));
    const Floats d_out = make_tensors(forward, check::seed() + 1)[1];
    check_gradient(
        forward, widen({tensors[0]}), {}, wide(d_out), 0,
        run_backward({Op::attention_backward, {b, t, h, c}, {}}, {d_out, tensors[0], tensors[2]}, 0));
  }
}

TEST("gradients: embedding") {
  const Case forward = {Op::embedding, {9, 4, 5, 3}, {}};
  const std::vector<Floats> t = make_tensors(forward, check::seed());
  const Floats d_out = make_tensors(forward, check::seed() + 1)[3];
  for (size_t which = 0; which < 2; which++)
    check_gradient(forward, widen(t), index_of(forward, t), wide(d_out), which + 1,
                   run_backward({Op::embedding_backward, {9, 4, 5, 3}, {}}, {t[0], d_out}, which));
}

TEST("gradients: cross-entropy, of the mean loss") {
  const Case forward = {Op::cross_entropy, {4, 21}, {}};
  std::vector<Floats> t = make_tensors(forward, check::seed());
  CHECK(bool(run_case(forward, t)));
  check_gradient(forward, widen({t[0], t[1]}), index_of(forward, t), Doubles(4, 0.25), 0,
                 run_backward({Op::cross_entropy_backward, {4, 21}, {}}, {t[3], t[1]}, 0));
}

TEST("gradients: im2col") {
  for (const Case& forward : awkward_cases()) {
    if (forward.op != Op::im2col || shape_of(forward).outputs[0] > 3000) continue;
    const std::vector<Floats> t = make_tensors(forward, check::seed());
    const Floats d_columns = make_tensors(forward, check::seed() + 1)[1];
    check_gradient(forward, widen({t[0]}), {}, wide(d_columns), 0,
                   run_backward({Op::col2im, forward.integers, {}}, {d_columns}, 0));
  }
}
