// im2col and its gradient: the windows of a convolution as rows of a matrix.
#include "ops/define/window.h"

#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {
namespace {

// One line of a window: K pixels from column `left` on (which may be left of the image), +0 outside.
HD void copy_line(const define::Windows& w, const float* line, int64_t left, float* out) {
  const int64_t width = w.width, kernel = w.kernel;
  const size_t channels = w.channels;
  const int64_t begin = left < 0 ? -left : 0;
  const int64_t end = left + kernel > width ? width - left : kernel;
  if (begin >= end) {
    memset(out, 0, (size_t)kernel * channels * 4);
    return;
  }
  memset(out, 0, (size_t)begin * channels * 4);
  memcpy(out + (size_t)begin * channels, line + (size_t)(left + begin) * channels,
         (size_t)(end - begin) * channels * 4);
  memset(out + (size_t)end * channels, 0, (size_t)(kernel - end) * channels * 4);
}

}  // namespace

// Units are rows of the columns.
void im2col(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const define::Windows w = define::windows_of(arguments.integers);
  const size_t line = (size_t)w.width * w.channels, part = (size_t)w.kernel * w.channels;
  const size_t rows = (size_t)w.batch * w.rows * w.columns;
  for (size_t r = unit_begin * kRowsPerUnit; r < smaller(unit_end * kRowsPerUnit, rows); ++r) {
    const uint32_t column = (uint32_t)(r % w.columns), row = (uint32_t)(r / w.columns % w.rows);
    const float* image = input(arguments, 0) + r / w.columns / w.rows * w.height * line;
    float* out = output(arguments, 0) + r * w.kernel * part;
    const int64_t left = (int64_t)column * w.stride - w.padding;
    for (uint32_t k = 0; k < w.kernel; ++k, out += part) {
      const uint32_t pixel = define::window_pixel(w, row, k);
      if (pixel < w.height)
        copy_line(w, image + pixel * line, left, out);
      else
        memset(out, 0, part * 4);
    }
  }
}

// Units are pixels: each adds up its copies, by ascending row of the columns.
void col2im(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const define::Windows w = define::windows_of(arguments.integers);
  const size_t channels = w.channels, columns = (size_t)w.kernel * w.kernel * channels;
  const size_t pixels = (size_t)w.batch * w.height * w.width;
  for (size_t p = unit_begin * kRowsPerUnit; p < smaller(unit_end * kRowsPerUnit, pixels); ++p) {
    const uint32_t x = (uint32_t)(p % w.width), y = (uint32_t)(p / w.width % w.height);
    const size_t first_row = p / w.width / w.height * w.rows;
    float* __restrict d_x = output(arguments, 0) + p * channels;
    for (size_t c = 0; c < channels; ++c) d_x[c] = 0.0f;
    const define::Covering down = define::windows_over(w, y, w.rows);
    const define::Covering across = define::windows_over(w, x, w.columns);
    for (uint32_t i = down.begin; i < down.end; ++i)
      for (uint32_t j = across.begin; j < across.end; ++j) {
        const size_t k = y + w.padding - i * w.stride, l = x + w.padding - j * w.stride;
        const float* __restrict d_columns =
            input(arguments, 0) + ((first_row + i) * w.columns + j) * columns + (k * w.kernel + l) * channels;
        for (size_t c = 0; c < channels; ++c) d_x[c] = exact::add(d_x[c], d_columns[c]);
      }
  }
}

}  // namespace gradmesh::ops::GM_ISA
