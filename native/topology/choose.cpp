// Predicts each candidate's seconds, takes the least, and says why.
#include "topology/choose.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "topology/json.h"

namespace gradmesh {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// Three digits and the unit that leaves them before the point: "12.5 ms".
std::string scaled(double value, const char* const* units, size_t count, double factor) {
  size_t unit = 0;
  for (; unit + 1 < count && value >= factor; unit++) value /= factor;
  char text[32];
  std::snprintf(text, sizeof text, "%.3g ", value);
  return text + std::string(units[unit]);
}

std::string time_text(double seconds) {
  if (seconds == kNever) return "never";
  constexpr const char* kUnits[] = {"us", "ms", "s"};
  return scaled(seconds * 1e6, kUnits, 3, 1e3);
}

std::string bytes_text(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(bytes, kUnits, 5, 1024);
}

std::string rate_text(double bytes_per_second) {
  constexpr const char* kUnits[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
  return scaled(bytes_per_second * 8, kUnits, 5, 1e3);
}

// Keeps the longest transfer and what it waits for.
void consider(Prediction* prediction, double bytes, double rate, const std::string& what) {
  const double seconds = rate > 0 ? bytes / rate : kNever;
  if (seconds <= prediction->transfer_seconds) return;
  prediction->transfer_seconds = seconds;
  prediction->limit = bytes_text(bytes) + " " + what + " at " + rate_text(rate);
}

double step_seconds(const LinkMatrix& links, const Candidate& candidate) {
  double sum = 0, slowest = 0, used = 0;
  for (uint32_t from = 0; from < links.ranks; from++)
    for (uint32_t to = 0; to < links.ranks; to++) {
      if (candidate.bytes[size_t{from} * links.ranks + to] <= 0) continue;
      sum += links.latency_of(from, to);
      slowest = std::max(slowest, links.latency_of(from, to));
      used++;
    }
  if (used == 0) return 0;
  return candidate.waits == Waits::around ? sum / used : slowest;
}

Prediction predict(const LinkMatrix& links, const HostCaps& caps, const Candidate& candidate) {
  Prediction prediction;
  std::vector<double> sent(links.ranks), received(links.ranks);
  for (uint32_t from = 0; from < links.ranks; from++)
    for (uint32_t to = 0; to < links.ranks; to++) {
      const double bytes = candidate.bytes[size_t{from} * links.ranks + to];
      if (bytes <= 0) continue;
      sent[from] += bytes;
      received[to] += bytes;
      consider(&prediction, bytes, links.bandwidth_of(from, to),
               "from rank " + std::to_string(from) + " to rank " + std::to_string(to));
    }
  for (uint32_t rank = 0; rank < links.ranks; rank++) {
    const std::string name = "rank " + std::to_string(rank);
    if (!caps.egress.empty()) consider(&prediction, sent[rank], caps.egress[rank], "out of " + name);
    if (!caps.ingress.empty()) consider(&prediction, received[rank], caps.ingress[rank], "into " + name);
    prediction.bytes_sent_max = std::max(prediction.bytes_sent_max, sent[rank]);
  }
  prediction.latency_seconds = candidate.latency_steps * step_seconds(links, candidate);
  prediction.seconds = prediction.latency_seconds + prediction.transfer_seconds;
  return prediction;
}

std::string line_of(const LinkMatrix& links, const Candidate& candidate, const Prediction& prediction) {
  const std::string name = "  " + candidate.name + ": ";
  if (!candidate.refused.empty()) return name + "not allowed: " + candidate.refused;
  std::string line = name + time_text(prediction.seconds) + " = " + std::to_string(candidate.latency_steps) +
                     " latency steps of " + time_text(step_seconds(links, candidate)) + " + " +
                     time_text(prediction.transfer_seconds);
  if (!prediction.limit.empty()) line += " (" + prediction.limit + ")";
  return line + "; a rank sends at most " + bytes_text(prediction.bytes_sent_max);
}

Status check_caps(const char* field, const std::vector<double>& caps, uint32_t ranks) {
  if (!caps.empty() && caps.size() != ranks)
    return {GM_INVALID_ARGUMENT, std::string(field) + " has " + std::to_string(caps.size()) +
                                     " entries; allowed: none, or one a rank, " + std::to_string(ranks)};
  for (size_t rank = 0; rank < caps.size(); rank++)
    if (!(caps[rank] > 0))
      return {GM_INVALID_ARGUMENT, std::string(field) + "[" + std::to_string(rank) + "] is " +
                                       json_number(caps[rank]) + "; allowed: more than 0 bytes per second"};
  return Status::ok();
}

Status check_candidates(const LinkMatrix& links, const std::vector<Candidate>& candidates) {
  for (const Candidate& candidate : candidates) {
    const size_t expected = size_t{links.ranks} * links.ranks;
    if (candidate.bytes.size() != expected)
      return {GM_INVALID_ARGUMENT,
              candidate.name + "'s bytes have " + std::to_string(candidate.bytes.size()) + " entries; " +
                  std::to_string(links.ranks) + " ranks take " + std::to_string(expected)};
    for (const double bytes : candidate.bytes)
      if (!(bytes >= 0 && bytes < kNever))
        return {GM_INVALID_ARGUMENT,
                candidate.name + "'s bytes hold " + json_number(bytes) + "; allowed: 0 or more"};
  }
  return Status::ok();
}

}  // namespace

Status choose_algorithm(const LinkMatrix& links, const HostCaps& caps,
                        const std::vector<Candidate>& candidates, Choice* choice) {
  GM_TRY(check_links(links));
  GM_TRY(check_caps("egress", caps.egress, links.ranks));
  GM_TRY(check_caps("ingress", caps.ingress, links.ranks));
  GM_TRY(check_candidates(links, candidates));
  *choice = {};
  bool found = false;
  double next = kNever;
  std::string lines;
  for (uint32_t i = 0; i < candidates.size(); i++) {
    choice->predictions.push_back(predict(links, caps, candidates[i]));
    lines += "\n" + line_of(links, candidates[i], choice->predictions[i]);
    const double seconds = choice->predictions[i].seconds;
    if (!candidates[i].refused.empty() || seconds == kNever) continue;
    const double least = found ? choice->predictions[choice->chosen].seconds : kNever;
    next = std::min(next, std::max(seconds, least));
    if (!found || seconds < least) choice->chosen = i;
    found = true;
  }
  if (!found)
    return {GM_INVALID_ARGUMENT, "no algorithm can be used:" + (lines.empty() ? " none was given" : lines)};
  const double seconds = choice->predictions[choice->chosen].seconds;
  choice->explain = candidates[choice->chosen].name + " is predicted to take " + time_text(seconds);
  if (next < kNever && seconds > 0) {
    char ratio[32];
    std::snprintf(ratio, sizeof ratio, "%.2f", next / seconds);
    choice->explain += ", the next " + std::string(ratio) + " times that";
  }
  choice->explain += " (" + std::to_string(links.ranks) + " ranks)" + lines;
  return Status::ok();
}

}  // namespace gradmesh
