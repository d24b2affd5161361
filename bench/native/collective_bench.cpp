// Collectives between endpoints of one process over loopback: median milliseconds, and CPU milliseconds of
// all ranks together, plain and encrypted. The results are compared between ranks while timing.
// bench_collective [ranks] [MiB] [rounds] narrows it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <future>

#include "collective/endpoint.h"

using namespace gradmesh;

namespace {

void require(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

struct Rank {
  std::shared_ptr<Endpoint> endpoint;
  std::vector<int32_t> links;
  std::vector<float> input, output;
  std::array<double, kReportLength> report{};
};

void connect(Rank& from, Rank& to, size_t from_rank, size_t to_rank) {
  LinkSecrets secrets;
  require(crypto::random_bytes(secrets.ticket));
  require(crypto::random_bytes(secrets.send_key));
  require(crypto::random_bytes(secrets.receive_key));
  LinkSecrets reversed = secrets;
  std::swap(reversed.send_key, reversed.receive_key);
  uint32_t accepted = 0;
  require(to.endpoint->expect(reversed, 10'000, &accepted));
  std::promise<uint32_t> dialed;
  from.endpoint->dial("127.0.0.1", to.endpoint->port(), secrets, 10'000, nullptr,
                      [&](const Status& status, uint32_t link) {
                        require(status);
                        dialed.set_value(link);
                      });
  from.links[to_rank] = static_cast<int32_t>(dialed.get_future().get());
  to.links[from_rank] = static_cast<int32_t>(accepted);
}

std::vector<Rank> make_ranks(uint32_t count, size_t elements, bool encrypted) {
  std::vector<Rank> ranks(count);
  for (size_t rank = 0; rank < count; ++rank) {
    require(Endpoint::create({.encrypted = encrypted}, &ranks[rank].endpoint));
    ranks[rank].links.assign(count, -1);
    ranks[rank].input.resize(elements);
    ranks[rank].output.resize(elements);
    for (size_t at = 0; at < elements; ++at)
      ranks[rank].input[at] = static_cast<float>((at * 2654435761u + rank * 97) % 20011) / 10000.0f - 1.0f;
    for (size_t other = 0; other < rank; ++other) connect(ranks[rank], ranks[other], rank, other);
  }
  return ranks;
}

std::vector<std::shared_ptr<const Plan>> make_plans(const std::vector<Rank>& ranks, uint32_t collective,
                                                    const Codec* codec) {
  std::vector<std::shared_ptr<const Plan>> plans(ranks.size());
  for (uint32_t rank = 0; rank < ranks.size(); ++rank)
    require(Plan::make({.collective = collective,
                        .ranks = static_cast<uint32_t>(ranks.size()),
                        .rank = rank,
                        .elements = ranks[rank].input.size(),
                        .codec = codec},
                       &plans[rank]));
  return plans;
}

double round_ms(std::vector<Rank>& ranks, uint64_t id,
                const std::vector<std::shared_ptr<const Plan>>& plans) {
  std::vector<std::promise<void>> ended(ranks.size());
  const auto before = std::chrono::steady_clock::now();
  for (uint32_t rank = 0; rank < ranks.size(); ++rank)
    ranks[rank].endpoint->run({.id = id,
                               .plan = plans[rank],
                               .links = ranks[rank].links,
                               .input = reinterpret_cast<const uint8_t*>(ranks[rank].input.data()),
                               .output = reinterpret_cast<uint8_t*>(ranks[rank].output.data()),
                               .report = ranks[rank].report.data(),
                               .limit_ms = 60'000,
                               .done = [&ended, rank](Status status) {
                                 require(status);
                                 ended[rank].set_value();
                               }});
  for (auto& end : ended) end.get_future().wait();
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - before;
  for (const Rank& rank : ranks)
    if (std::memcmp(rank.output.data(), ranks[0].output.data(), rank.output.size() * sizeof(float)) != 0)
      require({GM_INTERNAL, "ranks hold different bytes"});
  return taken.count();
}

void measure(uint32_t count, size_t mebibytes, int rounds) {
  constexpr struct {
    uint32_t collective;
    const char *codec, *label;
  } kCases[] = {{0, "fp32", "ring fp32"}, {1, "fp32", "direct fp32"}, {1, "int8_block", "direct int8"}};
  for (const bool encrypted : {false, true}) {
    if (encrypted && !crypto::available()) continue;
    auto ranks = make_ranks(count, (mebibytes << 20) / sizeof(float), encrypted);
    uint64_t id = 0;
    for (const auto& which : kCases) {
      const auto plans = make_plans(ranks, which.collective, codec_find(which.codec));
      std::vector<double> times;
      std::clock_t cpu = 0;
      for (int round = 0; round <= rounds; ++round) {
        const std::clock_t before = std::clock();
        const double taken = round_ms(ranks, ++id, plans);
        if (round == 0) continue;  // it allocates
        times.push_back(taken);
        cpu += std::clock() - before;
      }
      std::sort(times.begin(), times.end());
      std::printf(
          "%u ranks  %3zu MiB  %-11s  %-9s  median %8.2f ms  least %8.2f ms  CPU %8.2f ms  sent %.1f MiB a "
          "rank\n",
          count, mebibytes, which.label, encrypted ? "encrypted" : "plain", times[times.size() / 2], times[0],
          static_cast<double>(cpu) * 1e3 / CLOCKS_PER_SEC / rounds, ranks[0].report[0] / (1 << 20));
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const auto argument = [&](int at) { return at < count ? std::atoi(arguments[at]) : 0; };
  for (const int ranks : {2, 4})
    for (const int mebibytes : {1, 16, 64}) {
      if ((argument(1) != 0 && argument(1) != ranks) || (argument(2) != 0 && argument(2) != mebibytes))
        continue;
      measure(static_cast<uint32_t>(ranks), static_cast<size_t>(mebibytes),
              argument(3) > 0 ? argument(3) : 11);
    }
}
