// The definitions of schedule_reference.h.
#include "schedule_reference.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "numeric/convert.h"
#include "numeric/half.h"
#include "topology/graph.h"

namespace schedule_reference {
namespace {

using Values = std::vector<float>;
using Wire = std::vector<uint8_t>;

class Reference {
 public:
  Reference(const ScheduleRequest& request, const std::vector<Values>& inputs)
      : request_(request), inputs_(inputs), own_(request.codec->spec == dtype_name(request.dtype)) {
    for (uint32_t rank = 0; rank < request.ranks; ++rank) {
      products_.push_back(weighted(rank, request.ranks));
      terms_.push_back(as_wire(products_.back()));
    }
  }

  Values by_name(const std::string& name, uint32_t rank) const {
    if (name == "ring") return request_.ranks == 1 && own_ ? inputs_[0] : ring();
    if (name == "direct") return direct(contributed());
    if (name == "gather_mean") return rounded(mean_of_decoded());
    if (name == "reduce_scatter") return direct(terms_);
    if (name == "broadcast" || name == "tree_broadcast") return coded(inputs_[request_.root], request_.root);
    if (name == "halving_doubling") return request_.ranks == 1 ? inputs_[0] : halving();
    if (name == "tree_reduce") return request_.ranks == 1 ? inputs_[0] : tree();
    if (name == "all_gather") return gathered();
    if (name == "mix") return mixed(rank);
    return hierarchical();
  }
  Range chunk(uint32_t parts, uint32_t part) const {
    return chunk_range(request_.elements, request_.block_elements(), parts, part);
  }

  // direct with another codec on the way down: what all decode, and what stays with the owner of each
  // element.
  struct Recoded {
    Values decoded, residue;
  };
  Recoded recoded(const std::vector<Values>& states) const {
    Values sent = mean_of_decoded();
    for (uint32_t owner = 0; owner < request_.ranks && request_.feeds_back(); ++owner) {
      const Range own = chunk(request_.ranks, owner);
      for (uint64_t at = own.begin; at < own.begin + own.elements; ++at)
        sent[at] = exact::canonical(
            exact::fma(static_cast<float>(request_.owner_decay), states[owner][at], sent[at]));
    }
    const Codec& down = request_.down_codec();
    const Values decoded = decode(encode(sent, kMeanRank, 0, down), sent.size(), kMeanRank, 0, down);
    for (size_t at = 0; at < sent.size(); ++at)
      sent[at] = std::isfinite(decoded[at]) ? exact::canonical(exact::fma(-1.0f, decoded[at], sent[at])) : 0;
    return {decoded, sent};
  }
  Values rounded(Values values) const {
    for (float& x : values) {
      if (request_.reduction == Reduction::sum)
        x = exact::canonical(exact::mul(x, static_cast<float>(request_.ranks)));
      x = round(x);
    }
    return values;
  }

 private:
  Values weighted(uint32_t rank, uint32_t shares) const {
    Values values = inputs_[rank];
    if (request_.reduction != Reduction::weighted_mean) return values;
    double sum = 0;
    for (const double weight : request_.weights) sum += weight;
    const auto factor = static_cast<float>(request_.weights[rank] * shares / sum);
    for (float& x : values) x = exact::canonical(exact::mul(x, factor));
    return values;
  }
  Values as_wire(Values values) const {
    for (float& x : values) x = own_ ? round(x) : x;
    return values;
  }
  // Of those that take part: not of ranks with weight 0.
  std::vector<Values> contributed() const {
    std::vector<uint32_t> ranks;
    for (uint32_t rank = 0; rank < request_.ranks; ++rank)
      if (request_.weights.empty() || request_.weights[rank] != 0) ranks.push_back(rank);
    std::vector<Values> terms;
    for (const uint32_t rank : ranks)
      terms.push_back(as_wire(weighted(rank, static_cast<uint32_t>(ranks.size()))));
    return terms;
  }
  Values mean_of_decoded() const {
    const std::vector<Values> terms = contributed();
    std::vector<Values> decoded;
    for (uint32_t place = 0; place < terms.size(); ++place)
      decoded.push_back(decode(encode(terms[place], place), terms[place].size(), place));
    Values mean = decoded[0];
    for (size_t at = 0; at < mean.size(); ++at) {
      if (request_.codec->traits.exact_sum) {
        std::vector<float> numbers;
        for (const Values& values : decoded) numbers.push_back(values[at]);
        mean[at] =
            exact::canonical(static_cast<float>(exact_sum(numbers) / static_cast<double>(decoded.size())));
        continue;
      }
      for (size_t place = 1; place < decoded.size(); ++place)
        mean[at] = exact::canonical(exact::add(mean[at], decoded[place][at]));
      mean[at] = exact::canonical(exact::div(mean[at], static_cast<float>(decoded.size())));
    }
    return mean;
  }

  float round(float x) const {
    if (request_.dtype == Dtype::fp32) return x;
    return request_.dtype == Dtype::fp16 ? half::from_fp16(half::to_fp16(x))
                                         : half::from_bf16(half::to_bf16(x));
  }
  bool is_mean() const {
    return request_.reduction == Reduction::mean || request_.reduction == Reduction::weighted_mean;
  }
  float combine(float a, float b) const {
    if (request_.reduction != Reduction::max) return exact::canonical(exact::add(a, b));
    if (a != a || b != b) return exact::from_bits(exact::kNan);
    if (a == b) return std::signbit(a) ? b : a;
    return a > b ? a : b;
  }
  float over_ranks(float x) const {
    return exact::canonical(exact::div(x, static_cast<float>(request_.ranks)));
  }

  Wire encode(const Values& values, uint32_t coder, uint64_t first = 0) const {
    return encode(values, coder, first, *request_.codec);
  }
  Wire encode(const Values& values, uint32_t coder, uint64_t first, const Codec& codec) const {
    Wire wire(codec.bytes(values.size()));
    codec_loops(codec).encode(codec.options, {schedule_world::kSeed, schedule_world::kStep, first, coder},
                              values.data(), values.size(), wire.data());
    return wire;
  }
  Values decode(const Wire& wire, size_t elements, uint32_t coder, uint64_t first = 0) const {
    return decode(wire, elements, coder, first, *request_.codec);
  }
  Values decode(const Wire& wire, size_t elements, uint32_t coder, uint64_t first, const Codec& codec) const {
    Values values(elements);
    codec_loops(codec).decode(codec.options, {schedule_world::kSeed, schedule_world::kStep, first, coder},
                              wire.data(), elements, values.data());
    return values;
  }
  Values coded(const Values& values, uint32_t coder) const {
    Values result = own_ ? values : decode(encode(values, coder), values.size(), coder);
    for (float& x : result) x = round(x);
    return result;
  }

  // The reduction of contributions as `direct` has it.
  Values direct(const std::vector<Values>& terms) const {
    Values result(request_.elements);
    if (own_ && !is_mean()) {
      for (size_t at = 0; at < result.size(); ++at) {
        result[at] = terms[0][at];
        for (size_t rank = 1; rank < terms.size(); ++rank) result[at] = combine(result[at], terms[rank][at]);
        result[at] = round(result[at]);
      }
      return result;
    }
    std::vector<Wire> wires;
    std::vector<const uint8_t*> pointers;
    for (size_t rank = 0; rank < terms.size(); ++rank) wires.push_back(encode(terms[rank], uint32_t(rank)));
    for (const Wire& wire : wires) pointers.push_back(wire.data());
    Wire mean(request_.codec->bytes(request_.elements));
    codec_loops(*request_.codec)
        .mean(request_.codec->options, {schedule_world::kSeed, schedule_world::kStep, 0, kMeanRank},
              pointers.data(), static_cast<uint32_t>(terms.size()), request_.elements, mean.data());
    return rounded(decode(mean, result.size(), kMeanRank));
  }

  Values ring() const {
    const uint32_t ranks = request_.ranks;
    Values result(request_.elements);
    for (uint32_t number = 0; number < ranks; ++number) {
      const Range range = chunk(ranks, number);
      const auto part = [&](uint32_t rank) {
        const auto begin = terms_[rank].begin() + static_cast<std::ptrdiff_t>(range.begin);
        return Values(begin, begin + static_cast<std::ptrdiff_t>(range.elements));
      };
      Values sum = part(number);
      for (uint32_t hop = 0; hop < ranks; ++hop) {
        const uint32_t rank = (number + hop) % ranks;
        const Values own = part(rank);
        for (size_t at = 0; at < sum.size() && hop > 0; ++at) {
          sum[at] = combine(sum[at], own[at]);
          if (own_) sum[at] = round(sum[at]);
        }
        if (!own_) sum = decode(encode(sum, rank, range.begin), sum.size(), rank, range.begin);
      }
      for (size_t at = 0; at < sum.size(); ++at)
        result[range.begin + at] = round(is_mean() && ranks > 1 ? over_ranks(sum[at]) : sum[at]);
    }
    return result;
  }

  Values halving() const {
    const uint32_t count = std::bit_floor(request_.ranks), extra = request_.ranks - count;
    std::vector<Values> sums;
    for (uint32_t v = 0; v < count; ++v)
      sums.push_back(v < extra ? combined(terms_[2 * v], terms_[2 * v + 1]) : terms_[v + extra]);
    for (uint32_t distance = count / 2; distance > 0; distance /= 2) {
      for (uint32_t v = 0; v < distance; ++v) sums[v] = combined(sums[v], sums[v + distance]);
      sums.resize(distance);
    }
    return divided(sums[0]);
  }
  Values tree() const {
    const auto of = [&](auto&& self, uint32_t place) -> Values {
      Values sum = terms_[(place + request_.root) % request_.ranks];
      for (uint32_t bit = 1; (place & bit) == 0 && place + bit < request_.ranks; bit *= 2)
        sum = combined(sum, self(self, place + bit));
      return sum;
    };
    return divided(of(of, 0));
  }
  Values combined(const Values& a, const Values& b) const {
    Values sum(a.size());
    for (size_t at = 0; at < sum.size(); ++at) sum[at] = round(combine(a[at], b[at]));
    return sum;
  }
  Values divided(Values sum) const {
    for (float& x : sum) x = is_mean() ? round(over_ranks(x)) : x;
    return sum;
  }

  Values gathered() const {
    Values result(request_.elements);
    for (uint32_t rank = 0; rank < request_.ranks; ++rank) {
      const Values whole = coded(inputs_[rank], rank);
      const Range range = chunk(request_.ranks, rank);
      std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(range.begin), range.elements,
                  result.begin() + static_cast<std::ptrdiff_t>(range.begin));
    }
    return result;
  }

  Values mixed(uint32_t rank) const {
    MixingRound round_of_graph;
    CHECK(
        static_cast<bool>(mixing_round(request_.topology, request_.ranks, request_.round, &round_of_graph)));
    const Neighbours& around = round_of_graph[rank];
    Values sum = inputs_[rank];
    for (float& x : sum) x = exact::canonical(exact::mul(x, static_cast<float>(around.self)));
    for (const Neighbour& neighbour : around.in) {
      const Values& theirs = inputs_[neighbour.rank];
      const Values values =
          own_ ? theirs : decode(encode(theirs, neighbour.rank), theirs.size(), neighbour.rank);
      for (size_t at = 0; at < sum.size(); ++at)
        sum[at] = exact::canonical(exact::fma(static_cast<float>(neighbour.weight), values[at], sum[at]));
    }
    for (float& x : sum) x = round(x);
    return sum;
  }

  Values hierarchical() const {
    std::vector<uint32_t> leaders;
    for (uint32_t rank = 0; rank < request_.ranks; ++rank)
      if (request_.islands[rank] == rank) leaders.push_back(rank);
    if (leaders.size() == request_.ranks) return direct(terms_);
    const auto factor =
        static_cast<float>(static_cast<double>(leaders.size()) / static_cast<double>(request_.ranks));
    std::vector<Values> islands;
    for (const uint32_t leader : leaders) {
      Values sum;
      for (uint32_t rank = 0; rank < request_.ranks; ++rank) {
        if (request_.islands[rank] != leader) continue;
        if (sum.empty()) {
          sum = products_[rank];
          continue;
        }
        for (size_t at = 0; at < sum.size(); ++at) sum[at] = combine(sum[at], products_[rank][at]);
      }
      for (float& x : sum) {
        if (is_mean() || !own_) x = exact::canonical(exact::mul(x, factor));
        if (own_) x = round(x);
      }
      islands.push_back(std::move(sum));
    }
    return direct(islands);
  }

  const ScheduleRequest& request_;
  const std::vector<Values>& inputs_;
  const bool own_;
  std::vector<Values> products_, terms_;  // contributions, and as they are in a wire of the tensor's own
};

std::vector<Expected> expected_recoded(const ScheduleRequest& request, const Reference& reference,
                                       const std::vector<std::vector<float>>& states) {
  const Reference::Recoded recoded = reference.recoded(states);
  std::vector<Expected> all;
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    Expected one{reference.rounded(recoded.decoded), {0, request.elements}};
    if (request.feeds_back()) {
      const Range own = reference.chunk(request.ranks, rank);
      one.next.assign(request.elements, schedule_world::World::kJunk);
      std::copy_n(recoded.residue.begin() + static_cast<std::ptrdiff_t>(own.begin), own.elements,
                  one.next.begin() + static_cast<std::ptrdiff_t>(own.begin));
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace

// Shewchuk's: what each addition loses is kept, in numbers that do not overlap; from the largest down they
// add to the nearest double, but for a tie, which the next one breaks (as in Python's fsum).
double exact_sum(const std::vector<float>& numbers) {
  double plain = -0.0;
  for (const float number : numbers) plain += static_cast<double>(number);
  if (!std::isfinite(plain)) return plain;
  std::vector<double> parts;
  for (const float number : numbers) {
    double x = static_cast<double>(number);
    size_t kept = 0;
    for (double y : parts) {
      if (std::abs(x) < std::abs(y)) std::swap(x, y);
      const double high = x + y, low = y - (high - x);
      if (low != 0) parts[kept++] = low;
      x = high;
    }
    parts.resize(kept);
    parts.push_back(x);
  }
  double sum = parts.back(), low = 0;
  parts.pop_back();
  while (!parts.empty() && low == 0) {
    const double before = sum, next = parts.back();
    parts.pop_back();
    sum = before + next;
    low = next - (sum - before);
  }
  if (!parts.empty() && ((low < 0) == (parts.back() < 0))) {
    const double twice = 2 * low, up = sum + twice;
    if (up - sum == twice) sum = up;
  }
  return sum == 0 ? (plain == 0 ? plain : 0.0) : sum;
}

std::vector<Expected> expected(const ScheduleRequest& request, const std::vector<std::vector<float>>& inputs,
                               const std::vector<std::vector<float>>& states) {
  const Reference reference(request, inputs);
  const std::string name = collective_name(request.collective);
  if (request.recodes()) return expected_recoded(request, reference, states);
  std::vector<Expected> all;
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    Expected one{rank == 0 || name == "mix" ? reference.by_name(name, rank) : all[0].values,
                 {0, request.elements}};
    if (name == "reduce_scatter") one.part = reference.chunk(request.ranks, rank);
    if (name == "tree_reduce" && rank != request.root) one.part = {};
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace schedule_reference
