// Rounds in their final form: sorted, joined, with out-neighbours.
#include "topology/round_writer.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace gradmesh {

void RoundWriter::take(uint32_t to, uint32_t from, double weight) {
  if (to == from)
    round_[to].self += weight;
  else
    round_[to].in.push_back({from, weight});
}

void RoundWriter::average(const std::vector<uint32_t>& members) {
  const double weight = 1.0 / static_cast<double>(members.size());
  for (const uint32_t to : members) {
    self(to, weight);
    for (const uint32_t from : members)
      if (from != to) take(to, from, weight);
  }
}

MixingRound RoundWriter::finish() {
  for (uint32_t rank = 0; rank < round_.size(); rank++) {
    std::vector<Neighbour>& in = round_[rank].in;
    std::stable_sort(in.begin(), in.end(),
                     [](const Neighbour& a, const Neighbour& b) { return a.rank < b.rank; });
    size_t kept = 0;
    for (size_t i = 0; i < in.size(); i++) {
      if (kept > 0 && in[kept - 1].rank == in[i].rank)
        in[kept - 1].weight += in[i].weight;
      else
        in[kept++] = in[i];
    }
    in.resize(kept);
    for (const Neighbour& from : in) round_[from.rank].out.push_back(rank);
  }
  return std::move(round_);
}

void Adjacency::set(uint32_t a, uint32_t b, uint8_t joined) {
  GM_ASSERT(a != b && a < ranks_ && b < ranks_);
  if (joined_[size_t{a} * ranks_ + b] == joined) return;
  joined_[size_t{a} * ranks_ + b] = joined_[size_t{b} * ranks_ + a] = joined;
  for (const uint32_t end : {a, b}) degree_[end] += joined ? 1 : -1;
}

bool Adjacency::connected() const {
  std::vector<uint8_t> seen(ranks_);
  std::vector<uint32_t> queue = {0};
  seen[0] = 1;
  for (size_t at = 0; at < queue.size(); at++)
    for (uint32_t next = 0; next < ranks_; next++)
      if (!seen[next] && has(queue[at], next)) {
        seen[next] = 1;
        queue.push_back(next);
      }
  return queue.size() == ranks_;
}

MixingRound Adjacency::metropolis() const {
  RoundWriter writer(ranks_);
  for (uint32_t a = 0; a < ranks_; a++) {
    // A sum of few terms in rank order; where all weights are equal it is written as the one division it is.
    double left = 1;
    bool equal = true;
    for (uint32_t b = 0; b < ranks_; b++) {
      if (!has(a, b)) continue;
      const double weight = 1.0 / (1 + std::max(degree_[a], degree_[b]));
      equal = equal && degree_[b] <= degree_[a];
      left -= weight;
      writer.take(a, b, weight);
    }
    writer.self(a, equal ? 1.0 / (1 + degree_[a]) : left);
  }
  return writer.finish();
}

}  // namespace gradmesh
