// Aggregating what several peers sent when some of them may send anything: rows are peers, columns are the
// coordinates of what they sent. One column of a trimmed mean, what the loops of ops/isa and the kernels of
// cuda/ops run.
#pragma once
#include <utility>

#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/order.h"

namespace gradmesh::ops::define {

constexpr int kPeersMax = 32;  // rows that a sorting network is made for

// A network that sorts any number of rows: merge exchange (Batcher 1968; Knuth, volume 3, 5.2.2, algorithm
// M). Which rows are compared never depends on what they hold, so that columns go through it side by side.
template <int Rows>
struct Network {
  static constexpr int kMax = 192;  // 191 of 32 rows
  uint8_t low[kMax] = {}, high[kMax] = {};
  int size = 0;

  constexpr Network() {
    int top = 1;
    while (2 * top < Rows) top *= 2;
    for (int p = top; p > 0 && Rows > 1; p /= 2) {
      int q = top, r = 0, d = p;
      for (;;) {
        for (int i = 0; i + d < Rows; ++i)
          if ((i & p) == r) low[size] = (uint8_t)i, high[size] = (uint8_t)(i + d), ++size;
        if (q == p) break;
        d = q - p, q /= 2, r = p;
      }
    }
  }
};
template <int Rows>
static constexpr Network<Rows> kNetwork;

// One column's values as the keys of numeric/order.h, whose order is total: -0 before +0, NaN outermost, by
// their sign. `Keys` of ops/isa are several columns, with the same functions.
struct OneKey {
  int32_t key;
};
HD void exchange(OneKey& low, OneKey& high) {
  const int32_t a = low.key, b = high.key;
  low.key = a < b ? a : b, high.key = a < b ? b : a;
}
HD float value_of(OneKey a) { return order::from_key(a.key); }
HD float sum_of(float a, float b) { return exact::add(a, b); }
HD float part_of(float sum, float count) { return exact::canonical(exact::div(sum, count)); }

template <int Rows, int At, class Keys>
HD void network_step(Keys* keys) {
  constexpr int low = kNetwork<Rows>.low[At], high = kNetwork<Rows>.high[At];
  exchange(keys[low], keys[high]);
}
template <int Rows, class Keys, int... At>
HD void network_run([[maybe_unused]] Keys* keys, std::integer_sequence<int, At...>) {
  (network_step<Rows, At>(keys), ...);
}

template <int Rows, class Keys>
HD void sort_rows(Keys* keys) {
  network_run<Rows>(keys, std::make_integer_sequence<int, kNetwork<Rows>.size>());
}

// keys[Rows], which it sorts, -> the mean of those that are left without the `faulty` lowest and the `faulty`
// highest: added from the lowest on, and divided by their number.
template <int Rows, class Keys>
HD auto trimmed_mean(Keys* keys, int faulty) {
  sort_rows<Rows>(keys);
  auto sum = value_of(keys[faulty]);
  for (int row = faulty + 1; row < Rows - faulty; ++row) sum = sum_of(sum, value_of(keys[row]));
  return part_of(sum, (float)(Rows - 2 * faulty));
}

}  // namespace gradmesh::ops::define
