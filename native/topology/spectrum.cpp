// Lanczos iteration on M^T M, where M = W_p ... W_1 - J, and the largest eigenvalue of its tridiagonal
// matrix.
#include "topology/spectrum.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "topology/draw.h"

namespace gradmesh {
namespace {

using Vector = std::vector<double>;

constexpr size_t kStepsMax = 400;
constexpr size_t kStepsBetweenChecks = 12;
constexpr double kConverged = 1e-13;
// Below it a vector is rounding of what was subtracted.
constexpr double kNothing = 1e-15;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
  return sum;
}

void subtract(double factor, const Vector& source, Vector* target) {
  for (size_t i = 0; i < source.size(); i++) (*target)[i] -= factor * source[i];
}

void subtract_mean(Vector* values) {
  double sum = 0;
  for (const double value : *values) sum += value;
  const double mean = sum / static_cast<double>(values->size());
  for (double& value : *values) value -= mean;
}

// Symmetric tridiagonal: alpha on the diagonal, beta beside it.
struct Tridiagonal {
  Vector alpha, beta;

  // Whether no eigenvalue is above x: all pivots of x - T are positive (Sturm).
  bool below(double x) const {
    double pivot = x - alpha[0];
    for (size_t i = 1; i < alpha.size() && pivot > 0; i++)
      pivot = x - alpha[i] - beta[i - 1] * beta[i - 1] / pivot;
    return pivot > 0;
  }
  // By bisection; all lie in [0, limit].
  double largest(double limit) const {
    double low = 0, high = limit;
    for (int step = 0; step < 140; step++) {
      const double middle = low + (high - low) / 2;
      if (middle == low || middle == high) break;
      (below(middle) ? high : low) = middle;
    }
    return low + (high - low) / 2;
  }
};

// The largest eigenvalue of a symmetric operator with eigenvalues in [0, 1] on vectors of mean 0.
double largest_eigenvalue(size_t ranks, const std::function<void(Vector*)>& apply) {
  Vector current(ranks);
  for (size_t i = 0; i < ranks; i++)
    current[i] = prng::normal(1, static_cast<uint64_t>(GraphStream::start) << 56, i, 1.0f);
  subtract_mean(&current);
  double length = square_root(dot(current, current));
  std::vector<Vector> basis;
  Tridiagonal small;
  double found = 0;
  for (size_t step = 0; step < std::min(kStepsMax, ranks - 1) && length > kNothing; step++) {
    for (double& value : current) value /= length;
    basis.push_back(current);
    apply(&current);
    small.alpha.push_back(dot(current, basis.back()));
    for (int again = 0; again < 2; again++)  // twice is enough (Kahan and Parlett)
      for (const Vector& before : basis) subtract(dot(current, before), before, &current);
    if (step % kStepsBetweenChecks == kStepsBetweenChecks - 1) {
      const double now = small.largest(2);
      if (now - found <= kConverged * now) return now;
      found = now;
    }
    length = square_root(dot(current, current));
    small.beta.push_back(length);
  }
  return small.alpha.empty() ? 0 : small.largest(2);
}

double norm_from(double eigenvalue) { return square_root(std::max(eigenvalue, 0.0)); }

}  // namespace

void mix(const MixingRound& round, const Vector& source, Vector* target) {
  target->resize(source.size());
  for (size_t rank = 0; rank < round.size(); rank++) {
    double sum = round[rank].self * source[rank];
    for (const Neighbour& from : round[rank].in) sum += from.weight * source[from.rank];
    (*target)[rank] = sum;
  }
}

void mix_transposed(const MixingRound& round, const Vector& source, Vector* target) {
  target->assign(source.size(), 0);
  for (size_t rank = 0; rank < round.size(); rank++) {
    (*target)[rank] += round[rank].self * source[rank];
    for (const Neighbour& from : round[rank].in) (*target)[from.rank] += from.weight * source[rank];
  }
}

double contraction_of(const std::vector<const MixingRound*>& rounds) {
  const size_t ranks = rounds.front()->size();
  Vector other;
  return norm_from(largest_eigenvalue(ranks, [&](Vector* values) {
    for (size_t i = 0; i < rounds.size(); i++) {
      mix(*rounds[i], *values, &other);
      std::swap(*values, other);
    }
    for (size_t i = rounds.size(); i-- > 0;) {
      mix_transposed(*rounds[i], *values, &other);
      std::swap(*values, other);
    }
    subtract_mean(values);
  }));
}

double contraction_of_matrix(const Vector& matrix, uint32_t ranks) {
  Vector other(ranks);
  return norm_from(largest_eigenvalue(ranks, [&](Vector* values) {
    for (uint32_t row = 0; row < ranks; row++) {
      double sum = 0;
      for (uint32_t column = 0; column < ranks; column++)
        sum += matrix[size_t{row} * ranks + column] * (*values)[column];
      other[row] = sum;
    }
    std::fill(values->begin(), values->end(), 0);
    for (uint32_t row = 0; row < ranks; row++)
      for (uint32_t column = 0; column < ranks; column++)
        (*values)[column] += matrix[size_t{row} * ranks + column] * other[row];
    subtract_mean(values);
  }));
}

double square_root(double value) {
  if (!(value > DBL_MIN)) return 0;
  // Half the exponent as a first guess; Newton's steps double its right digits.
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits >> 1) + (uint64_t{0x3ff} << 51);
  double guess;
  std::memcpy(&guess, &bits, sizeof guess);
  for (int step = 0; step < 6; step++) guess = 0.5 * (guess + value / guess);
  return guess;
}

double root(double value, uint64_t degree) {
  double low = 0, high = 1;
  for (int step = 0; step < 60; step++) {
    const double middle = (low + high) / 2;
    double power = 1, square = middle;
    for (uint64_t left = degree; left > 0; left /= 2, square *= square)
      if (left % 2 == 1) power *= square;
    (power > value ? high : low) = middle;
  }
  return (low + high) / 2;
}

}  // namespace gradmesh
