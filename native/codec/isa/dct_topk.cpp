// The loops of dct_topk, tile by tile; isa/dct.h has the transforms, isa/select.h the choice of coefficients.
#include "codec/dct_topk.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/dct.h"
#include "codec/isa/select.h"
#include "codec/loops.h"
#include "numeric/convert.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::dct_topk;
constexpr size_t kTile = dct::kTileMost;

constexpr DctSide side64() {
  DctSide tables = {};
  fill_side(kRow, &tables);
  return tables;
}
constexpr DctSide kSide64 = side64();

// The tables of a call's sides; those that are not 64 are filled at its start.
struct Sides {
  const DctSide *height, *width, *tail;
  DctSide own[3];
};
HD const DctSide* tables_of(uint32_t side, DctSide* own) {
  if (side == kRow) return &kSide64;
  if (side > 0) fill_side(side, own);
  return own;
}
HD void fill(const dct_topk::Layout& l, Sides* sides) {
  sides->height = tables_of(l.shape.height, &sides->own[0]);
  sides->width = tables_of(l.shape.width, &sides->own[1]);
  sides->tail = tables_of(l.tail_lines, &sides->own[2]);
}

// What each function of the codec works with.
struct Call {
  const CodecOptions& options;
  size_t elements;
  dct_topk::Layout layout;
  Sides sides;
  Call(const CodecOptions& options, size_t elements) : options(options), elements(elements) {
    layout = dct_topk::layout(options, elements);
    fill(layout, &sides);
  }
};
HD const DctSide& vertical(const Call& call, const dct_topk::Tile& tile) {
  return tile.lines == call.layout.shape.height ? *call.sides.height : *call.sides.tail;
}

// How many elements of the tile's line i there are in the call.
HD size_t line_elements(const Call& call, const dct_topk::Tile& tile, size_t i) {
  const size_t begin = tile.element + i * call.options.columns, width = call.layout.shape.width;
  if (begin >= call.elements) return 0;
  return call.elements - begin < width ? call.elements - begin : width;
}
// body(i, first element of line i in the call, elements)
template <class Body>
HD void each_line(const Call& call, const dct_topk::Tile& tile, Body body) {
  for (size_t i = 0; i < tile.lines; i++)
    body(i, tile.element + i * call.options.columns, line_elements(call, tile, i));
}
template <class Body>
HD void each_tile(const Call& call, Body body) {
  for (size_t i = 0; i < call.layout.tiles; i++) body(dct_topk::tile(call.options, call.layout, i));
}

// Fills a tile's buffer up with +0: behind the elements of each line, and below the lines of a partial
// vector.
HD void pad(const Call& call, const dct_topk::Tile& tile, float* x) {
  if (tile.lines == kRow && call.layout.shape.width == kRow && line_elements(call, tile, kRow - 1) == kRow)
    return;
  each_line(
      call, tile, [&](size_t i, size_t, size_t count) __attribute__((always_inline)) {
        memset(x + i * kRow + count, 0, (kRow - count) * sizeof(float));
      });
  memset(x + tile.lines * kRow, 0, (kRow - tile.lines) * kRow * sizeof(float));
}

// x, a tile in rows of 64, is used up.
__attribute__((noinline)) void encode_tile(const Call& call, const dct_topk::Tile& tile, float* x,
                                           uint8_t* wire) {
  alignas(64) float y[kTile];
  alignas(64) uint32_t index[kTile + kSpare];
  const size_t width = call.layout.shape.width, lines = tile.lines, count = lines * width;
  pad(call, tile, x);
  const uint32_t largest = static_cast<uint32_t>(largest_magnitude(x, kTile));
  if (largest >= dct_topk::kInfinity) {
    for (size_t i = 0; i < tile.kept; i++)
      index[i] = static_cast<uint32_t>(i), y[i] = exact::from_bits(exact::kNan);
  } else {
    if (largest >= dct_topk::kHuge)
      for (size_t i = 0; i < kTile; i++) x[i] = exact::mul(x[i], dct_topk::down(largest));
    forward_columns(vertical(call, tile).matrices, lines, width, x, y);
    transpose(y, lines, width, x);
    forward_columns(call.sides.width->matrices, width, lines, x, y);
    if (lines < kRow)
      for (size_t v = 1; v < width; v++) memmove(y + v * lines, y + v * kRow, lines * sizeof(float));
    select(y, count, tile.kept, index);
    const float factor = dct_topk::factor(tile.lines, call.layout.shape.width, largest);
    for (size_t i = 0; i < tile.kept; i++) x[i] = dct_topk::value(y[index[i]], factor);
    memcpy(y, x, tile.kept * sizeof(float));
  }
  kept::encode(call.options.values, y, tile.kept, wire + tile.values, wire + tile.scale);
  pack(index, tile.kept, call.layout.shape.index_bits, wire + tile.indices);
}

// A tile's kept coefficients as t[u][j], summed along the rows; returns the largest magnitude.
HD uint32_t scatter(const Call& call, const dct_topk::Tile& tile, const uint8_t* wire, float* t) {
  alignas(64) uint32_t index[kTile], bits[kTile];
  const uint32_t lines = tile.lines, width = call.layout.shape.width;
  unpack(wire + tile.indices, dct_topk::index_bytes(call.layout.shape, tile.kept), tile.kept,
         call.layout.shape.index_bits, index);
  kept::decode_all(call.options.values, wire + tile.values, tile.kept, wire + tile.scale, bits);
  uint32_t largest = 0;
  for (size_t i = 0; i < tile.kept; i++) {
    const uint32_t magnitude = bits[i] & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  if (largest >= dct_topk::kInfinity) return largest;
  memset(t, 0, kTile * sizeof(float));
  const float down = dct_topk::down(largest);
  for (size_t i = 0; i < tile.kept; i++) {
    if (index[i] >= lines * width) continue;
    const F16 c = spread(exact::mul(exact::from_bits(bits[i]), down));
    const uint32_t v = index[i] / lines;
    float* const row = t + (index[i] - v * lines) * kRow;
    const float* const basis = call.sides.width->basis + v * kRow;
    for (size_t j = 0; j < kRow; j += kLanes) store(row + j, fma(load(basis + j), c, load(row + j)));
  }
  return largest;
}

// The tile as rows of 64.
__attribute__((noinline)) void decode_tile(const Call& call, const dct_topk::Tile& tile, const uint8_t* wire,
                                           float* y) {
  alignas(64) float t[kTile];
  const uint32_t largest = scatter(call, tile, wire, t);
  if (largest >= dct_topk::kInfinity) {
    for (size_t i = 0; i < kTile; i++) y[i] = exact::from_bits(exact::kNan);
    return;
  }
  inverse_columns(vertical(call, tile).matrices, tile.lines, call.layout.shape.width, t, y);
  const float factor = dct_topk::factor(tile.lines, call.layout.shape.width, largest);
  for (size_t i = 0; i < tile.lines * kRow; i++) y[i] = dct_topk::value(y[i], factor);
}

HD void add(const float* __restrict decoded, size_t count, float* __restrict target) {
  for (size_t i = 0; i < count; i++) target[i] = exact::canonical(exact::add(target[i], decoded[i]));
}

struct DctTopk {
  static void encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements,
                     uint8_t* wire) {
    alignas(64) float x[kTile];
    const Call call(options, elements);
    each_tile(
        call, [&](const dct_topk::Tile& tile) __attribute__((always_inline)) {
          each_line(
              call, tile, [&](size_t i, size_t at, size_t count) __attribute__((always_inline)) {
                memcpy(x + i * kRow, source + at, count * sizeof(float));
              });
          encode_tile(call, tile, x, wire);
        });
  }
  static void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                     float* target) {
    alignas(64) float y[kTile];
    const Call call(options, elements);
    each_tile(
        call, [&](const dct_topk::Tile& tile) __attribute__((always_inline)) {
          decode_tile(call, tile, wire, y);
          each_line(
              call, tile, [&](size_t i, size_t at, size_t count) __attribute__((always_inline)) {
                memcpy(target + at, y + i * kRow, count * sizeof(float));
              });
        });
  }
  static void decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         float* target) {
    alignas(64) float y[kTile];
    const Call call(options, elements);
    each_tile(
        call, [&](const dct_topk::Tile& tile) __attribute__((always_inline)) {
          decode_tile(call, tile, wire, y);
          each_line(
              call, tile, [&](size_t i, size_t at, size_t count) __attribute__((always_inline)) {
                add(y + i * kRow, count, target + at);
              });
        });
  }
  static void decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&,
                                const uint8_t* wire, const float* source, size_t elements, uint8_t* result) {
    alignas(64) float y[kTile];
    const Call call(options, elements);
    each_tile(
        call, [&](const dct_topk::Tile& tile) __attribute__((always_inline)) {
          decode_tile(call, tile, wire, y);
          each_line(
              call, tile, [&](size_t i, size_t at, size_t count) __attribute__((always_inline)) {
                add(source + at, count, y + i * kRow);
              });
          encode_tile(call, tile, y, result);
        });
  }
  static void mean(const CodecOptions& options, const CodecKey&, const uint8_t* const* wires, uint32_t ranks,
                   size_t elements, uint8_t* wire) {
    alignas(64) float sum[kTile], y[kTile];
    const float divisor = static_cast<float>(ranks);
    const Call call(options, elements);
    each_tile(
        call, [&](const dct_topk::Tile& tile) __attribute__((always_inline)) {
          const size_t count = tile.lines * kRow;
          decode_tile(call, tile, wires[0], sum);
          for (uint32_t rank = 1; rank < ranks; rank++) {
            decode_tile(call, tile, wires[rank], y);
            add(y, count, sum);
          }
          for (size_t i = 0; i < count; i++) sum[i] = exact::canonical(exact::div(sum[i], divisor));
          encode_tile(call, tile, sum, wire);
        });
  }
};

}  // namespace

extern const CodecLoops dct_topk_loops;
const CodecLoops dct_topk_loops = {
    DctTopk::encode, DctTopk::decode, DctTopk::decode_add, DctTopk::decode_add_encode, DctTopk::mean, nullptr,
    nullptr,         nullptr};

}  // namespace gradmesh::GM_ISA
