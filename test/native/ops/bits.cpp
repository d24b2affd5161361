// The law: every operator gives the same bytes on every backend, for every thread count and at every
// alignment.
#include <algorithm>

#include "support.h"

using namespace support;

namespace {

bool same_bytes(const std::vector<Floats>& a, const std::vector<Floats>& b) {
  for (size_t t = 0; t < a.size(); t++)
    if (std::memcmp(a[t].data(), b[t].data(), a[t].size() * 4) != 0) return false;
  return true;
}

// The same for values where a NaN may stand for another.
bool same_but_nans(const std::vector<Floats>& a, const std::vector<Floats>& b) {
  for (size_t t = 0; t < a.size(); t++)
    for (size_t i = 0; i < a[t].size(); i++)
      if (exact::bits(a[t][i]) != exact::bits(b[t][i]) && !(exact::is_nan(a[t][i]) && exact::is_nan(b[t][i])))
        return false;
  return true;
}

template <class Compare>
void compare_settings(const Case& c, const std::vector<Floats>& tensors, Compare same) {
  std::vector<Floats> scalar = tensors;
  CHECK_THAT(bool(run_case(c, scalar, {"scalar", 1, 0})), describe(c));
  for (const auto backend : gradmesh::backend::available())
    for (const Setting& setting :
         {Setting{gradmesh::backend::name(backend), 1, 0}, Setting{"", 2, 1}, Setting{"", 3, 7}}) {
      Setting named = setting;
      named.backend = gradmesh::backend::name(backend);
      std::vector<Floats> other = tensors;
      const Status status = run_case(c, other, named);
      CHECK_THAT(status && same(scalar, other), describe(c) + " on " + named.backend + " with " +
                                                    std::to_string(named.threads) + " threads " +
                                                    status.message());
    }
}

}  // namespace

TEST("bits: every operator on awkward shapes, by backend, threads and alignment") {
  for (const Case& c : awkward_cases()) compare_settings(c, make_tensors(c, check::seed()), same_bytes);
}

TEST("bits: every operator is among the cases") {
  const std::vector<Case> cases = awkward_cases();
  for (uint32_t id = 0; id < gradmesh::ops::kOps; id++)
    CHECK_THAT(std::any_of(cases.begin(), cases.end(), [&](const Case& c) { return uint32_t(c.op) == id; }),
               gradmesh::ops::op_find(id)->name);
}

// Raw bits: denormals, infinities, NaN, overflow. NaN appear in the same places; their payload is defined
// only where the result is state that peers compare, and where elements are handed on.
TEST("bits: any float at all gives the same result on every backend") {
  for (const Case& c : awkward_cases()) {
    std::vector<Floats> tensors = make_tensors(c, check::seed());
    const int index = shape_of(c).index_input;
    for (size_t t = 0; t < tensors.size(); t++)
      for (size_t i = 0; i < tensors[t].size() && int(t) != index && !(c.op == Op::adamw && t == 2); i++) {
        const uint32_t draw = prng::bits(check::seed(), 100 + t, i);
        if (draw % 3 == 0) tensors[t][i] = exact::from_bits(draw * 2654435761u);
      }
    compare_settings(c, tensors, nans_are_defined(c.op) ? same_bytes : same_but_nans);
  }
}

TEST("bits: what peers compare holds one NaN only") {
  for (const Case& c : awkward_cases()) {
    if (!nans_are_defined(c.op) || hands_on(c.op)) continue;
    std::vector<Floats> tensors = make_tensors(c, check::seed());
    const size_t inputs = gradmesh::ops::op_find(uint32_t(c.op))->inputs;
    for (float& x : tensors[0]) x = exact::from_bits(0xffc12345u);  // signed, with a payload
    CHECK(bool(run_case(c, tensors)));
    for (size_t t = inputs; t < tensors.size(); t++)
      for (const float x : tensors[t])
        CHECK_THAT(exact::bits(x) == 0x7fc00000u, describe(c) + " output " + std::to_string(t - inputs));
  }
}

TEST("bits: elements that are only handed on keep all of theirs") {
  const float odd = exact::from_bits(0xff812345u);  // a signalling NaN with a payload
  for (const Case& c : awkward_cases()) {
    if (!hands_on(c.op)) continue;
    std::vector<Floats> tensors = make_tensors(c, check::seed());
    for (float& x : tensors[0]) x = odd;
    Floats& out = tensors.back();
    std::fill(out.begin(), out.end(), 1.0f);
    CHECK(bool(run_case(c, tensors)));
    for (const float x : out) {
      const bool stayed = c.op == Op::scatter && x == 1.0f;
      const bool padding = c.op == Op::im2col && exact::bits(x) == 0;
      CHECK_THAT(exact::bits(x) == 0xff812345u || stayed || padding, describe(c));
    }
  }
}
