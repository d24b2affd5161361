// What the programs that stand for one rank of a collective share (collective_peer.cpp, gloo_peer.cpp,
// mpi_peer.cpp): their arguments, a start barrier in a file that all ranks map, so that no library's own
// barrier decides when a round starts, the clock of a round, and the JSON line that a rank writes of a trial.
// All ranks run on one machine (in network namespaces or not), so their monotonic clock is one.
#pragma once
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace bench {

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::_Exit(1);
}

// "collective/codec/bytes/rounds", as in "ring/fp32/1048576/11".
struct Trial {
  std::string collective, codec;
  uint64_t bytes = 0;  // of fp32 elements
  uint32_t rounds = 1;
  uint64_t elements() const { return bytes / sizeof(float); }
};

struct Options {
  uint32_t rank = 0, ranks = 1, warmup = 1, port = 0, streams = 1;
  uint64_t pace_mbit = 0;  // of all links together; 0: no limit
  uint64_t probe_bytes = 0;  // each link is measured by a burst of so many first, as runs do; 0: not
  bool agree = false;      // succeed only when all ranks are done, which gloo and MPI never ask
  std::vector<std::string> addresses;   // of the ranks
  std::vector<std::string> namespaces;  // files of the ranks' network namespaces, for who has to enter itself
  std::vector<Trial> trials;
  std::string folder;  // holds `shared`, 4096 zero bytes at first; the ranks' results are written there
  uint64_t seed = 0;
  bool encrypted = false, kill = false;
};

inline std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char each : text) {
    if (each == at)
      parts.emplace_back();
    else
      parts.back() += each;
  }
  return parts;
}

inline Trial parse_trial(const std::string& text) {
  const auto parts = split(text, '/');
  if (parts.size() != 4) die("--trial is \"" + text + "\"; allowed: collective/codec/bytes/rounds");
  return {parts[0], parts[1], std::strtoull(parts[2].c_str(), nullptr, 10),
          static_cast<uint32_t>(std::strtoul(parts[3].c_str(), nullptr, 10))};
}

inline Options parse(int count, char** arguments) {
  Options options;
  for (int at = 1; at + 1 < count; at += 2) {
    const std::string name = arguments[at], value = arguments[at + 1];
    const auto number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "--rank")
      options.rank = static_cast<uint32_t>(number);
    else if (name == "--ranks")
      options.ranks = static_cast<uint32_t>(number);
    else if (name == "--addresses")
      options.addresses = split(value, ',');
    else if (name == "--namespaces")
      options.namespaces = split(value, ',');
    else if (name == "--port")
      options.port = static_cast<uint32_t>(number);
    else if (name == "--trial")
      options.trials.push_back(parse_trial(value));
    else if (name == "--warmup")
      options.warmup = static_cast<uint32_t>(number);
    else if (name == "--streams")
      options.streams = static_cast<uint32_t>(number);
    else if (name == "--pace")
      options.pace_mbit = number;
    else if (name == "--agree")
      options.agree = number != 0;
    else if (name == "--probe")
      options.probe_bytes = number;
    else if (name == "--folder")
      options.folder = value;
    else if (name == "--seed")
      options.seed = number;
    else if (name == "--encrypted")
      options.encrypted = number != 0;
    else if (name == "--kill")
      options.kill = number != 0;
    else
      die("there is no option " + name);
  }
  if (options.folder.empty()) die("--folder is missing");
  return options;
}

// Seconds of a clock that all processes of the machine share.
inline double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Cpu {
  double user = 0, system = 0;
};
// Of this process, all threads.
inline Cpu cpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return {seconds(usage.ru_utime), seconds(usage.ru_stime)};
}

// The memory that all ranks of a launch map.
class Shared {
 public:
  explicit Shared(const Options& options) {
    const std::string path = options.folder + "/shared";
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) die(path + ": " + std::strerror(errno));
    void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) die(path + ": " + std::strerror(errno));
    page_ = static_cast<Page*>(memory);
  }
  // Until `ranks` ranks are here. Sleeps: a rank that waits uses no core that another needs.
  void wait(uint32_t ranks) {
    const uint32_t generation = page_->generation.load();
    if (page_->arrived.fetch_add(1) + 1 == ranks) {
      page_->arrived.store(0);
      page_->generation.fetch_add(1);
      futex(FUTEX_WAKE, INT_MAX, nullptr);
      return;
    }
    constexpr double kLimitSeconds = 120;
    constexpr timespec kLookAgain{.tv_sec = 1, .tv_nsec = 0};
    const double until = now() + kLimitSeconds;
    while (page_->generation.load() == generation) {
      futex(FUTEX_WAIT, generation, &kLookAgain);
      if (now() > until) die("another rank never came to the barrier");
    }
  }
  // When a rank was killed, by now().
  std::atomic<double>& killed() { return page_->killed; }

 private:
  struct Page {
    std::atomic<uint32_t> arrived, generation;
    std::atomic<double> killed;
  };
  void futex(int operation, uint32_t value, const timespec* limit) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&page_->generation), operation, value, limit, nullptr, 0);
  }
  Page* page_;
};

// FNV-1a over words of four bytes.
inline uint64_t digest(const float* values, uint64_t count) {
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t at = 0; at < count; ++at) {
    uint32_t word;
    std::memcpy(&word, values + at, sizeof(word));
    hash = (hash ^ word) * 0x100000001b3;
  }
  return hash;
}

inline void fill(float* values, uint64_t count, uint32_t rank) {
  for (uint64_t at = 0; at < count; ++at)
    values[at] = static_cast<float>((at * 2654435761u + rank * 97) % 20011) / 10000.0f - 1.0f;
}

// What a rank says of a trial: when each timed round began and ended, and the CPU seconds of each.
struct Record {
  std::vector<double> started, ended, user, system;
  double payload_bytes = -1, framing_bytes = -1;  // sent by this rank in a round; -1: not known
  double wire_bytes = -1;                         // of the whole tensor, coded
  uint64_t digest = 0;
};

// Runs a trial's rounds; prepare() is not timed. A round's CPU time is counted until all ranks have ended it;
// or, where the library works only inside its calls, until the rank's own call ends: settle() is then the
// call that finishes what others still wait for.
template <class Prepare, class Round>
Record time_rounds(const Options& options, const Trial& trial, Shared& shared, Prepare&& prepare,
                   Round&& round, void (*settle)() = nullptr) {
  Record record;
  for (uint32_t at = 0; at < options.warmup + trial.rounds; ++at) {
    prepare();
    shared.wait(options.ranks);
    const Cpu before = cpu();
    const double started = now();
    round();
    const double ended = now();
    Cpu after = cpu();
    if (settle != nullptr) settle();
    shared.wait(options.ranks);
    if (settle == nullptr) after = cpu();
    if (at < options.warmup) continue;
    record.started.push_back(started);
    record.ended.push_back(ended);
    record.user.push_back(after.user - before.user);
    record.system.push_back(after.system - before.system);
  }
  return record;
}

inline std::string list(const std::vector<double>& values) {
  std::string text;
  char each[40];
  for (const double value : values) {
    std::snprintf(each, sizeof(each), "%s%.9f", text.empty() ? "" : ",", value);
    text += each;
  }
  return "[" + text + "]";
}

// A file a rank, so that no launcher can mix the lines of two.
class Results {
 public:
  explicit Results(const Options& options)
      : rank_(options.rank),
        file_(std::fopen((options.folder + "/rank-" + std::to_string(options.rank)).c_str(), "we")) {
    if (file_ == nullptr) die(options.folder + ": " + std::strerror(errno));
  }
  ~Results() { std::fclose(file_); }
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  void write(const Trial& trial, const Record& record) {
    std::fprintf(file_,
                 "{\"rank\":%u,\"collective\":\"%s\",\"codec\":\"%s\",\"bytes\":%llu,\"started\":%s,"
                 "\"ended\":%s,\"user\":%s,\"system\":%s,\"payloadBytes\":%.0f,\"framingBytes\":%.0f,"
                 "\"wireBytes\":%.0f,\"digest\":\"%016llx\"}\n",
                 rank_, trial.collective.c_str(), trial.codec.c_str(),
                 static_cast<unsigned long long>(trial.bytes), list(record.started).c_str(),
                 list(record.ended).c_str(), list(record.user).c_str(), list(record.system).c_str(),
                 record.payload_bytes, record.framing_bytes, record.wire_bytes,
                 static_cast<unsigned long long>(record.digest));
    std::fflush(file_);
  }
  void write(const std::string& line) {
    std::fprintf(file_, "%s\n", line.c_str());
    std::fflush(file_);
  }

 private:
  uint32_t rank_;
  std::FILE* file_;
};

}  // namespace bench
