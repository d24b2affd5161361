// add, subtract, copy, axpby, scale_by, GELU and its gradient: the kernels over define/elementwise.h.
#include "launchers.h"
#include "ops/define/elementwise.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

// What is made of one element of each tensor; made itself from the coefficients, where an operator has any.
struct Element {
  __device__ explicit Element(const float*) {}
};
struct Add : Element {
  using Element::Element;
  __device__ float operator()(float a, float b) const { return define::add(a, b); }
};
struct Subtract : Element {
  using Element::Element;
  __device__ float operator()(float a, float b) const { return define::subtract(a, b); }
};
struct Copy : Element {
  using Element::Element;
  __device__ float operator()(float a, float) const { return a; }
};
struct Gelu : Element {
  using Element::Element;
  __device__ float operator()(float x, float) const { return define::gelu(x); }
};
struct GeluBackward : Element {
  using Element::Element;
  __device__ float operator()(float x, float d_y) const { return define::gelu_backward(x, d_y); }
};
struct Axpby {
  float a, b;
  __device__ explicit Axpby(const float* coefficients) : a(coefficients[0]), b(coefficients[1]) {}
  __device__ float operator()(float x, float y) const { return define::axpby(a, x, b, y); }
};
struct ScaleBy {
  float factor;
  __device__ explicit ScaleBy(const float* coefficients) : factor(coefficients[0]) {}
  __device__ float operator()(float x, float) const { return define::scale_by(x, factor); }
};

// out[i] = f(a[i], b[i]): fours first, then what is left of them (everything, where addresses allow no
// fours).
template <class Function, bool Binary>
__global__ void __launch_bounds__(256) map_kernel(size_t count, size_t fours, const float* a, const float* b,
                                                  const float* coefficients, float* out) {
  const Function f(coefficients);
  const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x,
               threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = thread; i < fours; i += threads) {
    const float4 x = reinterpret_cast<const float4*>(a)[i];
    float4 y = x;
    if constexpr (Binary) y = reinterpret_cast<const float4*>(b)[i];
    reinterpret_cast<float4*>(out)[i] = make_float4(f(x.x, y.x), f(x.y, y.y), f(x.z, y.z), f(x.w, y.w));
  }
  for (size_t i = 4 * fours + thread; i < count; i += threads) out[i] = f(a[i], Binary ? b[i] : 0.0f);
}

// ---- launchers ----

constexpr unsigned kThreads = 256;

// Of two tensors or one, and of the coefficients that follow them.
template <class Function, bool Binary>
cudaError_t map(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float* a = input(arguments, 0);
  const float* b = Binary ? input(arguments, 1) : a;
  const float* coefficients = input(arguments, Binary ? 2 : 1);
  float* out = output(arguments, 0);
  const size_t fours = in_fours(a, b, out) ? count / 4 : 0;
  return LAUNCH((map_kernel<Function, Binary>), grid_of(fours > 0 ? fours : count, kThreads), kThreads, 0,
                stream, count, fours, a, b, coefficients, out);
}

}  // namespace

cudaError_t add(const Arguments& arguments, cudaStream_t stream) { return map<Add, true>(arguments, stream); }
cudaError_t subtract(const Arguments& arguments, cudaStream_t stream) {
  return map<Subtract, true>(arguments, stream);
}
cudaError_t copy(const Arguments& arguments, cudaStream_t stream) {
  return map<Copy, false>(arguments, stream);
}
cudaError_t axpby(const Arguments& arguments, cudaStream_t stream) {
  return map<Axpby, true>(arguments, stream);
}
cudaError_t scale_by(const Arguments& arguments, cudaStream_t stream) {
  return map<ScaleBy, false>(arguments, stream);
}
cudaError_t gelu(const Arguments& arguments, cudaStream_t stream) {
  return map<Gelu, false>(arguments, stream);
}
cudaError_t gelu_backward(const Arguments& arguments, cudaStream_t stream) {
  return map<GeluBackward, true>(arguments, stream);
}

}  // namespace gradmesh::ops::device
