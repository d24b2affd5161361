// The registry of graphs as data: rows and options, and from a specification in text to a graph.
#include <algorithm>
#include <charconv>

#include "base/assert.h"
#include "topology/families.h"

namespace gradmesh {
namespace {

using Draw = void (*)(const GraphOptions&, uint32_t, uint64_t, MixingRound*);

struct Definition {
  std::string (*problem)(const GraphOptions&, uint32_t);
  Status (*write)(const GraphOptions&, uint32_t, std::vector<MixingRound>*);
  Draw draw;
};

constexpr Definition kDefinitions[] = {
#define GM_GRAPH(name, ...) {graphs::name::problem, graphs::name::write, nullptr},
#define GM_GRAPH_DRAWN(name, ...) {graphs::name::problem, nullptr, graphs::name::draw},
#include "topology/registry.h"
};

// A whole number or a share, as `whole` or `share` says.
struct Option {
  std::string_view row, name;
  uint64_t GraphOptions::*whole;
  double GraphOptions::*share;
  double initial, least, most;
};

const std::vector<Option>& all_options() {
  static const std::vector<Option> options = {
#define GM_WHOLE(graph, option, initial, least, most, doc) \
  {#graph, #option, &GraphOptions::option, nullptr, initial, least, most},
#define GM_SHARE(graph, option, initial, doc) \
  {#graph, #option, nullptr, &GraphOptions::option, initial, 0, 1},
#include "topology/registry.h"
  };
  return options;
}

std::vector<Option> options_of(std::string_view row) {
  std::vector<Option> found;
  for (const Option& option : all_options())
    if (option.row == row) found.push_back(option);
  return found;
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// Longer than any specification that is right: a message must not carry what a stranger wrote without end.
constexpr size_t kSpecCharactersMax = 200;

Status invalid(std::string_view spec, const std::string& why) {
  return {GM_INVALID_ARGUMENT, "topology is " + quoted(spec) + ": " + why};
}

std::string number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string number(uint64_t value) { return std::to_string(value); }

std::string allowed(const Option& option) {
  if (option.share != nullptr) return "a number from 0 to 1";
  return "a whole number from " + number(static_cast<uint64_t>(option.least)) + " to " +
         number(static_cast<uint64_t>(option.most));
}

template <class Value>
bool parse_number(std::string_view text, const Option& option, Value* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc{} && end == text.data() + text.size() &&
         *value >= static_cast<Value>(option.least) && *value <= static_cast<Value>(option.most);
}

bool parse_value(const Option& option, std::string_view text, GraphOptions* options) {
  return option.share != nullptr ? parse_number(text, option, &(options->*option.share))
                                 : parse_number(text, option, &(options->*option.whole));
}

Status parse_option(std::string_view spec, std::string_view row, std::string_view text,
                    std::vector<bool>* given, GraphOptions* options) {
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const std::vector<Option> known = options_of(row);
  std::string names;
  for (size_t i = 0; i < known.size(); i++) {
    names += (i == 0 ? "" : ", ") + quoted(known[i].name);
    if (name != known[i].name) continue;
    if (equals == std::string_view::npos || (*given)[i])
      return invalid(spec, "option " + quoted(name) + " is given " +
                               ((*given)[i] ? "twice" : "without a value") +
                               "; allowed: " + allowed(known[i]));
    (*given)[i] = true;
    if (parse_value(known[i], text.substr(equals + 1), options)) return Status::ok();
    return invalid(spec, "option " + quoted(name) + " is " + quoted(text.substr(equals + 1)) +
                             "; allowed: " + allowed(known[i]));
  }
  return invalid(spec, std::string(row) + " has no option " + quoted(name) + "; " +
                           (known.empty() ? "it has none" : "allowed: " + names));
}

Status parse(std::string_view spec, size_t* row, GraphOptions* options) {
  if (spec.size() > kSpecCharactersMax)
    return {GM_INVALID_ARGUMENT, "topology has " + number(uint64_t{spec.size()}) + " characters; at most " +
                                     number(uint64_t{kSpecCharactersMax}) + " are allowed"};
  const std::string_view name = spec.substr(0, spec.find(':'));
  std::string names;
  for (*row = 0; *row < graph_rows().size() && name != graph_rows()[*row].name; ++*row)
    names += (*row == 0 ? "" : ", ") + quoted(graph_rows()[*row].name);
  if (*row == graph_rows().size())
    return invalid(spec, "there is no graph " + quoted(name) + "; allowed: " + names);
  for (const Option& option : options_of(name)) {
    if (option.share != nullptr)
      options->*option.share = option.initial;
    else
      options->*option.whole = static_cast<uint64_t>(option.initial);
  }
  std::vector<bool> given(options_of(name).size());
  for (std::string_view rest = spec.substr(std::min(spec.size(), name.size() + 1)); !rest.empty();) {
    const size_t comma = rest.find(',');
    GM_TRY(parse_option(spec, name, rest.substr(0, comma), &given, options));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return Status::ok();
}

std::string canonical(std::string_view row, const GraphOptions& options) {
  std::string text(row);
  char separator = ':';
  for (const Option& option : options_of(row)) {
    const bool is_share = option.share != nullptr;
    if (is_share ? options.*option.share == option.initial
                 : options.*option.whole == static_cast<uint64_t>(option.initial))
      continue;
    text += separator + std::string(option.name) + "=" +
            (is_share ? number(options.*option.share) : number(options.*option.whole));
    separator = ',';
  }
  return text;
}

}  // namespace

const std::vector<GraphRow>& graph_rows() {
  static const std::vector<GraphRow> rows = {
#define GM_GRAPH(name, doc, source) {#name, doc, source},
#include "topology/registry.h"
  };
  return rows;
}

Status graph_open(std::string_view spec, uint32_t ranks, Graph* graph) {
  size_t row;
  *graph = {};
  GM_TRY(parse(spec, &row, &graph->options_));
  if (ranks < 1 || ranks > kGraphRanksMax)
    return {GM_INVALID_ARGUMENT,
            "ranks is " + std::to_string(ranks) + "; allowed: 1 to " + std::to_string(kGraphRanksMax)};
  const Definition& definition = kDefinitions[row];
  graph->spec_ = canonical(graph_rows()[row].name, graph->options_);
  graph->ranks_ = ranks;
  if (ranks == 1) {
    graph->rounds_.assign(1, MixingRound(1));
    return Status::ok();
  }
  const std::string problem = definition.problem(graph->options_, ranks);
  if (!problem.empty()) return invalid(spec, problem);
  graph->draw_ = definition.draw;
  if (definition.write == nullptr) return Status::ok();
  const Status written = definition.write(graph->options_, ranks, &graph->rounds_);
  if (!written) return invalid(spec, written.message());
  GM_ASSERT(!graph->rounds_.empty());
  return Status::ok();
}

MixingRound Graph::round(uint64_t round) const {
  if (!rounds_.empty()) return rounds_[round % rounds_.size()];
  GM_ASSERT(draw_ != nullptr);
  MixingRound drawn;
  draw_(options_, ranks_, round, &drawn);
  return drawn;
}

Status mixing_round(std::string_view spec, uint32_t ranks, uint64_t round, MixingRound* target) {
  Graph graph;
  GM_TRY(graph_open(spec, ranks, &graph));
  *target = graph.round(round);
  return Status::ok();
}

}  // namespace gradmesh
