// Every forward operator against its double-precision reference, to float tolerance.
#include <cmath>

#include "reference.h"

using namespace support;

TEST("forward: every operator is near its reference") {
  int compared = 0;
  for (const Case& c : awkward_cases()) {
    std::vector<Floats> tensors = make_tensors(c, check::seed());
    const std::vector<Doubles> want = reference(c, widen(tensors), index_of(c, tensors));
    if (want.empty()) continue;
    compared++;
    CHECK_THAT(bool(run_case(c, tensors)), describe(c));
    const size_t inputs = tensors.size() - want.size();
    for (size_t o = 0; o < want.size(); o++)
      for (size_t i = 0; i < want[o].size(); i++) {
        const double got = tensors[inputs + o][i], error = std::fabs(got - want[o][i]);
        CHECK_THAT(error <= 4e-5 * (1 + std::fabs(want[o][i])),
                   describe(c) + " output " + std::to_string(o) + "[" + std::to_string(i) + "] is " +
                       std::to_string(got) + ", not " + std::to_string(want[o][i]));
      }
  }
  CHECK(compared > 60);
}

TEST("forward: masked probabilities are +0 and the future changes nothing") {
  const Case c = {Op::attention, {1, 33, 2, 24}, {}};
  std::vector<Floats> a = make_tensors(c, check::seed());
  std::vector<Floats> b = a;
  const size_t half = 17;
  for (size_t i = half * 72; i < b[0].size(); i++) b[0][i] = i % 2 ? NAN : INFINITY;
  CHECK(bool(run_case(c, a)) && bool(run_case(c, b)));
  CHECK(std::memcmp(a[1].data(), b[1].data(), half * 24 * 4) == 0);
  for (size_t t = 0; t < 33; t++)
    for (size_t s = t + 1; s < 33; s++) CHECK(exact::bits(b[2][t * 33 + s]) == 0);
}

TEST("forward: a row with a NaN logit has a NaN loss, others none") {
  const Case c = {Op::cross_entropy, {3, 85}, {}};
  std::vector<Floats> tensors = make_tensors(c, check::seed());
  tensors[0][85 + 7] = exact::from_bits(0xffc00000u);
  CHECK(bool(run_case(c, tensors)));
  CHECK(!exact::is_nan(tensors[2][0]) && exact::is_nan(tensors[2][1]) && !exact::is_nan(tensors[2][2]));
}
