// The written orders of sums, each shown by inputs whose bits depend on it.
#include <cmath>

#include "numeric/tree.h"
#include "support.h"

using namespace support;

namespace {

float ascending(const Floats& a, const Floats& b) {
  float sum = 0;
  for (size_t k = 0; k < a.size(); k++) sum = exact::fma(a[k], b[k], sum);
  return sum;
}

const char* const kBackends[] = {"scalar", "auto"};

// Rows of wildly different magnitudes: nearly every other order of the sum gives other bits.
void spread_magnitudes(Floats& x, uint64_t stream) {
  for (size_t i = 0; i < x.size(); i++)
    x[i] = std::ldexp(x[i], int(prng::bits(check::seed(), stream, i) % 24) - 12);
}

}  // namespace

TEST("order: matmul is one accumulator an output, ascending k, fma from +0, then the bias") {
  const size_t m = 11, k = 700, n = 37;  // three blocks of terms, tails in both directions
  const Case c = {Op::matmul, {int(m), int(k), int(n), 1}, {}};
  std::vector<Floats> t = make_tensors(c, check::seed());
  spread_magnitudes(t[0], 50);
  spread_magnitudes(t[1], 51);
  int reversed_differs = 0;
  for (const char* backend : kBackends) {
    CHECK(bool(run_case(c, t, {backend, 1, 0})));
    for (size_t i = 0; i < m; i++)
      for (size_t j = 0; j < n; j++) {
        Floats row(t[0].begin() + long(i * k), t[0].begin() + long((i + 1) * k)), column(k);
        for (size_t l = 0; l < k; l++) column[l] = t[1][l * n + j];
        CHECK(exact::bits(t[3][i * n + j]) == exact::bits(exact::add(ascending(row, column), t[2][j])));
        const Floats back_row(row.rbegin(), row.rend()), back_column(column.rbegin(), column.rend());
        reversed_differs += exact::add(ascending(back_row, back_column), t[2][j]) != t[3][i * n + j];
      }
  }
  CHECK(reversed_differs > int(m * n));  // so the inputs do tell orders apart
}

TEST("order: the backward products ascend over n and over m") {
  const size_t m = 300, k = 19, n = 270;
  const std::vector<int32_t> integers = {int(m), int(k), int(n)};
  std::vector<Floats> input = make_tensors({Op::matmul_backward_input, integers, {}}, check::seed());
  std::vector<Floats> weight = make_tensors({Op::matmul_backward_weight, integers, {}}, check::seed());
  spread_magnitudes(input[0], 50);
  spread_magnitudes(weight[0], 51);
  CHECK(bool(run_case({Op::matmul_backward_input, integers, {}}, input)));
  CHECK(bool(run_case({Op::matmul_backward_weight, integers, {}}, weight)));
  for (size_t i = 0; i < m; i += 7)
    for (size_t l = 0; l < k; l++) {
      const Floats d_y(input[0].begin() + long(i * n), input[0].begin() + long((i + 1) * n));
      const Floats w(input[1].begin() + long(l * n), input[1].begin() + long((l + 1) * n));
      CHECK(exact::bits(input[2][i * k + l]) == exact::bits(ascending(d_y, w)));
    }
  for (size_t l = 0; l < k; l++)
    for (size_t j = 0; j < n; j += 5) {
      Floats x(m), d_y(m);
      for (size_t i = 0; i < m; i++) x[i] = weight[0][i * k + l], d_y[i] = weight[1][i * n + j];
      CHECK(exact::bits(weight[2][l * n + j]) == exact::bits(ascending(x, d_y)));
    }
}

TEST("order: attention sums over the visible positions only, ascending") {
  const size_t positions = 37, width = 21;
  const Case c = {Op::attention, {1, int(positions), 1, int(width)}, {}};
  std::vector<Floats> t = make_tensors(c, check::seed());
  for (const char* backend : kBackends) {
    CHECK(bool(run_case(c, t, {backend, 1, 0})));
    for (size_t row = 0; row < positions; row++)
      for (size_t d = 0; d < width; d++) {
        Floats p(t[2].begin() + long(row * positions), t[2].begin() + long(row * positions + row + 1)), v;
        for (size_t s = 0; s <= row; s++) v.push_back(t[0][s * 3 * width + 2 * width + d]);
        CHECK(exact::bits(t[1][row * width + d]) == exact::bits(ascending(p, v)));
      }
  }
}

TEST("order: the mean and the norm sum in the fixed tree") {
  for (const int n : {1, 15, 33, 1000}) {
    std::vector<Floats> mean = make_tensors({Op::mean, {n}, {}}, check::seed());
    spread_magnitudes(mean[0], 50);
    std::vector<Floats> norm = {mean[0], {0, 0}};
    for (const char* backend : kBackends) {
      CHECK(bool(run_case({Op::mean, {n}, {}}, mean, {backend, 1, 0})));
      CHECK(bool(run_case({Op::clip_scale, {n}, {0.0}}, norm, {backend, 1, 0})));
      CHECK(exact::bits(mean[1][0]) ==
            exact::bits(exact::div(tree::sum(mean[0].data(), size_t(n)), float(n))));
      CHECK(exact::bits(norm[1][1]) ==
            exact::bits(exact::sqrt(tree::dot(norm[0].data(), norm[0].data(), size_t(n)))));
    }
  }
}

TEST("order: the dot product sums in the fixed tree") {
  for (const int n : {1, 15, 33, 1000}) {
    std::vector<Floats> t = make_tensors({Op::dot, {n}, {}}, check::seed());
    spread_magnitudes(t[0], 50);
    spread_magnitudes(t[1], 51);
    for (const char* backend : kBackends) {
      CHECK(bool(run_case({Op::dot, {n}, {}}, t, {backend, 1, 0})));
      CHECK(exact::bits(t[2][0]) == exact::bits(tree::dot(t[0].data(), t[1].data(), size_t(n))));
    }
  }
}

TEST("order: a pixel of col2im is the sum of its copies by ascending row") {
  const size_t side = 6, kernel = 3, places = 6, rows = places * places;  // stride 1, padding 1
  const Case c = {Op::col2im, {1, int(side), int(side), 1, int(kernel), 1, 1}, {}};
  std::vector<Floats> t = make_tensors(c, check::seed());
  spread_magnitudes(t[0], 50);
  int reversed_differs = 0;
  for (const char* backend : kBackends) {
    CHECK(bool(run_case(c, t, {backend, 1, 0})));
    for (size_t pixel = 0; pixel < side * side; pixel++) {
      float sum = 0, reversed = 0;
      // Where this row of the columns holds the pixel, or nowhere.
      const auto copy = [&](size_t row) -> const float* {
        const size_t k = pixel / side + 1 - row / places, l = pixel % side + 1 - row % places;
        return k < kernel && l < kernel ? &t[0][row * kernel * kernel + k * kernel + l] : nullptr;
      };
      for (size_t row = 0; row < rows; row++)
        if (const float* x = copy(row)) sum = exact::add(sum, *x);
      for (size_t row = rows; row-- > 0;)
        if (const float* x = copy(row)) reversed = exact::add(reversed, *x);
      CHECK(exact::bits(t[1][pixel]) == exact::bits(sum));
      reversed_differs += sum != reversed;
    }
  }
  CHECK(reversed_differs > 10);
}

TEST("order: axpby and the sign step round their sum once, and zeros step nowhere") {
  const float x = 1 + 0x1p-12f, y = -1, a = 1 + 0x1p-12f;  // a x - 1 needs 25 bits
  std::vector<Floats> t = {{x}, {y}, {a, 1}, {0}};
  std::vector<Floats> zeros = {{0.0f, -0.0f, 2}, {0.5f, 0}, {-0.0f, 3, 3}};
  for (const char* backend : kBackends) {
    CHECK(bool(run_case({Op::axpby, {1}, {}}, t, {backend, 1, 0})));
    CHECK(t[3][0] == 0x1p-11f + 0x1p-24f);
    std::vector<Floats> stepped = zeros;
    CHECK(bool(run_case({Op::sign_step, {3}, {}}, stepped, {backend, 1, 0})));
    CHECK(exact::bits(stepped[2][0]) == 0x80000000u && stepped[2][1] == 3 && stepped[2][2] == 2.5f);
    const Floats step = {0.1f, 0.3f};
    std::vector<Floats> once = {{1}, step, {7}};
    CHECK(bool(run_case({Op::sign_step, {1}, {}}, once, {backend, 1, 0})));
    const float keep = exact::sub(1, exact::mul(step[0], step[1]));
    CHECK(exact::bits(once[2][0]) == exact::bits(exact::fma(keep, 7, -step[0])));
  }
}

TEST("order: Yogi's second moment neither grows nor shrinks where it is the squared gradient already") {
  const float inf = exact::infinity();
  std::vector<Floats> t = {{2, 2, 2, inf}, {0.1f}, {0, 0, 0, 0}, {0, 0, 0, 0}, {4, 5, 3, inf}};
  CHECK(bool(run_case({Op::adaptive, {4, 1}, {0.9, 0.5, 1e-3}}, t)));
  CHECK(t[4][0] == 4 && t[4][1] == 3 && t[4][2] == 5 && exact::is_nan(t[4][3]));
}

TEST("order: sums over rows ascend") {
  const size_t m = 41, n = 5;
  std::vector<Floats> t = make_tensors({Op::bias_backward, {int(m), int(n)}, {}}, check::seed());
  spread_magnitudes(t[0], 50);
  CHECK(bool(run_case({Op::bias_backward, {int(m), int(n)}, {}}, t)));
  for (size_t j = 0; j < n; j++) {
    float sum = 0;
    for (size_t i = 0; i < m; i++) sum = exact::add(sum, t[0][i * n + j]);
    CHECK(exact::bits(t[1][j]) == exact::bits(sum));
  }
}

// A compiler that contracts a + q * s into one fma changes the moment estimates of AdamW.
TEST("order: AdamW is not contracted") {
  const Case c = {Op::adamw, {64}, {0.9, 0.999, 1e-8, 0.1}};
  std::vector<Floats> t = make_tensors(c, check::seed());
  const std::vector<Floats> before = t;
  for (const char* backend : kBackends) {
    t = before;
    CHECK(bool(run_case(c, t, {backend, 1, 0})));
    for (size_t i = 0; i < 64; i++) {
      volatile float scaled = 0.9f * before[5][i];
      const float m = exact::fma(float(1.0 - 0.9), exact::mul(before[0][i], before[1][0]), scaled);
      CHECK(exact::bits(t[5][i]) == exact::bits(m));
    }
  }
}
