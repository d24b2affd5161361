// Layer normalization (arXiv 1607.06450) element by element; the sums between these steps run in the order
// that ops.def writes.
#pragma once
#include "numeric/exact.h"

namespace gradmesh::ops::define {

HD float layernorm_rstd(float squares, float columns, float epsilon) {
  return exact::rsqrt(exact::add(exact::div(squares, columns), epsilon));
}

// (x - mean) rstd
HD float layernorm_normal(float x, float mean, float rstd) { return exact::mul(exact::sub(x, mean), rstd); }

HD float layernorm_element(float normal, float gain, float bias) { return exact::fma(normal, gain, bias); }

// d_x = rstd (g - mean(g) - n mean(g n)) with g = d_y gain and n = (x - mean) rstd.
HD float layernorm_slope(float scaled, float normal, float rstd, float mean_scaled, float mean_product) {
  return exact::mul(rstd, exact::fma(-normal, mean_product, exact::sub(scaled, mean_scaled)));
}

}  // namespace gradmesh::ops::define
