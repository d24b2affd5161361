// Measured-looking networks from a seed, for the tests of what is decided over links.
#pragma once
#include <cmath>
#include <random>
#include <vector>

#include "topology/links.h"

struct Network {
  uint32_t ranks;
  std::vector<double> bandwidth, latency;
  explicit Network(uint32_t count, double bytes_per_second = 0, double seconds = 0)
      : ranks(count),
        bandwidth(size_t{count} * count, bytes_per_second),
        latency(size_t{count} * count, seconds) {}
  double& rate(uint32_t from, uint32_t to) { return bandwidth[size_t{from} * ranks + to]; }
  double& delay(uint32_t from, uint32_t to) { return latency[size_t{from} * ranks + to]; }
  gradmesh::LinkMatrix links() const { return {ranks, bandwidth, latency}; }
};

// Peers of five cities far apart: latency by distance, up to 150 ms; each pair's bandwidth is the smaller of
// the sender's uplink and the receiver's downlink, less a path of its own.
inline Network wan(uint32_t ranks, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  Network network(ranks);
  struct Peer {
    double x, y, up, down;
  };
  std::vector<Peer> peers;
  std::vector<Peer> cities;
  for (int i = 0; i < 5; i++) cities.push_back({uniform() * 100, uniform() * 100, 0, 0});
  for (uint32_t rank = 0; rank < ranks; rank++) {
    const Peer& city = cities[random() % cities.size()];
    peers.push_back({city.x + uniform() * 4, city.y + uniform() * 4, std::exp2(uniform() * 5) * 4e6,
                     std::exp2(uniform() * 4) * 16e6});
  }
  for (uint32_t from = 0; from < ranks; from++)
    for (uint32_t to = 0; to < ranks; to++) {
      if (from == to) continue;
      const double distance = std::hypot(peers[from].x - peers[to].x, peers[from].y - peers[to].y);
      network.delay(from, to) = 2e-4 + distance * 1e-3 * (1 + 0.2 * uniform());
      network.rate(from, to) = std::min(peers[from].up, peers[to].down) * (0.4 + 0.6 * uniform());
    }
  return network;
}

// Every entry of its own: no structure that could help a search.
inline Network noise(uint32_t ranks, uint64_t seed) {
  std::mt19937_64 random(seed);
  Network network(ranks);
  for (double& rate : network.bandwidth) rate = 1e6 * static_cast<double>(1 + random() % 1000);
  for (double& delay : network.latency) delay = 1e-3 * static_cast<double>(1 + random() % 100);
  return network;
}

// Bandwidths of two kinds, so that many rings share the best slowest hop and latency decides among them.
inline Network coarse(uint32_t ranks, uint64_t seed) {
  Network network = wan(ranks, seed);
  for (double& rate : network.bandwidth) rate = rate > 4e6 ? 1e8 : 1e6;
  return network;
}
