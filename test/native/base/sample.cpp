// Random sets of indices: against a reference of their own, test/vectors/sample.json, and what chance allows.
#include "base/sample.h"

#include <algorithm>
#include <cinttypes>
#include <map>
#include <set>

#include "base/prng.h"
#include "check.h"
#include "vectors.h"

namespace {

using Indices = std::vector<int32_t>;

Indices sample(uint64_t seed, uint64_t stream, uint64_t elements, size_t count) {
  Indices indices(count);
  gradmesh::sample_indices(seed, stream, elements, indices.data(), count);
  return indices;
}

// The header's words, over an ordered set.
Indices reference(uint64_t seed, uint64_t stream, uint64_t elements, size_t count) {
  std::set<int32_t> taken;
  uint64_t word = 0;
  for (uint64_t j = elements - count; j < elements; j++) {
    uint64_t product;
    do product = uint64_t{prng::bits(seed, stream, word++)} * (j + 1);
    while (product % (uint64_t{1} << 32) < (uint64_t{1} << 32) % (j + 1));
    const auto t = static_cast<int32_t>(product >> 32);
    taken.insert(taken.count(t) != 0 ? static_cast<int32_t>(j) : t);
  }
  return {taken.begin(), taken.end()};
}

// Chi-square of counts that should be equal.
double chi_square(const std::vector<int>& counts, double expected) {
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

struct Size {
  uint64_t elements, count;
};
constexpr Size kSizes[] = {{1, 0},  {1, 1},   {2, 1},   {63, 63},    {64, 3},        {65, 64},
                           {65, 1}, {100, 7}, {128, 5}, {1000, 999}, {100000, 3000}, {(1u << 20) + 1, 50}};

}  // namespace

TEST("sample: indices are distinct, ascending, below the number of elements, and the reference's") {
  for (const auto& [elements, count] : kSizes)
    for (uint64_t stream = 0; stream < 5; stream++) {
      const Indices found = sample(check::seed(), stream, elements, count);
      for (size_t i = 0; i < count; i++)
        CHECK(found[i] >= 0 && uint64_t(found[i]) < elements && (i == 0 || found[i] > found[i - 1]));
      CHECK_THAT(found == reference(check::seed(), stream, elements, count), std::to_string(elements));
    }
}

// All bounds are above 2^32 / 6: one word in six would favour small indices, and is passed over.
TEST("sample: words that would favour some index are passed over") {
  constexpr uint64_t kElements = 715900000, kCount = 200;
  const Indices found = sample(check::seed(), 1, kElements, kCount);
  CHECK(found == reference(check::seed(), 1, kElements, kCount));
}

TEST("sample: seed and stream both matter, and nothing else does") {
  const Indices one = sample(1, 2, 1000, 50);
  CHECK(one == sample(1, 2, 1000, 50) && one != sample(2, 2, 1000, 50) && one != sample(1, 3, 1000, 50));
  CHECK(one != sample(1ull << 32 | 1, 2, 1000, 50) && one != sample(1, 1ull << 32 | 2, 1000, 50));
}

// The seeds are fixed: limits that chance passes once in a thousand times would fail now and then.
TEST("sample: every set is equally likely") {
  constexpr int kDraws = 40000;
  std::map<Indices, int> sets;
  for (uint64_t stream = 0; stream < kDraws; stream++) sets[sample(7, stream, 6, 3)]++;
  CHECK(sets.size() == 20);
  std::vector<int> counts;
  for (const auto& [indices, count] : sets) counts.push_back(count);
  const double statistic = chi_square(counts, kDraws / 20.0);
  CHECK_THAT(statistic < 43.8, std::to_string(statistic));  // 19 degrees of freedom, p = 0.001
}

TEST("sample: every index, and every pair of neighbours, is drawn as often") {
  constexpr int kDraws = 20000, kElements = 100, kCount = 20;
  std::vector<int> singles(kElements), pairs(kElements - 1);
  for (uint64_t stream = 0; stream < kDraws; stream++) {
    const Indices indices = sample(11, stream, kElements, kCount);
    for (size_t i = 0; i < kCount; i++) {
      singles[size_t(indices[i])]++;
      if (i > 0 && indices[i] == indices[i - 1] + 1) pairs[size_t(indices[i - 1])]++;
    }
  }
  // Without replacement a set's own indices repel each other: a factor (elements - count) / (elements - 1).
  const double share = double(kCount) / kElements, spread = 1 - share;
  const double single = chi_square(singles, kDraws * share) / spread;
  CHECK_THAT(single < 148.2, std::to_string(single));  // 99 degrees of freedom, p = 0.001
  const double both = share * (kCount - 1) / (kElements - 1);
  const double pair = chi_square(pairs, kDraws * both);
  CHECK_THAT(pair < 160, std::to_string(pair));
}

// After a change that is meant to change sets, GRADMESH_UPDATE_VECTORS=1 writes the file anew.
TEST("sample: the sets of test/vectors/sample.json, which TypeScript is checked with too") {
  const uint64_t cases[][4] = {{0, 0, 10, 4},
                               {1, 2, 1000, 20},
                               {42, 7, 64, 60},
                               {9007199254740991, 9007199254740991, 100000, 16},
                               {5, 281474976710655, 715900000, 12}};
  if (vectors::updating()) {
    std::vector<std::string> lines;
    for (const auto& [seed, stream, elements, count] : cases) {
      std::string text;
      for (const int32_t i : sample(seed, stream, elements, count))
        text += (text.empty() ? "" : ", ") + std::to_string(i);
      lines.push_back("{ \"seed\": " + std::to_string(seed) + ", \"stream\": " + std::to_string(stream) +
                      ", \"elements\": " + std::to_string(elements) + ", \"indices\": [" + text + "] }");
    }
    vectors::write("sample.json", lines);
  }
  const auto lines = vectors::lines("sample.json", "indices");
  CHECK(lines.size() == std::size(cases));
  for (const std::string& line : lines) {
    uint64_t seed, stream, elements;
    int at = 0;
    const int read = std::sscanf(line.c_str(),
                                 " { \"seed\": %" SCNu64 ", \"stream\": %" SCNu64 ", \"elements\": %" SCNu64
                                 ", \"indices\": [%n",
                                 &seed, &stream, &elements, &at);
    Indices indices;
    for (const char* next = line.c_str() + at; at > 0 && *next != ']' && *next != '\0';) {
      char* end;
      indices.push_back(static_cast<int32_t>(std::strtol(next, &end, 10)));
      next = *end == ',' ? end + 1 : end;
    }
    CHECK_THAT(read == 3 && indices.size() >= 4, line);
    CHECK_THAT(sample(seed, stream, elements, indices.size()) == indices, line);
  }
}
