// The dct_topk codec: of each tile of a matrix, the k coefficients of largest magnitude of its DCT (DeMo,
// 2411.19870; DisTrO). This file and dct.h define every byte of it.
//
// The elements are a matrix with `columns` columns, row after row. Tiles are `height` x `width`, the largest
// divisors, at most 64, of rows and of columns (64 x 64 where they are multiples of 64). A strip is `height`
// whole rows, cut into tiles from left to right; it is the block of this codec. What is left at the end is a
// strip of fewer rows: of ceil(rest / columns), the last filled up with +0, and its tiles are that high.
//
// A tile of `lines` rows keeps kept = ceil(k lines / height) of its lines * width coefficients:
// - `largest`, the maximum over integer magnitude bits, is NaN or Inf: the kept coefficients are 0 .. kept -
// 1, all of
//   them NaN;
// - else, in this order: from 2^112 on, every element times 2^-16, so that no sum overflows; forward (dct.h);
// the kept
//   ones are those of largest magnitude bits, of equal ones the lower index first. Coefficient (u, v), of
//   vertical frequency u and horizontal frequency v, has index v * lines + u. Its value is
//   clamp_finite(mul(coefficient, factor)), where factor = dct::scale(lines, width), times 2^16 if the
//   elements were scaled, which keeps it finite.
//
// Wire: three parts, each tile after tile. First the values of each tile (kept.h) by ascending index; then
// the indices, packed as topk's (topk.h) with as many bits as the largest index of a whole tile has, at least
// 1; then the scales, where the values have one. Every tile begins at a byte of its own.
//
// Decoding a tile: if one of the values is NaN or Inf, the tile is NaN. Else, values times 2^-16 if one of
// them reaches 2^112; back from few coefficients (dct.h) in the order of the wire, where an index of lines *
// width or more (only strangers send it) is passed over; each element is clamp_finite(mul(sum, factor)),
// factor as above.
//
// Error: what is not kept, so at most 1 - kept / coefficients of a tile's squared norm, plus that of the kept
// values (kept.h), plus rounding (below 2^-20 of the tile's norm): contractive.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/dct.h"
#include "codec/finite.h"
#include "codec/kept.h"
#include "codec/options.h"
#include "codec/topk.h"

namespace gradmesh::codecs {

struct dct_topk {
  // Tile geometry, and how many bits an index has.
  struct Shape {
    uint32_t height, width, index_bits;
    size_t tiles;           // of a strip
    size_t strip_elements;  // height * columns
  };
  HD Shape shape(const CodecOptions& options) {
    Shape shape = {};
    shape.height = dct::side_of(options.rows);
    shape.width = dct::side_of(options.columns);
    shape.index_bits = 1;
    while (1u << shape.index_bits < shape.height * shape.width) shape.index_bits++;
    shape.tiles = options.columns / shape.width;
    shape.strip_elements = size_t{shape.height} * options.columns;
    return shape;
  }

  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = static_cast<uint32_t>(shape(options).strip_elements);
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    const Shape s = shape(options);
    return options.k > s.height * s.width ? "k is more than the tile has, whose sides are the largest "
                                            "divisors of rows and columns up to 64"
                                          : nullptr;
  }
  HD size_t bytes(const CodecOptions& options, size_t elements) { return layout(options, elements).bytes; }

  // The lines of the strip that begins with element `at`.
  HD uint32_t lines_of(const CodecOptions& options, const Shape& shape, size_t rest) {
    return rest >= shape.strip_elements
               ? shape.height
               : static_cast<uint32_t>((rest + options.columns - 1) / options.columns);
  }
  HD uint32_t kept_of(const CodecOptions& options, const Shape& shape, uint32_t lines) {
    return (options.k * lines + shape.height - 1) / shape.height;
  }

  // Where everything lies. Tiles are counted over all strips; those of the last, lower strip come last.
  struct Layout {
    Shape shape;
    size_t whole_tiles, tiles;        // of whole strips; all
    uint32_t tail_lines;              // of the last, lower strip; 0: there is none
    size_t value_bytes, index_bytes;  // of a whole tile
    size_t indices, scales, bytes;    // where the second and third parts begin; the end
  };
  HD size_t index_bytes(const Shape& shape, uint32_t kept) {
    return (size_t{kept} * shape.index_bits + 7) / 8;
  }
  HD Layout layout(const CodecOptions& options, size_t elements) {
    Layout l = {};
    l.shape = shape(options);
    const size_t strips = elements / l.shape.strip_elements, rest = elements % l.shape.strip_elements;
    l.whole_tiles = strips * l.shape.tiles;
    l.tiles = l.whole_tiles + (rest != 0 ? l.shape.tiles : 0);
    l.tail_lines = rest != 0 ? lines_of(options, l.shape, rest) : 0;
    l.value_bytes = kept::value_bytes(options.values, options.k);
    l.index_bytes = index_bytes(l.shape, options.k);
    const size_t tail_tiles = l.tiles - l.whole_tiles;
    const uint32_t tail_kept = kept_of(options, l.shape, l.tail_lines);
    l.indices = l.whole_tiles * l.value_bytes + tail_tiles * kept::value_bytes(options.values, tail_kept);
    l.scales = l.indices + l.whole_tiles * l.index_bytes + tail_tiles * index_bytes(l.shape, tail_kept);
    l.bytes = l.scales + l.tiles * kept::scale_bytes(options.values);
    return l;
  }

  // One tile of a call.
  struct Tile {
    uint32_t lines, kept;
    size_t element;                 // its first; line i begins at element + i * columns
    size_t values, indices, scale;  // in the wire
  };
  HD Tile tile(const CodecOptions& options, const Layout& l, size_t number) {
    Tile t = {};
    const bool tail = number >= l.whole_tiles;
    t.lines = tail ? l.tail_lines : l.shape.height;
    t.kept = kept_of(options, l.shape, t.lines);
    t.element = number / l.shape.tiles * l.shape.strip_elements + number % l.shape.tiles * l.shape.width;
    const size_t whole = tail ? l.whole_tiles : number, lower = number - whole;
    t.values = whole * l.value_bytes + lower * kept::value_bytes(options.values, t.kept);
    t.indices = l.indices + whole * l.index_bytes + lower * index_bytes(l.shape, t.kept);
    t.scale = l.scales + number * kept::scale_bytes(options.values);
    return t;
  }

  // Magnitudes' bits; 2^112 and 2^16.
  static constexpr uint32_t kHuge = (112 + 127) << 23, kInfinity = 0x7f800000;
  HD float down(uint32_t largest) { return largest >= kHuge ? 0x1p-16f : 1.0f; }
  HD float factor(uint32_t lines, uint32_t width, uint32_t largest) {
    return exact::mul(dct::scale(lines, width), largest >= kHuge ? 0x1p16f : 1.0f);
  }
  HD float value(float sum, float factor) { return clamp_finite(exact::mul(sum, factor)); }
};

}  // namespace gradmesh::codecs
