// Simulated time of one collective: its schedules on a link model (native/collective/simulate.h), as one JSON
// line. bench_scale [--name value]...: collective; codec; ranks; bytes of float32; segment (elements); mbit
// and delay (ms, one way) of every link; frame-us and frame-bytes of each frame; coding (seconds a gigabyte);
// first-window and window (bytes, 0: none); topology (mix); island (ranks in each) and inside-delay (ms) for
// hierarchical, whose links inside an island share the hosts' rate.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "collective/simulate.h"

using namespace gradmesh;

namespace {

using Options = std::map<std::string, std::string>;

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(2);
}

Options defaults() {
  return {{"collective", "direct"}, {"codec", "fp32"}, {"ranks", "8"},         {"bytes", "67108864"},
          {"segment", "65536"},     {"mbit", "1000"},  {"delay", "50"},        {"frame-us", "0"},
          {"frame-bytes", "28"},    {"coding", "0"},   {"window", "0"},        {"first-window", "0"},
          {"topology", ""},         {"island", "8"},   {"inside-delay", "0.1"}};
}

Options parse(int argc, char** argv) {
  Options options = defaults();
  for (int at = 1; at < argc; at += 2) {
    const std::string name = std::string(argv[at]).substr(0, 2) == "--" ? argv[at] + 2 : "";
    if (options.find(name) == options.end()) fail(std::string(argv[at]) + " is no option");
    if (at + 1 == argc) fail(std::string(argv[at]) + " has no value");
    options[name] = argv[at + 1];
  }
  return options;
}

double number(const Options& options, const char* name) {
  char* end = nullptr;
  const std::string& text = options.at(name);
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || value < 0)
    fail("--" + std::string(name) + " is " + text + ", no number");
  return value;
}
uint64_t whole(const Options& options, const char* name) {
  return static_cast<uint64_t>(number(options, name));
}

uint32_t collective_of(const std::string& name) {
  for (uint32_t id = 0; std::string(collective_name(id)) != "unknown"; ++id)
    if (name == collective_name(id)) return id;
  fail("--collective is " + name + ", which is unknown");
}

ScheduleRequest request_of(const Options& options) {
  ScheduleRequest request;
  request.collective = collective_of(options.at("collective"));
  request.ranks = static_cast<uint32_t>(whole(options, "ranks"));
  request.elements = whole(options, "bytes") / sizeof(float);
  request.segment_elements = whole(options, "segment");
  request.topology = options.at("topology");
  const Status status = codec_open(options.at("codec"), &request.codec);
  if (!status) fail(status.message());
  if (options.at("collective") != "hierarchical") return request;
  const auto island = std::max<uint32_t>(1, static_cast<uint32_t>(whole(options, "island")));
  for (uint32_t rank = 0; rank < request.ranks; ++rank) request.islands.push_back(rank / island * island);
  return request;
}

LinkModel model_of(const Options& options, const ScheduleRequest& request) {
  LinkModel model;
  model.uplink_bytes_per_second = model.downlink_bytes_per_second = {number(options, "mbit") * 1e6 / 8};
  const double delay = number(options, "delay") / 1e3, inside = number(options, "inside-delay") / 1e3;
  model.delay_seconds = [&request, delay, inside](uint32_t from, uint32_t to) {
    const bool near = !request.islands.empty() && request.islands[from] == request.islands[to];
    return near ? inside : delay;
  };
  model.frame_seconds = number(options, "frame-us") / 1e6;
  model.frame_bytes = whole(options, "frame-bytes");
  model.coding_seconds_per_byte = number(options, "coding") / 1e9;
  model.window_bytes = whole(options, "window");
  model.initial_window_bytes = whole(options, "first-window");
  return model;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const ScheduleRequest request = request_of(options);
  const LinkModel model = model_of(options, request);
  const auto started = std::chrono::steady_clock::now();
  Simulated result;
  const Status status = simulate(request, model, &result);
  if (!status) fail(status.message());
  const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf(
      "{\"algorithm\":\"%s\",\"codec\":\"%s\",\"ranks\":%u,\"bytes\":%llu,\"seconds\":%.9g,\"firstSeconds\":%"
      ".9g,"
      "\"bytesSent\":%llu,\"bytesMost\":%llu,\"frames\":%llu,\"simulationSeconds\":%.3g,\"phases\":[",
      options.at("collective").c_str(), options.at("codec").c_str(), request.ranks,
      static_cast<unsigned long long>(request.elements * sizeof(float)), result.seconds, result.first_seconds,
      static_cast<unsigned long long>(result.bytes), static_cast<unsigned long long>(result.bytes_most),
      static_cast<unsigned long long>(result.frames), spent);
  for (size_t at = 0; at < result.phases.size(); ++at) {
    const SimulatedPhase& phase = result.phases[at];
    std::printf("%s{\"phase\":%u,\"begin\":%.9g,\"end\":%.9g,\"frames\":%llu,\"bytes\":%llu}",
                at == 0 ? "" : ",", phase.phase, phase.begin, phase.end,
                static_cast<unsigned long long>(phase.frames), static_cast<unsigned long long>(phase.bytes));
  }
  std::printf("]}\n");
  return 0;
}
