// The loops of lowrank, and its steps apart.
#include "codec/lowrank.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/lowrank_steps.h"
#include "codec/loops.h"
#include "codec/lowrank_steps.h"

namespace gradmesh::GM_ISA {
namespace {

constexpr size_t kColumnsMost = 32768;  // as codecs.def says

void left(const float* matrix, size_t rows, size_t columns, const float* q, size_t rank, float* p) {
  left_all(matrix, rows, factor(q, columns), rank, factor(p, rows));
}
void orthogonalize(float* f, size_t length, size_t rank) { orthogonalize_vectors(factor(f, length), rank); }
void right(const float* matrix, size_t rows, size_t columns, const float* p, size_t rank, float* q) {
  right_all(matrix, rows, factor(p, rows), rank, factor(q, columns));
}
void expand(const float* p, const float* q, size_t rows, size_t columns, size_t rank, float* matrix) {
  expand_all(
      factor(p, rows), rows, factor(q, columns),
      rank, [&](size_t i, size_t j, F16 x, size_t count) __attribute__((always_inline)) {
        store_some(matrix + i * columns + j, x, count);
      });
}

// What each function of the codec works with; q0 is the start, orthogonal where it is shared.
struct Call {
  const CodecOptions& options;
  const CodecKey& key;
  size_t rows, columns, rank, matrices, rest;
  bool shared;
  alignas(64) float q0[lowrank::kFactorMost];
  Call(const CodecOptions& options, const CodecKey& key, size_t elements) : options(options), key(key) {
    rows = options.rows, columns = options.columns, rank = options.rank;
    matrices = elements / (rows * columns), rest = elements % (rows * columns);
    shared = lowrank::shared(options);
  }
};
HD void begin(Call* call) {
  if (call->matrices == 0) return;
  for (size_t i = 0; i < call->columns * call->rank; i++) call->q0[i] = lowrank::start(call->key, i);
  if (call->shared) orthogonalize(call->q0, call->columns, call->rank);
}
HD Factor p_of(const Call& call, const uint8_t* wire, size_t matrix) {
  return {const_cast<uint8_t*>(wire) + matrix * lowrank::wire_floats(call.options) * sizeof(float),
          call.rows};
}
HD Factor q_of(const Call& call, const uint8_t* wire, size_t matrix) {
  if (call.shared) return factor(call.q0, call.columns);
  return {p_of(call, wire, matrix).bytes + lowrank::p_floats(call.options) * sizeof(float), call.columns};
}
HD size_t tail_at(const Call& call) {
  return call.matrices * lowrank::wire_floats(call.options) * sizeof(float);
}

// Of a matrix whose row i is row_at(i), valid until the next call.
template <class RowAt>
HD void encode_rows(const Call& call, size_t matrix, uint8_t* wire, RowAt row_at) {
  const Factor p = p_of(call, wire, matrix), q0 = factor(call.q0, call.columns), q = q_of(call, wire, matrix);
  for (size_t i = 0; i < call.rows; i++) left_rows<1>(row_at(i), call.columns, q0, call.rank, p, i);
  if (call.shared) return;
  orthogonalize_vectors(p, call.rank);
  right_begin(q, call.rank);
  for (size_t i = 0; i < call.rows; i++) right_rows<1>(row_at(i), call.columns, p, i, call.rank, q);
  right_end(q, call.rank);
}

struct Lowrank {
  static void encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
                     uint8_t* wire) {
    Call call(options, key, elements);
    begin(&call);
    for (size_t m = 0; m < call.matrices; m++, source += call.rows * call.columns) {
      const Factor p = p_of(call, wire, m);
      left_all(source, call.rows, factor(call.q0, call.columns), call.rank, p);
      if (call.shared) continue;
      orthogonalize_vectors(p, call.rank);
      right_all(source, call.rows, p, call.rank, q_of(call, wire, m));
    }
    if (call.rest > 0) memcpy(wire + tail_at(call), source, call.rest * sizeof(float));
  }
  static void decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                     float* target) {
    Call call(options, key, elements);
    if (call.shared) begin(&call);
    for (size_t m = 0; m < call.matrices; m++, target += call.rows * call.columns)
      expand_all(
          p_of(call, wire, m), call.rows, q_of(call, wire, m),
          call.rank, [&](size_t i, size_t j, F16 x, size_t count) __attribute__((always_inline)) {
            store_some(target + i * call.columns + j, x, count);
          });
    if (call.rest > 0) memcpy(target, wire + tail_at(call), call.rest * sizeof(float));
  }
  HD void add_rest(const Call& call, const uint8_t* wire, float* target) {
    const Factor rest = {const_cast<uint8_t*>(wire) + tail_at(call), call.rest};
    for (size_t i = 0; i < call.rest; i++)
      target[i] = exact::canonical(exact::add(target[i], get(rest, 0, i)));
  }
  static void decode_add(const CodecOptions& options, const CodecKey& key, const uint8_t* wire,
                         size_t elements, float* target) {
    Call call(options, key, elements);
    if (call.shared) begin(&call);
    for (size_t m = 0; m < call.matrices; m++, target += call.rows * call.columns)
      expand_all(
          p_of(call, wire, m), call.rows, q_of(call, wire, m),
          call.rank, [&](size_t i, size_t j, F16 x, size_t count) __attribute__((always_inline)) {
            float* const to = target + i * call.columns + j;
            store_some(to, canonical(add(load_some(to, count), x)), count);
          });
    add_rest(call, wire, target);
  }
  static void decode_add_encode(const CodecOptions& options, const CodecKey& from, const CodecKey& to,
                                const uint8_t* wire, const float* source, size_t elements, uint8_t* result) {
    alignas(64) float row[kColumnsMost];
    Call call(options, to, elements), coded(options, from, elements);
    begin(&call);
    if (coded.shared) begin(&coded);
    for (size_t m = 0; m < call.matrices; m++, source += call.rows * call.columns) {
      const Factor p = p_of(coded, wire, m), q = q_of(coded, wire, m);
      encode_rows(
          call, m, result, [&](size_t at) __attribute__((always_inline)) {
            expand_rows<1>(
                p, at, q,
                call.rank, [&](size_t, size_t j, F16 x, size_t count) __attribute__((always_inline)) {
                  store_some(row + j, canonical(add(load_some(source + at * call.columns + j, count), x)),
                             count);
                });
            return static_cast<const float*>(row);
          });
    }
    const Factor rest = {const_cast<uint8_t*>(wire) + tail_at(call), call.rest};
    const Factor sum = {result + tail_at(call), call.rest};
    for (size_t i = 0; i < call.rest; i++)
      set(sum, 0, i, exact::canonical(exact::add(source[i], get(rest, 0, i))));
  }

  // The mean of words, in the order of the ranks.
  HD void mean_words(const uint8_t* const* wires, uint32_t ranks, size_t at, size_t words, uint8_t* wire) {
    const F16 divisor = spread(static_cast<float>(ranks));
    for (size_t i = 0; i < words; i += kLanes) {
      const auto word = [&](uint32_t rank) __attribute__((always_inline)) {
        return load_some(reinterpret_cast<const float*>(wires[rank] + at + i * sizeof(float)), words - i);
      };
      F16 sum = word(0);
      for (uint32_t rank = 1; rank < ranks; rank++) sum = canonical(add(sum, word(rank)));
      store_some(reinterpret_cast<float*>(wire + at + i * sizeof(float)), canonical(div(sum, divisor)),
                 words - i);
    }
  }
  static void mean(const CodecOptions& options, const CodecKey& key, const uint8_t* const* wires,
                   uint32_t ranks, size_t elements, uint8_t* wire) {
    alignas(64) float row[kColumnsMost];
    Call call(options, key, elements);
    if (call.shared)
      return mean_words(wires, ranks, 0, lowrank::bytes(options, elements) / sizeof(float), wire);
    begin(&call);
    const F16 divisor = spread(static_cast<float>(ranks));
    for (size_t m = 0; m < call.matrices; m++)
      encode_rows(
          call, m, wire, [&](size_t at) __attribute__((always_inline)) {
            for (uint32_t rank = 0; rank < ranks; rank++)
              expand_rows<1>(
                  p_of(call, wires[rank], m), at, q_of(call, wires[rank], m),
                  call.rank, [&](size_t, size_t j, F16 x, size_t count) __attribute__((always_inline)) {
                    const F16 sum = rank == 0 ? x : canonical(add(load_some(row + j, count), x));
                    store_some(row + j, rank + 1 < ranks ? sum : canonical(div(sum, divisor)), count);
                  });
            return static_cast<const float*>(row);
          });
    mean_words(wires, ranks, tail_at(call), call.rest, wire);
  }
};

}  // namespace

extern const CodecLoops lowrank_loops;
const CodecLoops lowrank_loops = {
    Lowrank::encode, Lowrank::decode, Lowrank::decode_add, Lowrank::decode_add_encode, Lowrank::mean, nullptr,
    nullptr,         nullptr};

extern const LowrankSteps kLowrankSteps;
const LowrankSteps kLowrankSteps = {left, orthogonalize, right, expand};

}  // namespace gradmesh::GM_ISA
