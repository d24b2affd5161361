// Aggregation over peers' rows, against its definition in plain scalar loops, by bytes, for every number of
// rows; and what it does with rows that are lies.
#include <algorithm>
#include <cmath>

#include "numeric/convert.h"
#include "numeric/order.h"
#include "numeric/tree.h"
#include "support.h"

using namespace support;

namespace {

std::vector<Floats> run(Op op, std::vector<int32_t> integers, std::vector<Floats> tensors) {
  const Case c = {op, std::move(integers), {}};
  CHECK_THAT(bool(run_case(c, tensors)), describe(c));
  return tensors;
}

Floats sorted_column(const Floats& x, size_t rows, size_t columns, size_t column) {
  Floats values;
  for (size_t row = 0; row < rows; row++) values.push_back(x[row * columns + column]);
  std::sort(values.begin(), values.end(), [](float a, float b) { return order::key(a) < order::key(b); });
  return values;
}

float trimmed(const Floats& sorted, size_t faulty) {
  float sum = sorted[faulty];
  for (size_t i = faulty + 1; i < sorted.size() - faulty; i++) sum = exact::add(sum, sorted[i]);
  return exact::canonical(exact::div(sum, float(sorted.size() - 2 * faulty)));
}

// Few different values, so that columns hold equal ones, zeros of both signs, infinities and NaN.
Floats tied(size_t count, uint64_t seed) {
  const float values[] = {0.0f, -0.0f, 1.0f, -1.0f, 2.5f, INFINITY, -INFINITY, 3e38f, 1e-42f};
  Floats x;
  for (size_t i = 0; i < count; i++) {
    const uint32_t draw = prng::bits(seed, 5, i);
    x.push_back(draw % 17 == 0 ? exact::from_bits(0x7fc00001u | draw << 31) : values[draw / 17 % 9]);
  }
  return x;
}

}  // namespace

TEST("robust: the trimmed mean of any number of rows is that of sorted columns, to the bit") {
  for (size_t rows = 1; rows <= 32; rows++)
    for (size_t faulty = 0; 2 * faulty < rows; faulty++) {
      const size_t columns = 67;
      const Floats x = tied(rows * columns, check::seed() + rows);
      const Floats out =
          run(Op::trimmed_mean, {int32_t(rows), int32_t(columns), int32_t(faulty)}, {x, Floats(columns)})[1];
      for (size_t k = 0; k < columns; k++)
        CHECK(exact::bits(out[k]) == exact::bits(trimmed(sorted_column(x, rows, columns, k), faulty)));
    }
}

TEST("robust: the network sorts every pattern of zeros and ones, so it sorts everything") {
  // The zero-one principle (Knuth, volume 3, 5.3.4): a column a pattern, all of 12 rows, a share of 32.
  for (const size_t rows : {12u, 32u}) {
    const size_t columns = rows == 12 ? 1u << 12 : 1u << 14;
    Floats x(rows * columns);
    for (size_t k = 0; k < columns; k++)
      for (size_t row = 0; row < rows; row++)
        x[row * columns + k] =
            rows == 12 ? float(k >> row & 1) : float(prng::bits(check::seed(), k, row) & 1);
    for (size_t faulty = 0; 2 * faulty < rows; faulty++) {
      const Floats out =
          run(Op::trimmed_mean, {int32_t(rows), int32_t(columns), int32_t(faulty)}, {x, Floats(columns)})[1];
      for (size_t k = 0; k < columns; k++) {
        size_t ones = 0;
        for (size_t row = 0; row < rows; row++) ones += x[row * columns + k] == 1.0f;
        const size_t kept = rows - 2 * faulty, high = std::min(ones > faulty ? ones - faulty : 0, kept);
        CHECK(out[k] == exact::div(float(high), float(kept)));
      }
    }
  }
}

TEST("robust: the median of an even number of rows is the mean of the two in the middle") {
  const Floats out = run(Op::trimmed_mean, {4, 2, 1}, {{1, 9, 100, -9, 3, 1, -100, 2}, Floats(2)})[1];
  CHECK(out[0] == 2.0f && out[1] == 1.5f);
}

TEST("robust: NaN and infinities of less than half of the rows do not reach the median") {
  const size_t rows = 15, columns = 100;
  Floats x = make_tensors({Op::trimmed_mean, {15, 100, 7}, {}}, check::seed())[0];
  const Floats honest(x.begin() + 7 * columns, x.end());
  const float lies[] = {exact::from_bits(0x7fc00000u), exact::from_bits(0xffc12345u), INFINITY, -INFINITY};
  for (size_t i = 0; i < 7 * columns; i++) x[i] = lies[prng::bits(check::seed(), 1, i) % 4];
  const Floats out = run(Op::trimmed_mean, {15, 100, 7}, {x, Floats(columns)})[1];
  for (size_t k = 0; k < columns; k++) {
    const Floats column = sorted_column(honest, rows - 7, columns, k);
    CHECK(out[k] >= column.front() && out[k] <= column.back());
  }
}

TEST("robust: distances are sums in the fixed tree, and symmetric") {
  const size_t rows = 9, columns = 1003;
  const Floats x = make_tensors({Op::pair_distances, {9, 1003}, {}}, check::seed())[0];
  const Floats out = run(Op::pair_distances, {9, 1003}, {x, Floats(rows * rows)})[1];
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j <= i; j++) {
      Floats difference(columns);
      for (size_t k = 0; k < columns; k++) difference[k] = exact::sub(x[i * columns + k], x[j * columns + k]);
      const float want = tree::dot(difference.data(), difference.data(), columns);
      CHECK(out[i * rows + j] == want && out[j * rows + i] == want);
      CHECK(i != j || exact::bits(want) == 0);
    }
}

TEST("robust: a step of CenteredClip and the distances to where it leads, to the bit") {
  const size_t rows = 6, columns = 531;
  std::vector<Floats> tensors = make_tensors({Op::centered_clip, {6, 531}, {}}, check::seed());
  tensors[1][2] = 0;
  std::fill(tensors[0].begin() + 2 * columns, tensors[0].begin() + 3 * columns, NAN);
  const std::vector<Floats> found = run(Op::centered_clip, {6, 531}, tensors);
  Floats center = tensors[2];
  for (size_t k = 0; k < columns; k++) {
    float step = 0;
    for (size_t row = 0; row < rows; row++)
      if (row != 2)
        step = exact::fma(tensors[1][row], exact::sub(tensors[0][row * columns + k], center[k]), step);
    center[k] = exact::add(center[k], step);
  }
  CHECK(std::memcmp(center.data(), found[2].data(), columns * 4) == 0);
  for (size_t row = 0; row < rows; row++) {
    Floats difference(columns);
    for (size_t k = 0; k < columns; k++) difference[k] = exact::sub(center[k], tensors[0][row * columns + k]);
    const float want = tree::dot(difference.data(), difference.data(), columns);
    CHECK(exact::bits(found[3][row]) == exact::bits(row == 2 ? exact::quiet_nan() : want));
  }
}

TEST("robust: a row of weight 0 is not read, and weights are those of ascending rows") {
  const std::vector<Floats> found =
      run(Op::combine_rows, {3, 2}, {{1, 2, NAN, INFINITY, 5, -0.5f}, {0.5f, 0, 2}, Floats(2)});
  CHECK(found[2][0] == 10.5f && found[2][1] == 0.0f);
}

TEST("robust: more rows than a network takes, and half of them trimmed, are refused") {
  gradmesh::ops::Shape shape;
  const int32_t many[] = {33, 5}, half[] = {4, 5, 2};
  const Status rows = gradmesh::ops::op_shape(Op::combine_rows, many, {}, &shape);
  const Status trim = gradmesh::ops::op_shape(Op::trimmed_mean, half, {}, &shape);
  CHECK_THAT(rows.message() == "combine_rows: integer 0 is 33, allowed: 1 to 32", rows.message());
  CHECK_THAT(trim.message() == "trimmed_mean: f is 2, allowed: less than half of n, which is 4",
             trim.message());
}
