// Ring orders: the exact one against all permutations, the searched one against the exact one and the proven
// bounds.
#include "topology/ring_order.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "check.h"
#include "topology/networks.h"

using namespace gradmesh;

namespace {

const char* const kKinds[] = {"wan", "noise", "coarse"};

Network network_of(const std::string& kind, uint32_t ranks, uint64_t seed) {
  return kind == "wan" ? wan(ranks, seed) : kind == "noise" ? noise(ranks, seed) : coarse(ranks, seed);
}

struct Ring {
  double slowest, latency;
};

Ring ring_of(const Network& network, const std::vector<uint32_t>& order) {
  const LinkMatrix links = network.links();
  Ring ring = {1e300, 0};
  for (size_t i = 0; i < order.size(); i++) {
    const uint32_t from = order[i], to = order[(i + 1) % order.size()];
    ring.slowest = std::min(ring.slowest, links.bandwidth_of(from, to));
    ring.latency += links.latency_of(from, to);
  }
  return ring;
}

Ring best_of_all(const Network& network) {
  std::vector<uint32_t> order(network.ranks);
  for (uint32_t rank = 0; rank < network.ranks; rank++) order[rank] = rank;
  Ring best = {-1, 0};
  do {
    const Ring ring = ring_of(network, order);
    if (ring.slowest > best.slowest || (ring.slowest == best.slowest && ring.latency < best.latency))
      best = ring;
  } while (std::next_permutation(order.begin() + 1, order.end()));
  return best;
}

RingOrder solved(const Network& network, RingOrderLimits limits = {}) {
  RingOrder result;
  const Status status = ring_order(network.links(), limits, &result);
  CHECK_THAT(bool(status), status.message());
  std::vector<uint32_t> sorted = result.order;
  std::sort(sorted.begin(), sorted.end());
  for (uint32_t rank = 0; rank < network.ranks; rank++)
    CHECK(sorted.size() == network.ranks && sorted[rank] == rank);
  CHECK(result.order[0] == 0);
  const Ring ring = ring_of(network, result.order);
  CHECK(ring.slowest == result.slowest_hop && std::abs(ring.latency - result.total_latency) < 1e-6);
  CHECK(result.slowest_hop <= result.slowest_hop_bound);
  CHECK(result.total_latency >= result.total_latency_bound - 1e-9);
  return result;
}

RingOrderLimits searching() {
  RingOrderLimits limits;
  limits.exact_ranks_max = 0;
  return limits;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST("the exact ring is the best of all permutations") {
  for (uint32_t ranks = 2; ranks <= 8; ranks++)
    for (uint64_t i = 0; i < 6; i++) {
      const Network network = network_of(kKinds[i % 3], ranks, check::seed() + i);
      const Ring best = best_of_all(network);
      const RingOrder found = solved(network);
      CHECK(found.exact && found.slowest_hop == best.slowest);
      CHECK(std::abs(found.total_latency - best.latency) < 1e-6);
    }
}

TEST("the searched ring beside the exact one: a table") {
  std::printf("  ring order, searched against exact: mean of 6 networks\n");
  std::printf("  ranks  network  slowest hop found/exact  total latency found/exact  same\n");
  for (const char* kind : kKinds)
    for (const uint32_t ranks : {5u, 8u, 10u, 12u, 14u}) {
      double hops = 0, latencies = 0;
      int same = 0;
      for (uint64_t i = 0; i < 6; i++) {
        const Network network = network_of(kind, ranks, 100 + i);
        const RingOrder exact = solved(network), found = solved(network, searching());
        CHECK(exact.exact && !found.exact);
        CHECK(found.slowest_hop <= exact.slowest_hop && found.slowest_hop_bound >= exact.slowest_hop);
        if (found.slowest_hop == exact.slowest_hop)
          CHECK(found.total_latency_bound <= exact.total_latency + 1e-9);
        hops += found.slowest_hop / exact.slowest_hop / 6;
        latencies += found.total_latency / exact.total_latency / 6;
        same += found.slowest_hop == exact.slowest_hop &&
                std::abs(found.total_latency - exact.total_latency) < 1e-9;
      }
      std::printf("  %5u  %-7s  %23.4f  %25.4f  %d of 6\n", ranks, kind, hops, latencies, same);
      CHECK_THAT(hops > 0.97, kind);
    }
}

TEST("the searched ring of many ranks beside the proven bounds: a table") {
  std::printf("  ring order of many ranks beside proven bounds\n");
  std::printf("  ranks  network  slowest hop found/bound  total latency found/bound  seconds\n");
  for (const char* kind : kKinds)
    for (const uint32_t ranks : {24u, 64u, 128u, 256u}) {
      const Network network = network_of(kind, ranks, 7);
      const auto start = std::chrono::steady_clock::now();
      const RingOrder found = solved(network);
      std::printf("  %5u  %-7s  %23.4f  %25.4f  %7.2f\n", ranks, kind,
                  found.slowest_hop / found.slowest_hop_bound,
                  found.total_latency / found.total_latency_bound, seconds_since(start));
      CHECK_THAT(found.slowest_hop >= 0.8 * found.slowest_hop_bound, kind);
    }
}

TEST("the same matrix gives the same order") {
  const Network network = wan(40, check::seed());
  CHECK(solved(network).order == solved(network).order);
}

TEST("a ring that is hidden among slow links is found") {
  for (const uint32_t ranks : {6u, 30u, 100u}) {
    std::mt19937_64 random(check::seed());
    std::vector<uint32_t> hidden(ranks);
    for (uint32_t rank = 0; rank < ranks; rank++) hidden[rank] = rank;
    std::shuffle(hidden.begin(), hidden.end(), random);
    Network network(ranks, 1e6, 0.01);
    for (uint32_t i = 0; i < ranks; i++) network.rate(hidden[i], hidden[(i + 1) % ranks]) = 1e8;
    const RingOrder found = solved(network);
    CHECK_THAT(found.slowest_hop == 1e8 && found.slowest_hop_bound == 1e8, std::to_string(ranks));
  }
}

TEST("a rank behind a slow uplink decides the slowest hop, and its direction counts") {
  Network network(6, 1e8, 0.02);
  for (uint32_t to = 0; to < 6; to++)
    if (to != 3) network.rate(3, to) = 1e6;
  network.rate(3, 5) = 2e6;
  const RingOrder found = solved(network);
  CHECK(found.slowest_hop == 2e6);
  for (uint32_t i = 0; i < 6; i++)
    if (found.order[i] == 3) CHECK(found.order[(i + 1) % 6] == 5);
}

TEST("missing links are avoided; where they cannot be, the slowest hop is 0") {
  Network network(20, 1e8, 0.02);
  for (uint32_t rank = 0; rank < 20; rank++)
    if (rank != 7 && rank != 9) network.rate(4, rank) = network.rate(rank, 4) = 0;
  CHECK(solved(network).slowest_hop == 1e8);
  network.rate(4, 7) = network.rate(4, 9) = 0;
  CHECK(solved(network).slowest_hop == 0 && solved(network).slowest_hop_bound == 0);
}

TEST("matrices that cannot be are refused with the entry, its value and what is allowed") {
  Network network(3, 1e8, 0.02);
  RingOrder result;
  const auto message = [&](LinkMatrix links) {
    const Status status = ring_order(links, {}, &result);
    CHECK(status.code() == GM_INVALID_ARGUMENT);
    return status.message();
  };
  CHECK(message({1, {}, {}}) == "ranks is 1; allowed: 2 to 256");
  CHECK(message({257, {}, {}}) == "ranks is 257; allowed: 2 to 256");
  CHECK(message({2, network.bandwidth, network.latency}) == "bandwidth has 9 entries; 2 ranks take 4");
  network.delay(1, 2) = 61;
  CHECK(message(network.links()) == "latency[1][2] is 61; allowed: 0 to 60 seconds");
  network.rate(2, 0) = std::nan("");
  CHECK(message(network.links()).find("bandwidth[2][0] is nan") == 0);
  network.rate(2, 0) = -1;
  CHECK(message(network.links()).find("bandwidth[2][0] is -1; allowed: 0 to 1e15") == 0);
}
