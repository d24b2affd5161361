// im2col and its gradient: the kernels over define/window.h. A thread has one channel, or four neighbouring
// ones where addresses and the number of channels allow that.
#include "launchers.h"
#include "ops/define/window.h"

namespace gradmesh::ops::device {
namespace {

using define::Windows;

constexpr unsigned kThreads = 256;

// ---- helpers ----

// One channel or four.
template <class Value>
struct Channels;
template <>
struct Channels<float> {
  static constexpr unsigned kCount = 1;
  static __device__ float none() { return 0.0f; }
  static __device__ float sum(float a, float b) { return exact::add(a, b); }
};
template <>
struct Channels<float4> {
  static constexpr unsigned kCount = 4;
  static __device__ float4 none() { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }
  static __device__ float4 sum(float4 a, float4 b) {
    return make_float4(exact::add(a.x, b.x), exact::add(a.y, b.y), exact::add(a.z, b.z),
                       exact::add(a.w, b.w));
  }
};

// ---- kernels ----

// A thread an element of the columns; w.channels counts Values, as all sizes below do.
template <class Value>
__global__ void __launch_bounds__(kThreads)
    im2col_kernel(size_t count, Windows w, const Value* x, Value* columns) {
  const unsigned part = w.kernel * w.channels, row_size = w.kernel * part;
  const size_t threads = (size_t)gridDim.x * blockDim.x;
  for (size_t item = (size_t)blockIdx.x * blockDim.x + threadIdx.x; item < count; item += threads) {
    const unsigned row = (unsigned)(item / row_size), place = (unsigned)(item - (size_t)row * row_size);
    const unsigned k = place / part, l = place % part / w.channels, channel = place % w.channels;
    const unsigned i = row / w.columns % w.rows, image = row / w.columns / w.rows;
    const unsigned pixel_row = define::window_pixel(w, i, k);
    const unsigned pixel = define::window_pixel(w, row % w.columns, l);
    Value value = Channels<Value>::none();
    if (pixel_row < w.height && pixel < w.width)
      value = x[(((size_t)image * w.height + pixel_row) * w.width + pixel) * w.channels + channel];
    columns[item] = value;
  }
}

// A thread an element of the image.
template <class Value>
__global__ void __launch_bounds__(kThreads)
    col2im_kernel(size_t count, Windows w, const Value* d_columns, Value* d_x) {
  const size_t row_size = (size_t)w.kernel * w.kernel * w.channels;
  const size_t threads = (size_t)gridDim.x * blockDim.x;
  for (size_t item = (size_t)blockIdx.x * blockDim.x + threadIdx.x; item < count; item += threads) {
    const unsigned pixel = (unsigned)(item / w.channels);
    const unsigned channel = (unsigned)(item - (size_t)pixel * w.channels);
    const unsigned x = pixel % w.width, y = pixel / w.width % w.height, image = pixel / w.width / w.height;
    const define::Covering down = define::windows_over(w, y, w.rows);
    const define::Covering across = define::windows_over(w, x, w.columns);
    Value sum = Channels<Value>::none();
    for (unsigned i = down.begin; i < down.end; ++i)
      for (unsigned j = across.begin; j < across.end; ++j) {
        const unsigned k = y + w.padding - i * w.stride, l = x + w.padding - j * w.stride;
        const size_t row = ((size_t)image * w.rows + i) * w.columns + j;
        sum =
            Channels<Value>::sum(sum, d_columns[row * row_size + (k * w.kernel + l) * w.channels + channel]);
      }
    d_x[item] = sum;
  }
}

// Both kernels' threads, pointers and channels in Values.
template <class Value, class Kernel>
cudaError_t launch(Kernel kernel, Windows w, size_t elements, const float* from, float* to,
                   cudaStream_t stream) {
  w.channels /= Channels<Value>::kCount;
  const size_t count = elements / Channels<Value>::kCount;
  return LAUNCH(kernel, grid_of(count, kThreads), kThreads, 0, stream, count, w,
                reinterpret_cast<const Value*>(from), reinterpret_cast<Value*>(to));
}

}  // namespace

// ---- launchers ----

cudaError_t im2col(const Arguments& arguments, cudaStream_t stream) {
  const Windows w = define::windows_of(arguments.integers);
  const size_t elements = (size_t)w.batch * w.rows * w.columns * w.kernel * w.kernel * w.channels;
  const float* x = input(arguments, 0);
  float* columns = output(arguments, 0);
  if (in_fours(x, columns, (size_t)w.channels))
    return launch<float4>(im2col_kernel<float4>, w, elements, x, columns, stream);
  return launch<float>(im2col_kernel<float>, w, elements, x, columns, stream);
}

cudaError_t col2im(const Arguments& arguments, cudaStream_t stream) {
  const Windows w = define::windows_of(arguments.integers);
  const size_t elements = (size_t)w.batch * w.height * w.width * w.channels;
  const float* d_columns = input(arguments, 0);
  float* d_x = output(arguments, 0);
  if (in_fours(d_columns, d_x, (size_t)w.channels))
    return launch<float4>(col2im_kernel<float4>, w, elements, d_columns, d_x, stream);
  return launch<float>(col2im_kernel<float>, w, elements, d_columns, d_x, stream);
}

}  // namespace gradmesh::ops::device
