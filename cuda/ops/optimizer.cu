// AdamW, Nesterov momentum, the sign step and the adaptive ones of FedOpt in place: the kernels over
// define/optimizer.h.
#include "launchers.h"
#include "ops/define/optimizer.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

struct AdamTensors {
  const float *gradients, *clip, *schedule, *decay;
  float *parameters, *first, *second;
};

__device__ __forceinline__ float4 read_four(const float* x, size_t i) {
  return reinterpret_cast<const float4*>(x)[i];
}
__device__ __forceinline__ void write_four(float* x, size_t i, float4 value) {
  reinterpret_cast<float4*>(x)[i] = value;
}

__global__ void __launch_bounds__(256)
    adamw_kernel(size_t count, size_t fours, define::AdamSettings settings, AdamTensors t) {
  // Powers in double precision: one thread of a block takes them.
  __shared__ define::AdamFactors shared;
  if (threadIdx.x == 0) shared = define::adam_factors(settings, t.schedule);
  __syncthreads();
  const define::AdamFactors f = shared;
  const float clip = t.clip[0];
  const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x,
               threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = thread; i < fours; i += threads) {
    const float4 g = read_four(t.gradients, i), decay = read_four(t.decay, i);
    float4 p = read_four(t.parameters, i), m = read_four(t.first, i), v = read_four(t.second, i);
    define::adamw(f, clip, g.x, decay.x, p.x, m.x, v.x);
    define::adamw(f, clip, g.y, decay.y, p.y, m.y, v.y);
    define::adamw(f, clip, g.z, decay.z, p.z, m.z, v.z);
    define::adamw(f, clip, g.w, decay.w, p.w, m.w, v.w);
    write_four(t.parameters, i, p);
    write_four(t.first, i, m);
    write_four(t.second, i, v);
  }
  for (size_t i = 4 * fours + thread; i < count; i += threads)
    define::adamw(f, clip, t.gradients[i], t.decay[i], t.parameters[i], t.first[i], t.second[i]);
}

__global__ void __launch_bounds__(256)
    nesterov_kernel(size_t count, size_t fours, const float* gradient, const float* schedule,
                    float* parameters, float* momentum) {
  const float rate = schedule[0], keep = schedule[1];
  const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x,
               threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = thread; i < fours; i += threads) {
    const float4 g = read_four(gradient, i);
    float4 p = read_four(parameters, i), b = read_four(momentum, i);
    define::nesterov(rate, keep, g.x, p.x, b.x);
    define::nesterov(rate, keep, g.y, p.y, b.y);
    define::nesterov(rate, keep, g.z, p.z, b.z);
    define::nesterov(rate, keep, g.w, p.w, b.w);
    write_four(parameters, i, p);
    write_four(momentum, i, b);
  }
  for (size_t i = 4 * fours + thread; i < count; i += threads)
    define::nesterov(rate, keep, gradient[i], parameters[i], momentum[i]);
}

__global__ void __launch_bounds__(256) sign_step_kernel(size_t count, size_t fours, const float* gradient,
                                                        const float* schedule, float* parameters) {
  const float rate = schedule[0], keep = define::sign_keep(rate, schedule[1]);
  const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x,
               threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = thread; i < fours; i += threads) {
    const float4 g = read_four(gradient, i);
    float4 p = read_four(parameters, i);
    define::sign_step(rate, keep, g.x, p.x);
    define::sign_step(rate, keep, g.y, p.y);
    define::sign_step(rate, keep, g.z, p.z);
    define::sign_step(rate, keep, g.w, p.w);
    write_four(parameters, i, p);
  }
  for (size_t i = 4 * fours + thread; i < count; i += threads)
    define::sign_step(rate, keep, gradient[i], parameters[i]);
}

struct AdaptiveTensors {
  const float *gradient, *schedule;
  float *parameters, *first, *second;
};
struct Decimals {
  double beta1, beta2, epsilon;
};

template <define::Adaptive Kind>
__global__ void __launch_bounds__(256)
    adaptive_kernel(size_t count, size_t fours, Decimals d, AdaptiveTensors t) {
  const define::AdaptiveFactors f = define::adaptive_factors(d.beta1, d.beta2, d.epsilon, t.schedule);
  const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x,
               threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = thread; i < fours; i += threads) {
    const float4 g = read_four(t.gradient, i);
    float4 p = read_four(t.parameters, i), m = read_four(t.first, i), v = read_four(t.second, i);
    define::adaptive(Kind, f, g.x, p.x, m.x, v.x);
    define::adaptive(Kind, f, g.y, p.y, m.y, v.y);
    define::adaptive(Kind, f, g.z, p.z, m.z, v.z);
    define::adaptive(Kind, f, g.w, p.w, m.w, v.w);
    write_four(t.parameters, i, p);
    write_four(t.first, i, m);
    write_four(t.second, i, v);
  }
  for (size_t i = 4 * fours + thread; i < count; i += threads)
    define::adaptive(Kind, f, t.gradient[i], t.parameters[i], t.first[i], t.second[i]);
}

constexpr unsigned kThreads = 256;

template <define::Adaptive Kind>
cudaError_t launch_adaptive(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const double* floats = arguments.floats;
  const AdaptiveTensors t = {input(arguments, 0), input(arguments, 1), output(arguments, 0),
                             output(arguments, 1), output(arguments, 2)};
  const size_t fours = in_fours(t.gradient, t.parameters, t.first, t.second) ? count / 4 : 0;
  return LAUNCH((adaptive_kernel<Kind>), grid_of(fours > 0 ? fours : count, kThreads), kThreads, 0, stream,
                count, fours, (Decimals{floats[0], floats[1], floats[2]}), t);
}

}  // namespace

// ---- launchers ----

cudaError_t adamw(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const double* floats = arguments.floats;
  const define::AdamSettings settings = {floats[0], floats[1], floats[2], floats[3]};
  const AdamTensors t = {input(arguments, 0),  input(arguments, 1),  input(arguments, 2), input(arguments, 3),
                         output(arguments, 0), output(arguments, 1), output(arguments, 2)};
  const size_t fours = in_fours(t.gradients, t.decay, t.parameters, t.first, t.second) ? count / 4 : 0;
  return LAUNCH(adamw_kernel, grid_of(fours > 0 ? fours : count, kThreads), kThreads, 0, stream, count, fours,
                settings, t);
}

cudaError_t nesterov(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float* gradient = input(arguments, 0);
  const float* schedule = input(arguments, 1);
  float* parameters = output(arguments, 0);
  float* momentum = output(arguments, 1);
  const size_t fours = in_fours(gradient, parameters, momentum) ? count / 4 : 0;
  return LAUNCH(nesterov_kernel, grid_of(fours > 0 ? fours : count, kThreads), kThreads, 0, stream, count,
                fours, gradient, schedule, parameters, momentum);
}

cudaError_t sign_step(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float* gradient = input(arguments, 0);
  const float* schedule = input(arguments, 1);
  float* parameters = output(arguments, 0);
  const size_t fours = in_fours(gradient, parameters) ? count / 4 : 0;
  return LAUNCH(sign_step_kernel, grid_of(fours > 0 ? fours : count, kThreads), kThreads, 0, stream, count,
                fours, gradient, schedule, parameters);
}

cudaError_t adaptive(const Arguments& arguments, cudaStream_t stream) {
  using define::Adaptive;
  switch (static_cast<Adaptive>(arguments.integers[1])) {
    case Adaptive::adam:
      return launch_adaptive<Adaptive::adam>(arguments, stream);
    case Adaptive::yogi:
      return launch_adaptive<Adaptive::yogi>(arguments, stream);
    case Adaptive::adagrad:
      return launch_adaptive<Adaptive::adagrad>(arguments, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace gradmesh::ops::device
