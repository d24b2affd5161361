// Islands and their leaders, and the choice of an algorithm, on networks whose answer is known.
#include "topology/islands.h"

#include <cmath>

#include "check.h"
#include "topology/choose.h"
#include "topology/networks.h"

using namespace gradmesh;

namespace {

// Rank r is in site sites[r]; `inside` and `between` are latencies in seconds.
Network sites_of(const std::vector<uint32_t>& sites, double inside, double between) {
  Network network(static_cast<uint32_t>(sites.size()), 1e8, between);
  for (uint32_t from = 0; from < sites.size(); from++)
    for (uint32_t to = 0; to < sites.size(); to++)
      if (sites[from] == sites[to]) network.delay(from, to) = inside;
  return network;
}

std::string found(const Network& network, double threshold = 0) {
  std::string json;
  const Status status = topology_islands(network.links(), threshold, &json);
  return status ? json : status.message();
}

LinkMatrix links_of(const Network& network) { return network.links(); }

// The bytes of each pair where every rank sends `bytes_sent` in equal parts to all others, or all to its
// successor.
std::vector<double> bytes_to_all(uint32_t ranks, double bytes_sent) {
  std::vector<double> bytes(size_t{ranks} * ranks, ranks > 1 ? bytes_sent / (ranks - 1) : 0);
  for (uint32_t rank = 0; rank < ranks; rank++) bytes[size_t{rank} * ranks + rank] = 0;
  return bytes;
}

std::vector<double> bytes_around(const std::vector<uint32_t>& order, double bytes_sent) {
  const size_t ranks = order.size();
  std::vector<double> bytes(ranks * ranks);
  for (size_t i = 0; ranks > 1 && i < ranks; i++)
    bytes[order[i] * ranks + order[(i + 1) % ranks]] = bytes_sent;
  return bytes;
}

Candidate direct(uint32_t ranks, double tensor_bytes) {
  return {"direct", 2, Waits::slowest, bytes_to_all(ranks, 2 * tensor_bytes * (ranks - 1) / ranks), ""};
}
Candidate ring(uint32_t ranks, double tensor_bytes) {
  std::vector<uint32_t> order(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) order[rank] = rank;
  return {"ring", 2 * (ranks - 1), Waits::around, bytes_around(order, 2 * tensor_bytes * (ranks - 1) / ranks),
          ""};
}

}  // namespace

TEST("sites are islands, by the widest step of latency") {
  CHECK(found(sites_of({0, 1, 0, 1}, 2e-4, 0.04)) ==
        "{\"threshold\":0.001,\"islands\":[{\"members\":[0,2],\"leader\":0},{\"members\":[1,3],\"leader\":1}]"
        "}");
  CHECK(found(sites_of({0, 0, 0}, 2e-4, 0.04)).find("\"islands\":[{\"members\":[0,1,2],\"leader\":0}]") !=
        std::string::npos);
  // All far apart: each for itself. All at one metropolitan distance below the step: together.
  CHECK(found(sites_of({0, 1, 2}, 0, 0.04)).find("[{\"members\":[0],\"leader\":0},{\"members\":[1]") !=
        std::string::npos);
  CHECK(found(sites_of({0, 1, 2}, 0, 0.0025)).find("\"members\":[0,1,2]") != std::string::npos);
  // Cities of 5 ms inside and 90 ms between: the wider step is between them.
  CHECK(found(sites_of({0, 0, 1, 1, 1}, 0.005, 0.09)) ==
        "{\"threshold\":0.005,\"islands\":[{\"members\":[0,1],\"leader\":0},{\"members\":[2,3,4],\"leader\":"
        "2}]}");
  CHECK(found(sites_of({0, 0, 1, 1, 1}, 0.005, 0.09), 0.1).find("\"members\":[0,1,2,3,4]") !=
        std::string::npos);
}

TEST("the slower direction counts, and what is joined to one is joined to all") {
  Network network = sites_of({0, 0, 1, 1}, 2e-4, 0.04);
  network.delay(1, 0) = 0.05;
  CHECK(found(network, 1e-3).find("[{\"members\":[0],\"leader\":0},{\"members\":[1]") != std::string::npos);
  Network chain(4, 1e8, 0.05);
  for (uint32_t rank = 0; rank < 3; rank++) chain.delay(rank, rank + 1) = chain.delay(rank + 1, rank) = 1e-3;
  CHECK(found(chain, 1e-3).find("\"members\":[0,1,2,3]") != std::string::npos);
}

TEST("the leader has the most bandwidth to other islands, in its worse direction") {
  Network network = sites_of({0, 0, 0, 1, 1}, 2e-4, 0.04);
  for (uint32_t other : {3u, 4u}) {
    network.rate(1, other) = 9e8;  // sends fast, receives slowly
    network.rate(other, 1) = 1e7;
    network.rate(2, other) = network.rate(other, 2) = 2e8;
  }
  network.rate(0, 1) = network.rate(1, 0) = 1e10;  // inside: does not count
  const std::string json = found(network);
  CHECK_THAT(json.find("{\"members\":[0,1,2],\"leader\":2}") != std::string::npos, json);
  CHECK_THAT(json.find("{\"members\":[3,4],\"leader\":3}") != std::string::npos, json);
}

TEST("a threshold that cannot be is refused") {
  CHECK(found(Network(3, 1, 1), -1) == "threshold is -1 seconds; allowed: 0 (find one) to 60");
  CHECK(found(Network(3, 1, 1), std::nan("")).find("threshold is nan seconds") == 0);
}

TEST(
    "on a WAN few latencies win while tensors are small, and host caps make no difference between equal "
    "bytes") {
  const Network network(8, 12.5e6, 0.05);
  Choice choice;
  CHECK(choose_algorithm(links_of(network), {}, {ring(8, 1 << 20), direct(8, 1 << 20)}, &choice));
  CHECK(choice.chosen == 1);
  // Two latencies of 50 ms, and 1/8 MiB twice over each pair at 12.5 MB/s.
  CHECK(std::abs(choice.predictions[1].seconds - (0.1 + 2.0 * (1 << 20) / 8 / 12.5e6)) < 1e-9);
  CHECK(std::abs(choice.predictions[0].seconds - (14 * 0.05 + 2.0 * (1 << 20) * 7 / 8 / 12.5e6)) < 1e-9);
  const HostCaps caps = {std::vector<double>(8, 12.5e6), {}};
  CHECK(choose_algorithm(links_of(network), caps, {ring(8, 1 << 28), direct(8, 1 << 28)}, &choice));
  CHECK(choice.chosen == 1 &&
        std::abs(choice.predictions[0].transfer_seconds - choice.predictions[1].transfer_seconds) < 1e-6);
}

TEST("one slow pair makes a ring around it the better choice") {
  Network network(4, 1.25e8, 1e-3);
  network.rate(0, 2) = network.rate(2, 0) = 1e5;
  Choice choice;
  CHECK(choose_algorithm(links_of(network), {}, {direct(4, 1e7), ring(4, 1e7)}, &choice));
  CHECK(choice.chosen == 1);
  CHECK_THAT(choice.explain.find("ring is predicted to take 126 ms, the next") == 0, choice.explain);
  CHECK_THAT(
      choice.explain.find(
          "direct: 50 s = 2 latency steps of 1 ms + 50 s (4.77 MiB from rank 0 to rank 2 at 800 kbit/s)") !=
          std::string::npos,
      choice.explain);
}

TEST("what may not be used is not chosen, and the reason is said") {
  const Network network(4, 1e8, 0.01);
  Candidate barred = direct(4, 1e6);
  barred.refused = "ranks 1 and 2 cannot connect";
  Choice choice;
  CHECK(choose_algorithm(links_of(network), {}, {barred, ring(4, 1e6)}, &choice));
  CHECK(choice.chosen == 1 &&
        choice.explain.find("not allowed: ranks 1 and 2 cannot connect") != std::string::npos);
  Status status = choose_algorithm(links_of(network), {}, {barred}, &choice);
  CHECK(!status && status.message().find("no algorithm can be used:\n  direct") == 0);
  status = choose_algorithm(links_of(Network(4, 0, 0.01)), {}, {ring(4, 1e6)}, &choice);
  CHECK_THAT(!status && status.message().find("ring: never") != std::string::npos, status.message());
  Candidate wrong = ring(3, 1e6);
  CHECK(choose_algorithm(links_of(network), {}, {wrong}, &choice).message() ==
        "ring's bytes have 9 entries; 4 ranks take 16");
  CHECK(choose_algorithm(links_of(network), {{1, 1}, {}}, {ring(4, 1)}, &choice).message() ==
        "egress has 2 entries; allowed: none, or one a rank, 4");
}
