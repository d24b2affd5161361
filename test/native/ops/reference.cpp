#include "reference.h"

#include <algorithm>
#include <cmath>

namespace support {
namespace {

double gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

std::vector<Doubles> layernorm(const Doubles& x, const Doubles& gain, const Doubles& bias, size_t rows,
                               size_t columns, double epsilon) {
  Doubles y(x.size()), means(rows), rstds(rows);
  for (size_t r = 0; r < rows; r++) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < columns; i++) mean += x[r * columns + i] / double(columns);
    for (size_t i = 0; i < columns; i++) variance += std::pow(x[r * columns + i] - mean, 2) / double(columns);
    means[r] = mean, rstds[r] = 1 / std::sqrt(variance + epsilon);
    for (size_t i = 0; i < columns; i++)
      y[r * columns + i] = (x[r * columns + i] - mean) * rstds[r] * gain[i] + bias[i];
  }
  return {y, means, rstds};
}

// exp(x - largest) / sum over the first count elements
double softmax(double* x, size_t count) {
  double largest = x[0], sum = 0;
  for (size_t i = 0; i < count; i++) largest = std::max(largest, x[i]);
  for (size_t i = 0; i < count; i++) sum += x[i] = std::exp(x[i] - largest);
  for (size_t i = 0; i < count; i++) x[i] /= sum;
  return largest + std::log(sum);
}

std::vector<Doubles> attention(const Doubles& qkv, size_t batch, size_t positions, size_t heads,
                               size_t columns) {
  const size_t width = columns / heads;
  Doubles out(batch * positions * columns), probabilities(batch * heads * positions * positions);
  const auto at = [&](size_t b, size_t t, size_t part, size_t h, size_t d) {
    return qkv[(b * positions + t) * 3 * columns + part * columns + h * width + d];
  };
  for (size_t b = 0; b < batch; b++)
    for (size_t h = 0; h < heads; h++)
      for (size_t t = 0; t < positions; t++) {
        double* p = &probabilities[((b * heads + h) * positions + t) * positions];
        for (size_t s = 0; s <= t; s++)
          for (size_t d = 0; d < width; d++)
            p[s] += at(b, t, 0, h, d) * at(b, s, 1, h, d) / std::sqrt(double(width));
        softmax(p, t + 1);
        for (size_t s = 0; s <= t; s++)
          for (size_t d = 0; d < width; d++)
            out[(b * positions + t) * columns + h * width + d] += p[s] * at(b, s, 2, h, d);
      }
  return {out, probabilities};
}

std::vector<Doubles> cross_entropy(const Doubles& logits, const std::vector<int32_t>& targets,
                                   size_t classes) {
  Doubles losses(targets.size()), probabilities = logits;
  for (size_t r = 0; r < targets.size(); r++) {
    const double total = softmax(&probabilities[r * classes], classes);
    losses[r] = total - logits[r * classes + size_t(targets[r])];
  }
  return {losses, probabilities};
}

Doubles matmul(const Doubles& x, const Doubles& w, const Doubles* bias, size_t m, size_t k, size_t n) {
  Doubles y(m * n);
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      for (size_t l = 0; l < k; l++) y[i * n + j] += x[i * k + l] * w[l * n + j];
      if (bias != nullptr) y[i * n + j] += (*bias)[j];
    }
  return y;
}

std::vector<Doubles> adamw(const Case& c, const std::vector<Doubles>& in) {
  const double beta1 = c.floats[0], beta2 = c.floats[1], rate = in[2][0], step = in[2][1];
  Doubles p = in[4], m = in[5], v = in[6];
  for (size_t i = 0; i < p.size(); i++) {
    const double g = in[0][i] * in[1][0];
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    p[i] -= rate * c.floats[3] * in[3][i] * p[i];
    p[i] -= rate * (m[i] / (1 - std::pow(beta1, step))) /
            (std::sqrt(v[i] / (1 - std::pow(beta2, step))) + c.floats[2]);
  }
  return {p, m, v};
}

std::vector<Doubles> nesterov(const std::vector<Doubles>& in) {
  Doubles p = in[2], b = in[3];
  for (size_t i = 0; i < p.size(); i++) {
    b[i] = in[1][1] * b[i] + in[0][i];
    p[i] -= in[1][0] * (in[0][i] + in[1][1] * b[i]);
  }
  return {p, b};
}

std::vector<Doubles> norm(const Doubles& x, double limit) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double length = std::sqrt(squares);
  return {{limit > 0 && length > limit ? limit / length : 1.0, length}};
}

// FedOpt's equations as the paper writes them, with its pseudo-gradient's sign turned.
std::vector<Doubles> adaptive(const Case& c, const std::vector<Doubles>& in) {
  const double beta1 = c.floats[0], beta2 = c.floats[1];
  Doubles p = in[2], m = in[3], v = in[4];
  for (size_t i = 0; i < p.size(); i++) {
    const double g = in[0][i], square = g * g;
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    if (c.integers[1] == 0) v[i] = beta2 * v[i] + (1 - beta2) * square;
    if (c.integers[1] == 1) v[i] -= (1 - beta2) * square * (v[i] > square ? 1 : v[i] < square ? -1 : 0);
    if (c.integers[1] == 2) v[i] += square;
    p[i] -= in[1][0] * m[i] / (std::sqrt(v[i]) + c.floats[2]);
  }
  return {p, m, v};
}

Doubles sign_step(const std::vector<Doubles>& in) {
  Doubles p = in[2];
  for (size_t i = 0; i < p.size(); i++) {
    p[i] *= 1 - in[1][0] * in[1][1];
    if (in[0][i] != 0) p[i] -= std::copysign(in[1][0], in[0][i]);
  }
  return p;
}

// Every place of every window asks which pixel it holds.
Doubles im2col(const Case& c, const Doubles& x) {
  const std::vector<long> n(c.integers.begin(), c.integers.end());
  const long height = n[1], width = n[2], channels = n[3], kernel = n[4], stride = n[5], padding = n[6];
  Doubles columns;
  for (long image = 0; image < n[0]; image++)
    for (long top = -padding; top + kernel <= height + padding; top += stride)
      for (long left = -padding; left + kernel <= width + padding; left += stride)
        for (long row = top; row < top + kernel; row++)
          for (long column = left; column < left + kernel; column++)
            for (long channel = 0; channel < channels; channel++) {
              const bool inside = row >= 0 && row < height && column >= 0 && column < width;
              const long place = ((image * height + row) * width + column) * channels + channel;
              columns.push_back(inside ? x[size_t(place)] : 0.0);
            }
  return columns;
}

// Peers' rows, aggregated as the formulas say, with a sort of each column.
std::vector<Doubles> aggregate(const Case& c, const std::vector<Doubles>& in) {
  const size_t rows = size_t(c.integers[0]), columns = size_t(c.integers[1]);
  const auto at = [&](size_t row, size_t column) { return in[0][row * columns + column]; };
  const auto square = [](double x) { return x * x; };
  Doubles out(columns), distances(rows);
  if (c.op == Op::pair_distances) {
    out.assign(rows * rows, 0);
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < rows; j++)
        for (size_t k = 0; k < columns; k++) out[i * rows + j] += square(at(i, k) - at(j, k));
    return {out};
  }
  for (size_t k = 0; k < columns; k++) {
    if (c.op == Op::trimmed_mean) {
      Doubles column;
      for (size_t i = 0; i < rows; i++) column.push_back(at(i, k));
      std::sort(column.begin(), column.end());
      const size_t faulty = size_t(c.integers[2]), kept = rows - 2 * faulty;
      for (size_t i = faulty; i < faulty + kept; i++) out[k] += column[i] / double(kept);
      continue;
    }
    const double center = c.op == Op::centered_clip ? in[2][k] : 0;
    out[k] = center;
    for (size_t i = 0; i < rows; i++) out[k] += in[1][i] * (at(i, k) - center);
    for (size_t i = 0; i < rows; i++) distances[i] += square(at(i, k) - out[k]);
  }
  if (c.op == Op::centered_clip) return {out, distances};
  return {out};
}

Doubles embedding(const Case& c, const std::vector<Doubles>& in, const std::vector<int32_t>& tokens) {
  const size_t columns = size_t(c.integers[2]), period = size_t(c.integers[1]);
  Doubles out(tokens.size() * columns);
  for (size_t i = 0; i < out.size(); i++) {
    const size_t row = i / columns, column = i % columns;
    out[i] = in[1][size_t(tokens[row]) * columns + column] + in[2][row % period * columns + column];
  }
  return out;
}

}  // namespace

std::vector<Doubles> reference(const Case& c, const std::vector<Doubles>& in,
                               const std::vector<int32_t>& index) {
  std::vector<size_t> n(c.integers.begin(), c.integers.end());
  Doubles out = in[0];
  switch (c.op) {
    case Op::embedding:
      return {embedding(c, in, index)};
    case Op::layernorm:
      return layernorm(in[0], in[1], in[2], n[0], n[1], c.floats[0]);
    case Op::matmul:
      return {matmul(in[0], in[1], n[3] ? &in[2] : nullptr, n[0], n[1], n[2])};
    case Op::gelu:
      for (double& x : out) x = gelu(x);
      return {out};
    case Op::attention:
      return attention(in[0], n[0], n[1], n[2], n[3]);
    case Op::cross_entropy:
      return cross_entropy(in[0], index, n[1]);
    case Op::add:
    case Op::subtract:
      for (size_t i = 0; i < out.size(); i++) out[i] += c.op == Op::add ? in[1][i] : -in[1][i];
      return {out};
    case Op::mean: {
      double sum = 0;
      for (const double x : in[0]) sum += x;
      return {{sum / double(in[0].size())}};
    }
    case Op::clip_scale:
      return norm(in[0], c.floats[0]);
    case Op::adamw:
      return adamw(c, in);
    case Op::nesterov:
      return nesterov(in);
    case Op::copy:
      return {out};
    case Op::axpby:
      for (size_t i = 0; i < out.size(); i++) out[i] = in[2][0] * in[0][i] + in[2][1] * in[1][i];
      return {out};
    case Op::scale_by:
      for (double& x : out) x *= in[1][0];
      return {out};
    case Op::sign_step:
      return {sign_step(in)};
    case Op::adaptive:
      return adaptive(c, in);
    case Op::gather:
      out.clear();
      for (const int32_t i : index) out.push_back(in[0][size_t(i)]);
      return {out};
    case Op::scatter:
      out = in[2];
      for (size_t i = 0; i < index.size(); i++) out[size_t(index[i])] = in[0][i];
      return {out};
    case Op::dot: {
      double sum = 0;
      for (size_t i = 0; i < out.size(); i++) sum += in[0][i] * in[1][i];
      return {{sum}};
    }
    case Op::im2col:
      return {im2col(c, in[0])};
    case Op::combine_rows:
    case Op::trimmed_mean:
    case Op::pair_distances:
    case Op::centered_clip:
      return aggregate(c, in);
    default:
      return {};  // backward operators: gradients.cpp differentiates the forward ones
  }
}

}  // namespace support
