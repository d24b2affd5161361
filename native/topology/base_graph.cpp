// The Base-(k+1) graph (Takezawa et al., 2305.11420): at most k neighbours in a round, and the exact mean of
// any number of ranks after finitely many rounds, at most about 2 log(n) / log(k+1) + 2.
//
// Hyper-hypercube, for n whose primes are all at most k+1: n is a product of factors of at most k+1, and
// round l averages groups whose ranks differ in digit l of that mixed base.
//
// Simple graph, for any n: in base k+1, n = a_1 (k+1)^p_1 + a_2 (k+1)^p_2 + ..., exponents falling. So the
// ranks are cut into parts of a_l (k+1)^p_l, each of a_l blocks.
//   1. Each part averages itself, by its hyper-hypercube.
//   2. In the l-th of the following rounds, all ranks of the parts after l (the rest, fewer than a block has)
//   exchange
//      with one rank of each block of part l, with weight |part| / (a_l (|part| + |rest|)). Then the rest's
//      mean, and the mean of each block, is that of part and rest together; each part of the rest is still
//      uniform.
//   3. Each block averages itself, by its hyper-hypercube. Meanwhile 2 goes on with the next parts.
//
// Base graph: n = p q, where p holds the primes up to k+1. p groups of q ranks take the simple graph, then q
// groups with one rank of each take the hyper-hypercube; the simple graph of all is taken where it is no
// longer.
#include <algorithm>

#include "topology/families.h"
#include "topology/round_writer.h"

namespace gradmesh::graphs {
namespace {

using Members = std::vector<uint32_t>;

Members slice(const Members& members, size_t first, size_t count) {
  return {members.begin() + first, members.begin() + first + count};
}

// The fewest factors, each at most `most`, whose product is n; false where n has a larger prime.
bool factors_of(uint32_t n, uint32_t most, std::vector<uint32_t>* factors) {
  factors->clear();
  if (n == 1) return true;
  bool found = false;
  for (uint32_t factor = std::min(n, most); factor >= 2; factor--) {
    std::vector<uint32_t> rest;
    if (n % factor != 0 || !factors_of(n / factor, most, &rest)) continue;
    if (found && rest.size() + 1 >= factors->size()) continue;
    rest.insert(rest.begin(), factor);
    *factors = std::move(rest);
    found = true;
  }
  return found;
}

// Rounds by index, made as they are needed. Members that no call names stay as they are.
class Rounds {
 public:
  explicit Rounds(uint32_t ranks) : ranks_(ranks) {}
  RoundWriter& at(size_t round) {
    while (writers_.size() <= round) writers_.emplace_back(ranks_);
    return writers_[round];
  }
  size_t size() const { return writers_.size(); }
  std::vector<MixingRound> finish() {
    std::vector<MixingRound> rounds;
    for (RoundWriter& writer : writers_) rounds.push_back(writer.finish());
    return rounds;
  }

 private:
  uint32_t ranks_;
  std::vector<RoundWriter> writers_;
};

// Returns the round after the last one.
size_t hyper_hypercube(const Members& members, const std::vector<uint32_t>& factors, size_t first,
                       Rounds* rounds) {
  size_t stride = 1;
  for (const uint32_t factor : factors) {
    RoundWriter& writer = rounds->at(first++);
    for (size_t start = 0; start < members.size(); start++) {
      if (start / stride % factor != 0) continue;
      Members group;
      for (size_t digit = 0; digit < factor; digit++) group.push_back(members[start + digit * stride]);
      writer.average(group);
    }
    stride *= factor;
  }
  return first;
}

struct Part {
  Members members;
  uint32_t blocks, exponent;
};

std::vector<Part> parts_of(const Members& members, uint32_t base) {
  std::vector<uint32_t> digits;
  for (size_t rest = members.size(); rest > 0; rest /= base)
    digits.push_back(static_cast<uint32_t>(rest % base));
  std::vector<Part> parts;
  size_t first = 0;
  for (uint32_t exponent = static_cast<uint32_t>(digits.size()); exponent-- > 0;) {
    size_t count = digits[exponent];
    if (count == 0) continue;
    for (uint32_t i = 0; i < exponent; i++) count *= base;
    parts.push_back({slice(members, first, count), digits[exponent], exponent});
    first += count;
  }
  return parts;
}

// Step 2 above.
void exchange_with_rest(const Part& part, const Members& rest, RoundWriter* writer) {
  const double size = static_cast<double>(part.members.size()), others = static_cast<double>(rest.size());
  const double weight = size / (part.blocks * (size + others));
  const size_t block = part.members.size() / part.blocks;
  for (size_t i = 0; i < rest.size(); i++) {
    writer->self(rest[i], others / (size + others));
    for (size_t j = 0; j < part.blocks; j++) {
      const uint32_t member = part.members[j * block + i];
      writer->self(member, 1 - weight);
      writer->exchange(member, rest[i], weight);
    }
  }
}

void simple(const Members& members, uint32_t k, Rounds* rounds) {
  std::vector<uint32_t> factors;
  if (factors_of(static_cast<uint32_t>(members.size()), k + 1, &factors)) {
    hyper_hypercube(members, factors, 0, rounds);
    return;
  }
  const std::vector<Part> parts = parts_of(members, k + 1);
  size_t averaged = 0;
  for (const Part& part : parts) {
    factors_of(static_cast<uint32_t>(part.members.size()), k + 1, &factors);
    averaged = std::max(averaged, hyper_hypercube(part.members, factors, 0, rounds));
  }
  size_t first = 0;
  for (size_t l = 0; l < parts.size(); l++) {
    const Part& part = parts[l];
    first += part.members.size();
    if (l + 1 == parts.size()) break;
    exchange_with_rest(part, slice(members, first, members.size() - first), &rounds->at(averaged + l));
    const size_t block = part.members.size() / part.blocks;
    for (size_t j = 0; j < part.blocks; j++)
      hyper_hypercube(slice(part.members, j * block, block), std::vector<uint32_t>(part.exponent, k + 1),
                      averaged + l + 1, rounds);
  }
}

void by_groups(const Members& members, uint32_t k, Rounds* rounds) {
  uint32_t q = static_cast<uint32_t>(members.size());
  for (uint32_t prime = 2; prime <= k + 1; prime++)
    while (q % prime == 0) q /= prime;
  const uint32_t p = static_cast<uint32_t>(members.size()) / q;
  std::vector<uint32_t> factors;
  factors_of(p, k + 1, &factors);
  for (uint32_t group = 0; group < p; group++) simple(slice(members, size_t{group} * q, q), k, rounds);
  const size_t first = rounds->size();
  for (uint32_t column = 0; column < q; column++) {
    Members across;
    for (uint32_t group = 0; group < p; group++) across.push_back(members[size_t{group} * q + column]);
    hyper_hypercube(across, factors, first, rounds);
  }
}

}  // namespace

std::string base::problem(const GraphOptions&, uint32_t) { return ""; }

Status base::write(const GraphOptions& options, uint32_t ranks, std::vector<MixingRound>* rounds) {
  Members members(ranks);
  for (uint32_t rank = 0; rank < ranks; rank++) members[rank] = rank;
  const uint32_t k = static_cast<uint32_t>(options.k);
  Rounds of_all(ranks), of_groups(ranks);
  simple(members, k, &of_all);
  by_groups(members, k, &of_groups);
  *rounds = (of_groups.size() < of_all.size() ? of_groups : of_all).finish();
  return Status::ok();
}

}  // namespace gradmesh::graphs
