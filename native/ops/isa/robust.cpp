// Aggregation over peers' rows: sums of rows, trimmed means by sorting networks over columns side by side,
// and distances in the fixed tree.
#include "ops/define/robust.h"

#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {
namespace {

// ---- columns side by side, as wide as one register: a network of 16 rows stays in registers ----

#if defined(GM_ISA_avx512)

constexpr size_t kColumns = 16;
struct Values {
  __m512 v;
};
struct Keys {
  __m512i v;
};
HD __m512i flip(__m512i a) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  return _mm512_xor_si512(a, _mm512_and_si512(_mm512_srai_epi32(a, 31), magnitude));
}
HD Keys read(const float* x, size_t count) {
  const F16 values = load_some(x, count);
  return {flip(_mm512_castps_si512(values.v))};
}
HD void write(float* out, Values a, size_t count) { store_some(out, {a.v}, count); }
HD void exchange(Keys& low, Keys& high) {
  const __m512i a = low.v, b = high.v;
  low.v = _mm512_min_epi32(a, b), high.v = _mm512_max_epi32(a, b);
}
HD Values value_of(Keys a) { return {_mm512_castsi512_ps(flip(a.v))}; }
HD Values sum_of(Values a, Values b) { return {_mm512_add_ps(a.v, b.v)}; }
HD Values part_of(Values sum, float count) {
  return {canonical(F16{_mm512_div_ps(sum.v, _mm512_set1_ps(count))}).v};
}

#elif defined(GM_ISA_avx2)

constexpr size_t kColumns = 8;
struct Values {
  __m256 v;
};
struct Keys {
  __m256i v;
};
HD __m256i flip(__m256i a) { return _mm256_xor_si256(a, _mm256_srli_epi32(_mm256_srai_epi32(a, 31), 1)); }
HD Keys read(const float* x, size_t count) {
  const __m256 values =
      count >= kColumns ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, first_lanes(static_cast<int>(count)));
  return {flip(_mm256_castps_si256(values))};
}
HD void write(float* out, Values a, size_t count) {
  if (count >= kColumns)
    _mm256_storeu_ps(out, a.v);
  else
    _mm256_maskstore_ps(out, first_lanes(static_cast<int>(count)), a.v);
}
HD void exchange(Keys& low, Keys& high) {
  const __m256i a = low.v, b = high.v;
  low.v = _mm256_min_epi32(a, b), high.v = _mm256_max_epi32(a, b);
}
HD Values value_of(Keys a) { return {_mm256_castsi256_ps(flip(a.v))}; }
HD Values sum_of(Values a, Values b) { return {_mm256_add_ps(a.v, b.v)}; }
HD Values part_of(Values sum, float count) {
  return {canonical(_mm256_div_ps(sum.v, _mm256_set1_ps(count)))};
}

#else

constexpr size_t kColumns = 1;
using Keys = define::OneKey;
HD Keys read(const float* x, size_t) { return {order::key(*x)}; }
HD void write(float* out, float a, size_t) { *out = a; }

#endif

struct Columns {
  const float* x;
  float* out;
  size_t columns, begin, end;
  int faulty;
};

template <int Rows>
void trimmed_columns(const Columns& c) {
  for (size_t i = c.begin; i < c.end; i += kColumns) {
    const size_t count = c.end - i;
    Keys keys[Rows];
    for (int row = 0; row < Rows; ++row) keys[row] = read(c.x + (size_t)row * c.columns + i, count);
    write(c.out + i, define::trimmed_mean<Rows>(keys, c.faulty), count);
  }
}

template <int Rows>
void trimmed_rows(int rows, const Columns& c) {
  if (rows == Rows) return trimmed_columns<Rows>(c);
  if constexpr (Rows > 1) trimmed_rows<Rows - 1>(rows, c);
}

// ---- sums over rows and squares ----

// Rows of a block of so many columns stay in the caches while they are gone through again.
constexpr size_t kBlock = 256;
// Sums that are taken side by side, so that one's latency hides behind the others.
constexpr size_t kSums = 4;

// lanes += (a - b)^2 of columns [0, count), each lane of the fixed tree its own.
HD F16 add_square(F16 lanes, F16 a, F16 b) {
  const F16 difference = sub(a, b);
  return fma(difference, difference, lanes);
}

// A block of `count` columns: for `sums` rows of y, `stride` apart, lanes += (x - y)^2. sums is kSums or
// less.
HD void add_squares(const float* x, const float* y, size_t stride, size_t sums, size_t count, float* lanes) {
  F16 sum[kSums];
  const float* rows[kSums];
  for (size_t j = 0; j < kSums; ++j) {
    const size_t row = j < sums ? j : 0;  // repeats the first, for nobody
    sum[j] = load(lanes + row * kLanes), rows[j] = y + row * stride;
  }
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const F16 own = load(x + i);
    for (size_t j = 0; j < kSums; ++j) sum[j] = add_square(sum[j], own, load(rows[j] + i));
  }
  if (i < count) {
    const F16 own = load_part(x + i, count - i);
    for (size_t j = 0; j < kSums; ++j) sum[j] = add_square(sum[j], own, load_part(rows[j] + i, count - i));
  }
  for (size_t j = 0; j < sums; ++j) store(lanes + j * kLanes, sum[j]);
}

HD void clear(float* lanes, size_t sums) {
  for (size_t i = 0; i < sums; ++i) store(lanes + i * kLanes, zero());
}
HD float total(const float* lanes) { return exact::canonical(tree_fold(load(lanes))); }

// center + the sum of factor (x - center) by ascending row, of a block of columns
HD void step_center(const float* x, size_t rows, size_t columns, const float* factors, float* center,
                    size_t count) {
  for (size_t i = 0; i < count; i += kLanes) {
    const size_t left = count - i;
    const F16 from = load_some(center + i, left);
    F16 step = zero();
    for (size_t row = 0; row < rows; ++row) {
      if (factors[row] == 0.0f) continue;
      step = fma(spread(factors[row]), sub(load_some(x + row * columns + i, left), from), step);
    }
    store_some(center + i, canonical(add(from, step)), left);
  }
}

}  // namespace

void combine_rows(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const float* __restrict x = input(arguments, 0);
  const float* __restrict weights = input(arguments, 1);
  float* __restrict out = output(arguments, 0);
  const size_t end = smaller(unit_end * kElementsPerUnit, columns);
  for (size_t i = unit_begin * kElementsPerUnit; i < end; i += kLanes) {
    F16 sum = zero();
    for (size_t row = 0; row < rows; ++row)
      if (weights[row] != 0.0f)
        sum = fma(spread(weights[row]), load_some(x + row * columns + i, end - i), sum);
    store_some(out + i, canonical(sum), end - i);
  }
}

void trimmed_mean(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t columns = integer(arguments, 1);
  const Columns c = {input(arguments, 0),
                     output(arguments, 0),
                     columns,
                     unit_begin * kElementsPerUnit,
                     smaller(unit_end * kElementsPerUnit, columns),
                     arguments.integers[2]};
  trimmed_rows<define::kPeersMax>(arguments.integers[0], c);
}

// Block by block of columns, every pair of rows, each with its lanes in scratch.
void pair_distances(const Arguments& arguments, uint64_t, uint64_t) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const float* x = input(arguments, 0);
  float* out = output(arguments, 0);
  float* scratch = arguments.scratch;
  const auto lanes = [&](size_t row, size_t other) {
    return scratch + (row * (row + 1) / 2 + other) * kLanes;
  };
  clear(scratch, rows * (rows + 1) / 2);
  for (size_t begin = 0; begin < columns; begin += kBlock)
    for (size_t row = 0; row < rows; ++row)
      for (size_t other = 0; other <= row; other += kSums)
        add_squares(x + row * columns + begin, x + other * columns + begin, columns,
                    smaller(kSums, row + 1 - other), smaller(kBlock, columns - begin), lanes(row, other));
  for (size_t row = 0; row < rows; ++row)
    for (size_t other = 0; other <= row; ++other)
      out[row * rows + other] = out[other * rows + row] = total(lanes(row, other));
}

void centered_clip(const Arguments& arguments, uint64_t, uint64_t) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const float* x = input(arguments, 0);
  const float* factors = input(arguments, 1);
  float* center = output(arguments, 0);
  float* distances = output(arguments, 1);
  clear(arguments.scratch, rows);
  for (size_t begin = 0; begin < columns; begin += kBlock) {
    const size_t count = smaller(kBlock, columns - begin);
    step_center(x + begin, rows, columns, factors, center + begin, count);
    for (size_t row = 0; row < rows; row += kSums)
      add_squares(center + begin, x + row * columns + begin, columns, smaller(kSums, rows - row), count,
                  arguments.scratch + row * kLanes);
  }
  for (size_t row = 0; row < rows; ++row) distances[row] = total(arguments.scratch + row * kLanes);
}

}  // namespace gradmesh::ops::GM_ISA
