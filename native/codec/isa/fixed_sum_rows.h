// Adding a block of terms to the accumulators of fixed_sum.h: the loops' part of it. Only files of isa/
// include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "codec/fixed_sum.h"

namespace gradmesh::GM_ISA {
namespace {

// The place in accumulators of the block that begins with element `at`; Sum is const where they are only
// read.
template <class Sum>
struct SumRows {
  template <class T>
  using As = std::conditional_t<std::is_const_v<Sum>, const T, T>;
  As<uint64_t>* header;
  As<int64_t>* first;  // of row 0; row l begins l * stride further
  size_t stride;
};
template <class Sum, class Byte>
HD SumRows<Sum> sum_rows(Byte* sum, size_t elements, size_t block, size_t at) {
  using Rows = SumRows<Sum>;
  return {reinterpret_cast<typename Rows::template As<uint64_t>*>(sum) + at / block,
          reinterpret_cast<typename Rows::template As<int64_t>*>(sum + Sum::row_at(elements, block, at)),
          Sum::row_bytes(elements) / 8};
}

// Marks the block: a contribution is not finite.
template <class Sum>
HD void mark_nan(const SumRows<Sum>& rows) {
  *rows.header |= Sum::kNan;
}

// Adds count terms of one contribution: term(i) * 2^position. A row that was not in use is written, not added
// to.
template <class Sum, class Term>
HD void add_terms(const SumRows<Sum>& rows, size_t count, uint32_t position, Term term) {
  const uint32_t limb = Sum::limb_of(position);
  for (int part = 0; part < (Sum::kSplit ? 2 : 1); part++) {
    int64_t* __restrict row = rows.first + (limb + static_cast<uint32_t>(part)) * rows.stride;
    if (*rows.header >> (limb + static_cast<uint32_t>(part)) & 1)
      for (size_t i = 0; i < count; i++) row[i] += Sum::part(Sum::shifted(term(i), position), part);
    else
      for (size_t i = 0; i < count; i++) row[i] = Sum::part(Sum::shifted(term(i), position), part);
  }
  *rows.header |= Sum::limbs_of(position);
}

}  // namespace
}  // namespace gradmesh::GM_ISA
