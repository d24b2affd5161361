// The fixed tree has the order that its header states, and order.h the order of the bits.
#include "numeric/tree.h"

#include <algorithm>
#include <cmath>

#include "check.h"
#include "numeric/order.h"

TEST("tree: 16 lanes by ascending index, then halves") {
  const float big = 0x1p25f;
  float x[33] = {};
  x[0] = big, x[16] = 1.0f, x[32] = -big;  // one lane: 1 is lost in big
  CHECK(tree::sum(x, 33) == 0.0f);
  std::swap(x[16], x[17]);  // another lane: it is added after big has gone
  CHECK(tree::sum(x, 33) == 1.0f);
  float y[16] = {};
  y[0] = big, y[8] = -big, y[4] = 1.0f;  // 0 + 8 meet first
  CHECK(tree::sum(y, 16) == 1.0f);
  float z[16] = {};
  z[0] = big, z[4] = 1.0f, z[2] = -big;  // 0 + 4 meet before 0 + 2
  CHECK(tree::sum(z, 16) == 0.0f);
}

TEST("tree: short and empty sums, and a dot of one rounding a term") {
  const float x[3] = {1.0f, 2.0f, 3.0f};
  CHECK(exact::bits(tree::sum(x, 0)) == 0);
  CHECK(tree::sum(x, 3) == 6.0f && tree::dot(x, x, 3) == 14.0f);
  const float minus_zero = -0.0f;
  CHECK(exact::bits(tree::sum(&minus_zero, 1)) == 0);
  float a[17] = {}, b[17] = {};
  a[0] = 1.0f, b[0] = -1.0f - 0x1p-11f, a[16] = b[16] = 1.0f + 0x1p-12f;  // its square: 1 + 2^-11 + 2^-24
  CHECK(tree::dot(a, b, 17) == 0x1p-24f);
}

TEST("order: keys rise with the floats, NaN at the ends, and go back") {
  const uint32_t ascending[] = {0xffc00000u, 0xff800000u, 0xff7fffffu, 0xbf800000u, 0x80000001u, 0x80000000u,
                                0x00000000u, 0x00000001u, 0x3f800000u, 0x7f7fffffu, 0x7f800000u, 0x7fc00000u};
  for (size_t i = 1; i < std::size(ascending); i++)
    CHECK(order::key(exact::from_bits(ascending[i - 1])) < order::key(exact::from_bits(ascending[i])));
  for (const uint32_t u : ascending)
    CHECK(exact::bits(order::from_key(order::key(exact::from_bits(u)))) == u);
}
