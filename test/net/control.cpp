// Parsing of commands; nothing here waits.
#include "control.h"

#include <sys/resource.h>

#include <functional>
#include <sstream>

#include "tun.h"

namespace gradmesh::net {
namespace {

constexpr const char* kCommands = "host, cut, restore, loss, corrupt, slow, stats";

struct Range {
  int begin, end;
};

bool parse_hosts(std::istream& words, int hosts, Range& range) {
  std::string word;
  if (!(words >> word)) return false;
  range = {0, hosts};
  if (word == "*") return true;
  std::istringstream number(word);
  int index = -1;
  if (!(number >> index) || !number.eof() || index < 0 || index >= hosts) return false;
  range = {index, index + 1};
  return true;
}

std::string add_host(Switch& network, std::istream& words) {
  std::string path, role;
  HostLink link = {};
  words >> path >> link.bits_per_second >> link.queue_bytes >> link.delay >> link.jitter >> link.loss >> role;
  const bool is_possible = words && link.bits_per_second > 0 && link.queue_bytes >= kTailBytes &&
                           link.delay >= 0 && link.jitter >= 0 && link.loss >= 0 && link.loss <= 1 &&
                           (role == "open" || role == "nat");
  if (!is_possible)
    return "error host needs PATH RATE QUEUE DELAY JITTER LOSS open|nat, the queue at least 65536 bytes";
  if (network.hosts() == kHostsMax) return "error at most " + std::to_string(kHostsMax) + " hosts";
  link.refuses_calls = role == "nat";
  int descriptor = -1;
  if (Status status = open_tun(path, &descriptor); !status) return "error " + status.message();
  network.add_host(descriptor, link);
  return "ok";
}

// Runs `action` on every pair that the next two words name.
std::string for_pairs(Switch& network, std::istream& words, const std::function<void(int, int)>& action) {
  Range sources, targets;
  if (!parse_hosts(words, network.hosts(), sources) || !parse_hosts(words, network.hosts(), targets))
    return "error SOURCE and TARGET are an index below " + std::to_string(network.hosts()) + " or *";
  for (int source = sources.begin; source < sources.end; source++)
    for (int target = targets.begin; target < targets.end; target++) action(source, target);
  return "ok";
}

std::string set_probability(Switch& network, std::istream& words, void (Switch::*set)(int, int, double)) {
  std::string source, target;
  double probability = -1;
  words >> source >> target >> probability;
  if (!words || probability < 0 || probability > 1)
    return "error needs SOURCE TARGET PROBABILITY from 0 to 1";
  std::istringstream pair(source + " " + target);
  return for_pairs(network, pair, [&](int from, int to) { (network.*set)(from, to, probability); });
}

std::string slow_down(Switch& network, std::istream& words) {
  Range hosts;
  double factor = 0;
  if (!parse_hosts(words, network.hosts(), hosts) || !(words >> factor) || factor < 1)
    return "error slow needs HOST FACTOR, the factor at least 1";
  for (int host = hosts.begin; host < hosts.end; host++) network.slow_down(host, factor);
  return "ok";
}

std::string statistics(const Switch& network) {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  std::ostringstream text;
  text << "ok {\"cpuSeconds\":" << seconds(usage.ru_utime) + seconds(usage.ru_stime) << ",\"hosts\":[";
  for (int host = 0; host < network.hosts(); host++) {
    const Counters& counters = network.counters(host);
    text << (host ? "," : "") << "{\"sent\":{\"packets\":" << counters.sent.packets
         << ",\"bytes\":" << counters.sent.bytes
         << "},\"received\":{\"packets\":" << counters.received.packets
         << ",\"bytes\":" << counters.received.bytes << "},\"lost\":" << counters.lost
         << ",\"corrupted\":" << counters.damaged << ",\"overflowed\":" << counters.overflowed
         << ",\"cut\":" << counters.cut << ",\"refused\":" << counters.refused
         << ",\"strays\":" << counters.strays << "}";
  }
  text << "]}";
  return text.str();
}

}  // namespace

std::string run_command(Switch& network, const std::string& line) {
  std::istringstream words(line);
  std::string name;
  words >> name;
  if (name == "host") return add_host(network, words);
  if (name == "cut" || name == "restore")
    return for_pairs(network, words, [&](int from, int to) { network.set_cut(from, to, name == "cut"); });
  if (name == "loss") return set_probability(network, words, &Switch::set_loss);
  if (name == "corrupt") return set_probability(network, words, &Switch::set_damage);
  if (name == "slow") return slow_down(network, words);
  if (name == "stats") return statistics(network);
  return "error there is no command \"" + name + "\"; allowed: " + kCommands;
}

}  // namespace gradmesh::net
