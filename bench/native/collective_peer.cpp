// One rank of our collectives over links of its own endpoint, a process a rank: trials are timed, and with
// --kill the last rank is killed in the middle of one, and the survivors say when they saw it and when they
// had the next result. --memcpy BYTES/THREADS prints what memory copies cost here instead.
#include <csignal>
#include <future>
#include <thread>

#include "collective/endpoint.h"
#include "peer.h"

using namespace gradmesh;

namespace {

using bench::Trial;
constexpr uint32_t kLimitMs = 120'000;

void require(const Status& status) {
  if (!status) bench::die(status.message());
}

// Both sides know the launch's seed, so they know the secrets of each pair. For a bench only: links of a run
// get theirs from the system's random numbers.
LinkSecrets pair_secrets(const bench::Options& options, uint32_t low, uint32_t high, bool dialer) {
  uint64_t state = options.seed + (uint64_t{low} << 32) + high;
  const auto fill = [&](auto& bytes) {
    for (auto& byte : bytes) {  // SplitMix64 (Steele, Lea, Flood 2014)
      uint64_t mixed = state += 0x9e3779b97f4a7c15;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
      byte = static_cast<uint8_t>(mixed >> 56);
    }
  };
  LinkSecrets secrets;
  secrets.streams = options.streams;
  fill(secrets.ticket);
  fill(secrets.send_key);
  fill(secrets.receive_key);
  if (!dialer) std::swap(secrets.send_key, secrets.receive_key);
  return secrets;
}

class Peer {
 public:
  Peer(const bench::Options& options, bench::Shared& shared) : options_(options), shared_(shared) {
    require(Endpoint::create({.host = options.addresses.at(options.rank),
                              .port = options.port + options.rank,
                              .encrypted = options.encrypted},
                             &endpoint_));
    endpoint_->pace(options.pace_mbit * 125'000);
    links_.assign(options.ranks, -1);
    connect();
  }
  ~Peer() { endpoint_->close(); }

  Endpoint& endpoint() { return *endpoint_; }
  uint64_t next_id() const { return last_id_ + 1; }

  void prepare(const Trial& trial) {
    input_.resize(trial.elements());
    output_.resize(trial.elements());
    bench::fill(input_.data(), input_.size(), options_.rank);
  }
  // Among the first `ranks` ranks.
  std::shared_ptr<const Plan> plan(const Trial& trial, uint32_t ranks) const {
    std::shared_ptr<const Plan> made;
    require(Plan::make({.collective = collective_id(trial.collective),
                        .ranks = ranks,
                        .rank = options_.rank,
                        .elements = trial.elements(),
                        .codec = codec(trial.codec)},
                       &made));
    return made;
  }
  Status round(const std::shared_ptr<const Plan>& plan) {
    std::promise<Status> ended;
    OperationRequest request{.id = ++last_id_, .plan = plan};
    request.links.assign(links_.begin(), links_.begin() + plan->request.ranks);
    request.input = reinterpret_cast<const uint8_t*>(input_.data());
    request.output = reinterpret_cast<uint8_t*>(output_.data());
    request.report = report_;
    request.limit_ms = kLimitMs;
    request.agree = options_.agree;
    request.done = [&](Status status) { ended.set_value(std::move(status)); };
    endpoint_->run(std::move(request));
    return ended.get_future().get();
  }
  void describe(const Plan& plan, bench::Record* record) const {
    record->wire_bytes = static_cast<double>(plan.request.codec->bytes(plan.request.elements));
    record->payload_bytes = report_[0];
    record->framing_bytes = report_[1];
    record->digest = digest();
  }
  uint64_t digest() const { return bench::digest(output_.data(), output_.size()); }

 private:
  static const Codec* codec(const std::string& name) {
    const Codec* found = codec_find(name.c_str());
    if (found == nullptr) bench::die("there is no codec " + name);
    return found;
  }
  static uint32_t collective_id(const std::string& name) {
    for (uint32_t id = 0; collective_name(id) != std::string("unknown"); ++id)
      if (name == collective_name(id)) return id;
    bench::die("there is no collective " + name);
  }
  // The lower rank expects, the higher one dials.
  void connect() {
    for (uint32_t high = options_.rank + 1; high < options_.ranks; ++high) {
      uint32_t link = 0;
      require(endpoint_->expect(pair_secrets(options_, options_.rank, high, false), kLimitMs, &link));
      links_[high] = static_cast<int32_t>(link);
    }
    shared_.wait(options_.ranks);
    for (uint32_t low = 0; low < options_.rank; ++low) {
      std::promise<uint32_t> dialed;
      endpoint_->dial(options_.addresses[low], options_.port + low,
                      pair_secrets(options_, low, options_.rank, true), kLimitMs, nullptr,
                      [&](const Status& status, uint32_t link) {
                        require(status);
                        dialed.set_value(link);
                      });
      links_[low] = static_cast<int32_t>(dialed.get_future().get());
    }
    shared_.wait(options_.ranks);
    for (uint32_t rank = 0; rank < options_.ranks && options_.probe_bytes > 0; ++rank) {
      if (rank == options_.rank) probe();
      shared_.wait(options_.ranks);
    }
  }
  // As a peer does when it joins: which also shows the congestion control how wide the links are.
  void probe() {
    for (uint32_t other = 0; other < options_.ranks; ++other) {
      if (other == options_.rank) continue;
      std::promise<Status> ended;
      endpoint_->probe(static_cast<uint32_t>(links_[other]),
                       {.bytes = options_.probe_bytes, .streams = options_.streams, .limit_ms = kLimitMs},
                       [&](const Status& status, const ProbeResult&) { ended.set_value(status); });
      require(ended.get_future().get());
    }
  }

  const bench::Options& options_;
  bench::Shared& shared_;
  std::shared_ptr<Endpoint> endpoint_;
  std::vector<int32_t> links_;
  std::vector<float> input_, output_;
  double report_[kReportLength]{};
  uint64_t last_id_ = 0;
};

// Undisturbed rounds of all ranks and of the survivors-to-be, then one in whose middle the last rank is
// killed, and at once the survivors' next.
void kill_trial(const bench::Options& options, const Trial& trial, Peer& peer, bench::Shared& shared,
                bench::Results& results) {
  const uint32_t survivors = options.ranks - 1;
  bench::Options fewer = options;
  fewer.ranks = survivors;
  const auto all = peer.plan(trial, options.ranks);
  const auto rounds = [&](const bench::Options& group, const std::shared_ptr<const Plan>& plan) {
    return bench::time_rounds(
        group, trial, shared, [] {}, [&] { require(peer.round(plan)); });
  };
  results.write(trial, rounds(options, all));
  if (options.rank == survivors)
    peer.endpoint().after_steps(peer.next_id(), static_cast<uint32_t>(all->schedule.steps.size() / 2), [&] {
      shared.killed().store(bench::now());
      std::raise(SIGKILL);
    });
  shared.wait(options.ranks);
  if (peer.round(all)) bench::die("the round that was to fail has ended well");
  const double seen = bench::now();
  const auto rest = peer.plan(trial, survivors);
  require(peer.round(rest));
  const double ended = bench::now(), killed = shared.killed().load();
  const uint64_t digest = peer.digest();
  bench::Record alone = rounds(fewer, rest);
  alone.digest = peer.digest();
  results.write(trial, alone);
  char line[200];
  std::snprintf(line, sizeof(line),
                "{\"rank\":%u,\"seenSeconds\":%.6f,\"resultSeconds\":%.6f,\"digest\":\"%016llx\"}",
                options.rank, seen - killed, ended - killed, static_cast<unsigned long long>(digest));
  results.write(line);
}

// Seconds that `threads` threads take to copy `bytes` each, all at once: the median of several.
void measure_memcpy(const std::string& text) {
  const auto parts = bench::split(text, '/');
  const uint64_t bytes = std::strtoull(parts.at(0).c_str(), nullptr, 10);
  const auto threads = std::strtoul(parts.at(1).c_str(), nullptr, 10);
  constexpr int kTurns = 9;
  std::vector<double> seconds(threads);
  std::vector<std::thread> workers;
  for (unsigned long at = 0; at < threads; ++at)
    workers.emplace_back([&, at] {
      std::vector<char> source(bytes, 1), target(bytes, 2);
      std::vector<double> times;
      for (int turn = 0; turn < kTurns; ++turn) {
        const double before = bench::now();
        std::memcpy(target.data(), source.data(), bytes);
        asm volatile("" : : "r"(target.data()) : "memory");
        times.push_back(bench::now() - before);
      }
      std::sort(times.begin(), times.end());
      seconds[at] = times[kTurns / 2];
    });
  for (auto& worker : workers) worker.join();
  std::printf("{\"bytes\":%llu,\"threads\":%lu,\"seconds\":%.9f}\n", static_cast<unsigned long long>(bytes),
              threads, *std::max_element(seconds.begin(), seconds.end()));
}

void run(const bench::Options& options) {
  bench::Shared shared(options);
  bench::Results results(options);
  Peer peer(options, shared);
  for (const Trial& trial : options.trials) {
    peer.prepare(trial);
    if (options.kill) {
      kill_trial(options, trial, peer, shared, results);
      continue;
    }
    const auto plan = peer.plan(trial, options.ranks);
    bench::Record record = bench::time_rounds(
        options, trial, shared, [] {}, [&] { require(peer.round(plan)); });
    peer.describe(*plan, &record);
    results.write(trial, record);
  }
  shared.wait(options.kill ? options.ranks - 1 : options.ranks);  // nobody closes while another still works
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::strcmp(arguments[1], "--memcpy") == 0)
    measure_memcpy(arguments[2]);
  else
    run(bench::parse(count, arguments));
}
