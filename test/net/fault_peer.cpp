// One peer of a fault test: a native endpoint over real sockets, driven by lines on stdin (fault_words.h),
// which harms itself, its links or its process when so many steps of an operation are done.
//   net_fault_peer PEER SEED
#include <malloc.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "fault_proxy.h"
#include "fault_runs.h"
#include "transport/clock.h"
#include "transport/guard.h"

using namespace gradmesh;
using namespace gradmesh::net;

namespace {

constexpr uint32_t kOpenLimitMs = 20'000;

uint64_t entries(const char* folder) {
  const auto listing = std::filesystem::directory_iterator(folder);
  return static_cast<uint64_t>(std::distance(begin(listing), end(listing)));
}

uint64_t resident_bytes() {
  uint64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Ticket and the two keys as 192 hexadecimal digits, the same text on both sides.
LinkSecrets parse_secrets(const Words& words, bool dialer) {
  const std::string text = words.text("secrets");
  LinkSecrets secrets;
  if (text.size() != 2 * (sizeof secrets.ticket + 2 * sizeof secrets.send_key)) die("secrets=" + text);
  size_t at = 0;
  const auto fill = [&](auto& bytes) {
    for (auto& byte : bytes)
      byte = static_cast<uint8_t>(std::strtoul(text.substr(2 * at++, 2).c_str(), nullptr, 16));
  };
  fill(secrets.ticket);
  fill(secrets.send_key);
  fill(secrets.receive_key);
  if (dialer) std::swap(secrets.send_key, secrets.receive_key);
  secrets.streams = words.small("streams", 1);
  return secrets;
}

class Peer {
 public:
  Peer(uint32_t peer, uint64_t seed) : runs_(peer, seed), seed_(seed + peer) {}
  ~Peer() {
    if (endpoint_ != nullptr) endpoint_->close();
  }

  // False at the end.
  bool command(const Words& words) {
    const std::string& verb = words.verb();
    if (verb == "exit") return false;
    const std::pair<const char*, void (Peer::*)(const Words&)> commands[] = {
        {"open", &Peer::open},       {"close", &Peer::close},       {"expect", &Peer::expect},
        {"ready", &Peer::ready},     {"dial", &Peer::dial},         {"unlink", &Peer::unlink},
        {"steps", &Peer::steps},     {"run", &Peer::run},           {"fault", &Peer::fault},
        {"go", &Peer::go},           {"finished", &Peer::finished}, {"contributors", &Peer::contributors},
        {"compare", &Peer::compare}, {"forget", &Peer::forget},     {"resources", &Peer::resources},
    };
    for (const auto& [name, method] : commands)
      if (verb == name) {
        (this->*method)(words);
        return true;
      }
    die("there is no command " + verb);
  }

 private:
  static void answer(const Words& words, const Status& status = Status::ok()) {
    Json json;
    put_status(json.number("answer", words.number()), status).write();
  }

  void open(const Words& words) {
    options_.host = words.text("host", "127.0.0.1");
    options_.silence_limit_ms = words.small("silence", 5000);
    options_.encrypted = words.count("encrypted") != 0;
    const Status status = Endpoint::create(options_, &endpoint_);
    if (!status) die(status.message());
    Json().number("answer", words.number()).text("code", "ok").number("port", endpoint_->port()).write();
  }

  void close(const Words& words) {
    endpoint_->close();
    endpoint_.reset();
    links_.clear();
    answer(words);
  }

  void expect(const Words& words) {
    uint32_t link = 0;
    const Status status = endpoint_->expect(parse_secrets(words, false), kOpenLimitMs, &link);
    links_[words.small("peer")] = link;
    answer(words, status);
  }

  void ready(const Words& words) {
    endpoint_->ready(links_.at(words.small("peer")), kOpenLimitMs, nullptr,
                     [words](const Status& status) { answer(words, status); });
  }

  // Through a proxy of its own with proxy=1.
  void dial(const Words& words) {
    const uint32_t peer = words.small("peer");
    std::string host = words.text("host", "127.0.0.1");
    uint32_t port = words.small("port");
    if (words.count("proxy") != 0) {
      const size_t trailer = options_.encrypted ? crypto::kTagBytes : kCrcBytes;
      proxies_[peer] = std::make_unique<FaultProxy>(FaultProxy::Target{host, port, trailer},
                                                    seed_ + (uint64_t{peer} << 32));
      host = "127.0.0.1";
      port = proxies_[peer]->port();
    }
    endpoint_->dial(host, port, parse_secrets(words, true), kOpenLimitMs, nullptr,
                    [words, opened = &links_[peer]](const Status& status, uint32_t link) {
                      *opened = link;  // nobody reads it before the answer
                      answer(words, status);
                    });
  }

  void unlink(const Words& words) {
    const uint32_t peer = words.small("peer");
    if (links_.count(peer) != 0) endpoint_->close_link(links_[peer]);
    links_.erase(peer);
    proxies_.erase(peer);
    answer(words);
  }

  // How many steps the operation has here, and to which members it sends.
  void steps(const Words& words) {
    Schedule schedule;
    const Status status = write_schedule(runs_.request(words), &schedule);
    if (!status) die(status.message());
    const std::vector<uint32_t> members = words.list("members");
    std::set<uint32_t> targets;
    for (const Step& step : schedule.steps)
      if (step.kind == StepKind::send) targets.insert(members[step.peer]);
    std::string list;
    for (const uint32_t target : targets) list += (list.empty() ? "" : ",") + std::to_string(target);
    Json()
        .number("answer", words.number())
        .text("code", "ok")
        .number("steps", schedule.steps.size())
        .raw("targets", "[" + list + "]")
        .write();
  }

  void run(const Words& words) { runs_.post(*endpoint_, words, links_); }

  // Once `steps` steps of operation `id` are done: do=kill, stop, hold (until go) or a proxy's harm to the
  // link with `peer`.
  void fault(const Words& words) {
    const std::string what = words.text("do");
    FaultProxy* proxy = nullptr;
    const Harm harm = harm_named(what);
    if (harm != Harm::none) proxy = proxies_.at(words.small("peer")).get();
    if (harm == Harm::none && what != "kill" && what != "stop" && what != "hold") die("do=" + what);
    endpoint_->after_steps(words.count("id"), words.small("steps"), [=, this, rate = words.count("rate")] {
      Json().text("event", "fault").number("at", now_ns()).write();
      if (proxy != nullptr) proxy->harm(harm, rate);
      if (what == "kill") std::raise(SIGKILL);
      if (what == "stop") std::raise(SIGSTOP);
      if (what == "hold") hold();
    });
    answer(words);
  }

  void hold() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return may_go_; });
    may_go_ = false;
  }
  void go(const Words& words) {
    {
      const std::lock_guard lock(mutex_);
      may_go_ = true;
    }
    condition_.notify_all();
    answer(words);
  }

  void finished(const Words& words) {
    std::vector<Range> ranges;
    const Status status = endpoint_->finished(words.count("id"), &ranges);
    Json json;
    put_status(json.number("answer", words.number()), status).raw("ranges", ranges_json(ranges)).write();
  }

  void contributors(const Words& words) {
    std::vector<Range> kept, again;
    const ScheduleRequest request = runs_.request(words);
    const uint32_t before = words.small("before");
    for (const Contributors& each : gradmesh::contributors(request, before))
      (each.ranks == before ? kept : again).push_back(each.range);
    Json()
        .number("answer", words.number())
        .text("code", "ok")
        .raw("kept", ranges_json(kept))
        .raw("again", ranges_json(again))
        .write();
  }

  void compare(const Words& words) { runs_.compare(words); }
  void forget(const Words& words) {
    runs_.forget();
    answer(words);
  }

  void resources(const Words& words) {
    Json()
        .number("answer", words.number())
        .text("code", "ok")
        .number("descriptors", entries("/proc/self/fd"))
        .number("threads", entries("/proc/self/task"))
        .number("residentBytes", resident_bytes())
        .number("heapBytes", static_cast<uint64_t>(mallinfo2().uordblks + mallinfo2().hblkhd))
        .write();
  }

  Runs runs_;
  const uint64_t seed_;
  Endpoint::Options options_;
  std::shared_ptr<Endpoint> endpoint_;
  std::map<uint32_t, uint32_t> links_;  // by peer
  std::map<uint32_t, std::unique_ptr<FaultProxy>> proxies_;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool may_go_ = false;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) die("usage: net_fault_peer PEER SEED");
  Peer peer(static_cast<uint32_t>(std::strtoul(arguments[1], nullptr, 10)),
            std::strtoull(arguments[2], nullptr, 10));
  for (std::string line; std::getline(std::cin, line);)
    if (!peer.command(Words(line))) break;
}
