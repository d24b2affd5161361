// What the families fill rounds with: directed weights, or an undirected graph with Metropolis weights.
#pragma once
#include <vector>

#include "topology/graph.h"

namespace gradmesh {

// Collects weights; finish() sorts and joins them, and lists the out-neighbours.
class RoundWriter {
 public:
  explicit RoundWriter(uint32_t ranks) : round_(ranks) {}
  void self(uint32_t rank, double weight) { round_[rank].self = weight; }
  // `to` takes the value of `from`; weights of a pair that is given twice add up.
  void take(uint32_t to, uint32_t from, double weight);
  // Both take from each other.
  void exchange(uint32_t a, uint32_t b, double weight) {
    take(a, b, weight);
    take(b, a, weight);
  }
  // All of `members` take the mean of all.
  void average(const std::vector<uint32_t>& members);
  MixingRound finish();

 private:
  MixingRound round_;
};

// A simple undirected graph.
class Adjacency {
 public:
  explicit Adjacency(uint32_t ranks) : ranks_(ranks), joined_(size_t{ranks} * ranks), degree_(ranks) {}
  uint32_t ranks() const { return ranks_; }
  bool has(uint32_t a, uint32_t b) const { return joined_[size_t{a} * ranks_ + b] != 0; }
  // Of two different ranks; joining twice is joining once.
  void join(uint32_t a, uint32_t b) { set(a, b, 1); }
  void part(uint32_t a, uint32_t b) { set(a, b, 0); }
  uint32_t degree(uint32_t rank) const { return degree_[rank]; }
  bool connected() const;
  // The weight of an edge is 1 / (1 + the larger degree of its ends), what is left stays (Xiao, Boyd and Kim
  // 2007): 1 / (degree + 1) everywhere where the graph is regular.
  MixingRound metropolis() const;

 private:
  void set(uint32_t a, uint32_t b, uint8_t joined);
  uint32_t ranks_;
  std::vector<uint8_t> joined_;
  std::vector<uint32_t> degree_;
};

}  // namespace gradmesh
