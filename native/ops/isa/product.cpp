// The register-blocked matrix product; product.h says what it computes.
#include "ops/isa/product.h"

namespace gradmesh::ops::GM_ISA {
namespace {

#if defined(GM_ISA_avx512)
constexpr int kTileRows = 8, kTileVectors = 3;  // 24 of 32 registers accumulate
#elif defined(GM_ISA_avx2)
constexpr int kTileRows = 6, kTileVectors = 1;  // 12 of 16
#else
constexpr int kTileRows = 4, kTileVectors = 1;
#endif
#define GM_UNROLL _Pragma("GCC unroll 16")

// A tile's place in one block of terms. Pointers are at its first row, first column and first term.
struct Tile {
  const float* a;
  size_t a_row, a_term;
  const float* panel;  // [terms][vectors * 16]
  size_t terms;
  float* c;
  size_t c_row;
  size_t columns;     // real outputs in a row; the panel is filled up to whole vectors
  bool resume;        // the accumulators go on from c
  const float* bias;  // not null in the last block of a product with bias
};

// Adds one term to the rows [first, last).
template <int Rows, int Vectors, bool Transposed>
HD void add_term(F16 (&sums)[Rows][Vectors], const float* a, size_t a_row, const float* panel, int first,
                 int last) {
  F16 b[Vectors];
  GM_UNROLL for (int v = 0; v < Vectors; ++v) b[v] = load(panel + v * kLanes);
  GM_UNROLL for (int r = 0; r < Rows; ++r) {
    if (r < first || r >= last) continue;
    const F16 factor = spread(Transposed ? a[r] : a[r * a_row]);
    GM_UNROLL for (int v = 0; v < Vectors; ++v) sums[r][v] = fma(factor, b[v], sums[r][v]);
  }
}

template <int Rows, int Vectors, bool Transposed, Terms Which>
static void run_tile(const Tile& t) {
  constexpr size_t width = Vectors * kLanes;
  F16 sums[Rows][Vectors];
  GM_UNROLL for (int r = 0; r < Rows; ++r) {
    GM_UNROLL for (int v = 0; v < Vectors; ++v) {
      const size_t column = v * kLanes;
      sums[r][v] = t.resume ? load_some(t.c + r * t.c_row + column, t.columns - column) : zero();
    }
  }

  const float* a = t.a;
  const float* panel = t.panel;
  const size_t a_row = t.a_row, a_term = Transposed ? t.a_term : 1;
  constexpr bool triangular = Which == Terms::up_to || Which == Terms::from;
  const size_t whole = t.terms - (triangular ? Rows - 1 : 0);  // terms that every row takes
  if constexpr (Which == Terms::from) {
    GM_UNROLL for (int d = 0; d < Rows - 1; ++d, a += a_term, panel += width)
        add_term<Rows, Vectors, Transposed>(sums, a, a_row, panel, 0, d + 1);
  }
  for (size_t k = 0; k < whole; ++k, a += a_term, panel += width)
    add_term<Rows, Vectors, Transposed>(sums, a, a_row, panel, 0, Rows);
  if constexpr (Which == Terms::up_to) {
    GM_UNROLL for (int d = 1; d < Rows; ++d, a += a_term, panel += width)
        add_term<Rows, Vectors, Transposed>(sums, a, a_row, panel, d, Rows);
  }

  GM_UNROLL for (int v = 0; v < Vectors; ++v) {
    const size_t column = v * kLanes, count = t.columns - column;
    const F16 bias = t.bias ? load_some(t.bias + column, count) : zero();
    GM_UNROLL for (int r = 0; r < Rows; ++r)
        store_some(t.c + r * t.c_row + column, t.bias ? add(sums[r][v], bias) : sums[r][v], count);
  }
}

template <int Rows, bool Transposed, Terms Which>
static void run_tile_of_vectors(const Tile& t, size_t vectors) {
  if constexpr (kTileVectors >= 3)
    if (vectors == 3) return run_tile<Rows, 3, Transposed, Which>(t);
  if constexpr (kTileVectors >= 2)
    if (vectors == 2) return run_tile<Rows, 2, Transposed, Which>(t);
  run_tile<Rows, 1, Transposed, Which>(t);
}

// The largest tile height that fits into the rows left.
HD size_t tile_rows(size_t left) {
  if (left >= kTileRows) return kTileRows;
  return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

template <bool Transposed, Terms Which>
static void run_tile_of_rows(const Tile& t, size_t rows, size_t vectors) {
  if (rows == kTileRows) return run_tile_of_vectors<kTileRows, Transposed, Which>(t, vectors);
  if (kTileRows > 4 && rows == 4) return run_tile_of_vectors<4, Transposed, Which>(t, vectors);
  if (rows == 2) return run_tile_of_vectors<2, Transposed, Which>(t, vectors);
  run_tile_of_vectors<1, Transposed, Which>(t, vectors);
}

// One panel of at most kTileVectors vectors against the rows [row_begin, row_end), for terms [first, last).
template <bool Transposed, Terms Which>
static void run_panel(const Product& p, const float* panel, size_t vectors, size_t column, size_t columns,
                      size_t row_begin, size_t row_end, size_t first, size_t last) {
  Tile t;
  t.a_row = p.a_row, t.a_term = p.a_term, t.c_row = p.c_row, t.columns = columns;
  t.resume = first > 0;
  t.bias = p.bias && last == p.terms ? p.bias + column : nullptr;
  for (size_t row = row_begin, rows; row < row_end; row += rows) {
    rows = tile_rows(row_end - row);
    if (Which == Terms::outputs && column > row + rows - 1) continue;
    const size_t skipped = Which == Terms::from ? row : 0;
    t.a = p.a + row * p.a_row + (first + skipped) * p.a_term;
    t.panel = panel + skipped * vectors * kLanes;
    t.terms = (Which == Terms::up_to ? row + rows : last - first) - skipped;
    t.c = p.c + row * p.c_row + column;
    run_tile_of_rows<Transposed, Which>(t, rows, vectors);
  }
}

// source[4][stride] -> target[4][width] with rows and columns exchanged: a vector extension of GCC, for it
// needs no arithmetic and is good on every processor.
HD void transpose_four(const float* source, size_t stride, float* target, size_t width) {
  typedef float Four __attribute__((vector_size(16)));
  typedef int32_t Places __attribute__((vector_size(16)));
  Four row[4], half[4];
  for (int i = 0; i < 4; ++i) memcpy(&row[i], source + i * stride, 16);
  for (int i = 0; i < 2; ++i) {
    half[i] = __builtin_shuffle(row[2 * i], row[2 * i + 1], (Places){0, 4, 1, 5});
    half[2 + i] = __builtin_shuffle(row[2 * i], row[2 * i + 1], (Places){2, 6, 3, 7});
  }
  for (int i = 0; i < 2; ++i) {
    const Four upper = __builtin_shuffle(half[2 * i], half[2 * i + 1], (Places){0, 1, 4, 5});
    const Four lower = __builtin_shuffle(half[2 * i], half[2 * i + 1], (Places){2, 3, 6, 7});
    memcpy(target + 2 * i * width, &upper, 16);
    memcpy(target + (2 * i + 1) * width, &lower, 16);
  }
}

// The terms [first, last) where b's terms are next to each other, four by four.
static void pack_transposed(const Product& p, size_t first, size_t last, size_t column, size_t columns,
                            size_t width, float* panel) {
  const float* b = p.b + column * p.b_column;
  const size_t whole = columns / 4 * 4;
  size_t k = first;
  for (; k + 4 <= last; k += 4, panel += 4 * width) {
    for (size_t j = 0; j < whole; j += 4)
      transpose_four(b + j * p.b_column + k, p.b_column, panel + j, width);
    for (size_t j = whole; j < width; ++j)
      for (size_t i = 0; i < 4; ++i) panel[i * width + j] = j < columns ? b[j * p.b_column + k + i] : 0.0f;
  }
  for (; k < last; ++k, panel += width)
    for (size_t j = 0; j < width; ++j) panel[j] = j < columns ? b[j * p.b_column + k] : 0.0f;
}

// Copies the terms [first, last) of some columns to panel[last - first][vectors * 16], filled up with +0.
static void pack(const Product& p, size_t first, size_t last, size_t column, size_t columns, size_t vectors,
                 float* panel) {
  const size_t width = vectors * kLanes;
  if (p.b_column != 1) return pack_transposed(p, first, last, column, columns, width, panel);
  for (size_t k = first; k < last; ++k, panel += width) {
    const float* source = p.b + k * p.b_term + column;
    for (size_t v = 0; v < vectors; ++v)
      store(panel + v * kLanes, load_some(source + v * kLanes, columns - v * kLanes));
  }
}

// Vectors of the next panel; a last single vector takes one from the panel before it.
HD size_t panel_vectors(size_t left) {
  if (left == kTileVectors + 1 && kTileVectors > 2) return (left + 1) / 2;
  return left < kTileVectors ? left : kTileVectors;
}

}  // namespace

void multiply(const Product& p, size_t row_begin, size_t row_end, size_t column_begin, size_t column_end,
              float* panel) {
  const bool triangular = p.which == Terms::up_to || p.which == Terms::from;
  const size_t block = triangular ? p.terms : kBlockTerms;  // a triangle is not cut
  for (size_t first = 0; first < p.terms; first += block) {
    const size_t last = smaller(first + block, p.terms);
    for (size_t column = column_begin; column < column_end;) {
      const size_t vectors = panel_vectors(blocks(column_end - column, kLanes));
      const size_t columns = smaller(vectors * kLanes, column_end - column);
      pack(p, first, last, column, columns, vectors, panel);
      if (p.which == Terms::up_to)
        run_panel<false, Terms::up_to>(p, panel, vectors, column, columns, row_begin, row_end, first, last);
      else if (p.which == Terms::from)
        run_panel<true, Terms::from>(p, panel, vectors, column, columns, row_begin, row_end, first, last);
      else if (p.which == Terms::outputs)
        run_panel<false, Terms::outputs>(p, panel, vectors, column, columns, row_begin, row_end, first, last);
      else if (p.a_term == 1)
        run_panel<false, Terms::all>(p, panel, vectors, column, columns, row_begin, row_end, first, last);
      else
        run_panel<true, Terms::all>(p, panel, vectors, column, columns, row_begin, row_end, first, last);
      column += columns;
    }
  }
}

}  // namespace gradmesh::ops::GM_ISA
