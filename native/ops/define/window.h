// The windows of a convolution over images in NHWC: where the pixels of a row of im2col lie, and which rows
// hold a pixel. Rows and pixels are counted in 32 bits, as a matrix product counts its rows; shapes.cpp
// checks that.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/exact.h"

namespace gradmesh::ops::define {

// How many windows fit along an extent that is padded at both ends.
HD uint64_t window_places(uint64_t extent, uint64_t kernel, uint64_t stride, uint64_t padding) {
  return (extent + 2 * padding - kernel) / stride + 1;
}

struct Windows {
  uint32_t batch, height, width, channels, kernel, stride, padding;
  uint32_t rows, columns;  // of windows: OH and OW
};

// The operator's integers, in the order of ops.def.
HD Windows windows_of(const int32_t* integers) {
  Windows w;
  w.batch = (uint32_t)integers[0], w.height = (uint32_t)integers[1], w.width = (uint32_t)integers[2];
  w.channels = (uint32_t)integers[3], w.kernel = (uint32_t)integers[4];
  w.stride = (uint32_t)integers[5], w.padding = (uint32_t)integers[6];
  w.rows = (uint32_t)window_places(w.height, w.kernel, w.stride, w.padding);
  w.columns = (uint32_t)window_places(w.width, w.kernel, w.stride, w.padding);
  return w;
}

// Place x of window number `window` along one axis -> the pixel there, outside the image where it is not
// below the image's extent (a negative one is a large unsigned number).
HD uint32_t window_pixel(const Windows& w, uint32_t window, uint32_t x) {
  return window * w.stride + x - w.padding;
}

// The windows along one axis that hold a pixel: [begin, end) of `places`.
struct Covering {
  uint32_t begin, end;
};
HD Covering windows_over(const Windows& w, uint32_t pixel, uint32_t places) {
  const uint32_t padded = pixel + w.padding;
  Covering c;
  c.begin = padded < w.kernel ? 0 : (padded - w.kernel) / w.stride + 1;
  c.end = padded / w.stride + 1;
  if (c.end > places) c.end = places;
  return c;
}

}  // namespace gradmesh::ops::define
