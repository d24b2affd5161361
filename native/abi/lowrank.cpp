// The C ABI of PowerSGD's steps.
#include "abi/abi.h"
#include "abi/codecs.h"
#include "codec/lowrank_steps.h"
#include "numeric/backend.h"

using namespace gradmesh;

namespace {

constexpr uint64_t kSideMax = uint64_t{1} << 31;

Status check_length(const char* field, gm_f32s floats, uint64_t expected, const char* what) {
  GM_TRY(abi::check_given({{field, floats}}));
  if (floats.length == expected) return Status::ok();
  return {GM_INVALID_ARGUMENT, std::string(field) + " has " + std::to_string(floats.length) + " elements; " +
                                   what + " is " + std::to_string(expected)};
}

Status check_sides(std::initializer_list<std::pair<const char*, uint64_t>> sides) {
  for (const auto& [name, value] : sides)
    if (value < 1 || value > kSideMax)
      return {GM_INVALID_ARGUMENT, std::string(name) + " is " + std::to_string(value) + "; allowed: 1 to " +
                                       std::to_string(kSideMax)};
  return backend::check_float_mode();
}

Status check_apart(const char* field, gm_f32s target, gm_f32s source) {
  return abi::check_apart(field, target.data, target.length * sizeof(float), source.data,
                          source.length * sizeof(float));
}

// The three tensors of a step by their lengths.
Status check_factors(gm_f32s matrix, uint64_t rows, uint64_t columns, gm_f32s p, gm_f32s q, uint64_t rank) {
  GM_TRY(check_sides({{"rows", rows}, {"columns", columns}, {"rank", rank}}));
  GM_TRY(check_length("matrix", matrix, rows * columns, "rows * columns"));
  GM_TRY(check_length("p", p, rank * rows, "rank * rows"));
  return check_length("q", q, rank * columns, "rank * columns");
}

}  // namespace

extern "C" {

int32_t gm_lowrank_left(gm_f32s matrix, uint64_t rows, uint64_t columns, gm_f32s q, uint64_t rank,
                        gm_f32s p) {
  return abi::guard([&]() -> Status {
    GM_TRY(check_factors(matrix, rows, columns, p, q, rank));
    GM_TRY(check_apart("p", p, matrix));
    GM_TRY(check_apart("p", p, q));
    lowrank_steps().left(matrix.data, rows, columns, q.data, rank, p.data);
    return Status::ok();
  });
}

int32_t gm_lowrank_orthogonalize(gm_f32s factor, uint64_t length, uint64_t rank) {
  return abi::guard([&]() -> Status {
    GM_TRY(check_sides({{"length", length}, {"rank", rank}}));
    GM_TRY(check_length("factor", factor, rank * length, "rank * length"));
    lowrank_steps().orthogonalize(factor.data, length, rank);
    return Status::ok();
  });
}

int32_t gm_lowrank_right(gm_f32s matrix, uint64_t rows, uint64_t columns, gm_f32s p, uint64_t rank,
                         gm_f32s q) {
  return abi::guard([&]() -> Status {
    GM_TRY(check_factors(matrix, rows, columns, p, q, rank));
    GM_TRY(check_apart("q", q, matrix));
    GM_TRY(check_apart("q", q, p));
    lowrank_steps().right(matrix.data, rows, columns, p.data, rank, q.data);
    return Status::ok();
  });
}

int32_t gm_lowrank_expand(gm_f32s p, gm_f32s q, uint64_t rows, uint64_t columns, uint64_t rank,
                          gm_f32s matrix) {
  return abi::guard([&]() -> Status {
    GM_TRY(check_factors(matrix, rows, columns, p, q, rank));
    GM_TRY(check_apart("matrix", matrix, p));
    GM_TRY(check_apart("matrix", matrix, q));
    lowrank_steps().expand(p.data, q.data, rows, columns, rank, matrix.data);
    return Status::ok();
  });
}

}  // extern "C"
