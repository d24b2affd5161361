// The optimizers: the loops over define/optimizer.h.
#include "ops/define/optimizer.h"

#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {

void adamw(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict gradients = input(arguments, 0);
  const float* __restrict decay = input(arguments, 3);
  float* __restrict parameters = output(arguments, 0);
  float* __restrict first = output(arguments, 1);
  float* __restrict second = output(arguments, 2);
  const float clip = input(arguments, 1)[0];
  const double* floats = arguments.floats;
  const define::AdamFactors f =
      define::adam_factors({floats[0], floats[1], floats[2], floats[3]}, input(arguments, 2));
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 0));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i)
    define::adamw(f, clip, gradients[i], decay[i], parameters[i], first[i], second[i]);
}

void nesterov(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict gradient = input(arguments, 0);
  float* __restrict parameters = output(arguments, 0);
  float* __restrict momentum = output(arguments, 1);
  const float rate = input(arguments, 1)[0], keep = input(arguments, 1)[1];
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 0));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i)
    define::nesterov(rate, keep, gradient[i], parameters[i], momentum[i]);
}

void sign_step(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict gradient = input(arguments, 0);
  float* __restrict parameters = output(arguments, 0);
  const float rate = input(arguments, 1)[0], keep = define::sign_keep(rate, input(arguments, 1)[1]);
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 0));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i)
    define::sign_step(rate, keep, gradient[i], parameters[i]);
}

// Inlined into each case of adaptive(), so that the kind is a constant inside the loop.
HD void adaptive_loop(define::Adaptive kind, const Arguments& arguments, size_t begin, size_t end) {
  const float* __restrict gradient = input(arguments, 0);
  float* __restrict parameters = output(arguments, 0);
  float* __restrict first = output(arguments, 1);
  float* __restrict second = output(arguments, 2);
  const double* floats = arguments.floats;
  const define::AdaptiveFactors f =
      define::adaptive_factors(floats[0], floats[1], floats[2], input(arguments, 1));
  for (size_t i = begin; i < end; ++i)
    define::adaptive(kind, f, gradient[i], parameters[i], first[i], second[i]);
}

void adaptive(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  using define::Adaptive;
  const size_t begin = unit_begin * kElementsPerUnit;
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 0));
  switch (static_cast<Adaptive>(arguments.integers[1])) {
    case Adaptive::adam:
      return adaptive_loop(Adaptive::adam, arguments, begin, end);
    case Adaptive::yogi:
      return adaptive_loop(Adaptive::yogi, arguments, begin, end);
    case Adaptive::adagrad:
      return adaptive_loop(Adaptive::adagrad, arguments, begin, end);
  }
}

}  // namespace gradmesh::ops::GM_ISA
