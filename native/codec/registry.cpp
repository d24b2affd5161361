// The registry of codecs as data: rows and options, and from a specification in text to a checked codec.
#include <charconv>
#include <deque>
#include <mutex>

#include "base/assert.h"
#include "codec/codec.h"
#include "codec/definitions.h"

namespace gradmesh {
namespace {

struct Definition {
  CodecTraits (*traits)(const CodecOptions&);
  size_t (*bytes)(const CodecOptions&, size_t);
  CodecParts (*parts)(const CodecOptions&, size_t);
  const char* (*problem)(const CodecOptions&);
};

template <class Codec>
constexpr Definition definition() {
  return {
      [](const CodecOptions& options) { return Codec::traits(options); },
      [](const CodecOptions& options, size_t elements) -> size_t { return Codec::bytes(options, elements); },
      [](const CodecOptions& options, size_t elements) { return codec_parts<Codec>(options, elements); },
      [](const CodecOptions& options) -> const char* { return Codec::problem(options); }};
}

constexpr Definition kDefinitions[] = {
#define GM_CODEC(name, ...) definition<codecs::name>(),
#include "codec/registry.h"
};

Status invalid(std::string_view spec, const std::string& why) {
  return {GM_INVALID_ARGUMENT, "codec is \"" + std::string(spec) + "\": " + why};
}

std::string quoted_list(const char* names) {
  std::string list = "\"";
  for (; *names != '\0'; names++) list += *names == ' ' ? std::string("\", \"") : std::string(1, *names);
  return list + "\"";
}

// The name of choice `index`.
std::string choice_name(const char* names, uint32_t index) {
  std::string_view rest = names;
  for (; index > 0; index--) rest.remove_prefix(rest.find(' ') + 1);
  return std::string(rest.substr(0, rest.find(' ')));
}

std::string value_name(const CodecOption& option, uint32_t value) {
  return option.choices == nullptr ? std::to_string(value) : choice_name(option.choices, value);
}

std::string allowed(const CodecOption& option) {
  if (option.choices != nullptr) return quoted_list(option.choices);
  return "a whole number from " + std::to_string(option.least) + " to " + std::to_string(option.most);
}

bool parse_value(const CodecOption& option, std::string_view text, uint32_t* value) {
  if (option.choices != nullptr) {
    for (*value = 0; *value <= option.most; ++*value)
      if (choice_name(option.choices, *value) == text) return true;
    return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc{} && end == text.data() + text.size() && *value >= option.least &&
         *value <= option.most;
}

std::vector<const CodecOption*> options_of(const char* row) {
  std::vector<const CodecOption*> found;
  for (const CodecOption& option : codec_options())
    if (std::string_view(option.row) == row) found.push_back(&option);
  return found;
}

std::string unknown_row(std::string_view name) {
  std::string names;
  for (const CodecRow& row : codec_rows())
    names += (names.empty() ? "\"" : ", \"") + std::string(row.name) + "\"";
  return "there is no codec \"" + std::string(name) + "\"; allowed: " + names;
}

std::string unknown_option(const CodecRow& row, std::string_view name) {
  std::string names;
  for (const CodecOption* option : options_of(row.name))
    names += (names.empty() ? "\"" : ", \"") + std::string(option->name) + "\"";
  return std::string(row.name) + " has no option \"" + std::string(name) + "\"; " +
         (names.empty() ? "it has none" : "allowed: " + names);
}

Status parse_option(std::string_view spec, const CodecRow& row, std::string_view text,
                    std::vector<bool>* given, CodecOptions* options) {
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const auto known = options_of(row.name);
  for (size_t i = 0; i < known.size(); i++) {
    if (name != known[i]->name) continue;
    if (equals == std::string_view::npos || (*given)[i])
      return invalid(spec, "option \"" + std::string(name) + "\" is " +
                               ((*given)[i] ? "given twice" : "given without a value") +
                               "; allowed: " + allowed(*known[i]));
    (*given)[i] = true;
    if (parse_value(*known[i], text.substr(equals + 1), &(options->*(known[i]->member)))) return Status::ok();
    return invalid(spec, "option \"" + std::string(name) + "\" is \"" + std::string(text.substr(equals + 1)) +
                             "\"; allowed: " + allowed(*known[i]));
  }
  return invalid(spec, unknown_option(row, name));
}

Status parse(std::string_view spec, const CodecRow** row, CodecOptions* options) {
  const size_t colon = spec.find(':');
  const std::string_view name = spec.substr(0, colon);
  *row = nullptr;
  for (const CodecRow& each : codec_rows())
    if (name == each.name) *row = &each;
  if (*row == nullptr) return invalid(spec, unknown_row(name));
  *options = {};
  const auto known = options_of((*row)->name);
  for (const CodecOption* option : known) options->*(option->member) = option->initial;
  std::vector<bool> given(known.size());
  for (std::string_view rest = colon == std::string_view::npos ? "" : spec.substr(colon + 1);
       !rest.empty();) {
    const size_t comma = rest.find(',');
    GM_TRY(parse_option(spec, **row, rest.substr(0, comma), &given, options));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return Status::ok();
}

std::string canonical(const CodecRow& row, const CodecOptions& options) {
  std::string text = row.name;
  char separator = ':';
  for (const CodecOption* option : options_of(row.name)) {
    const uint32_t value = options.*(option->member);
    if (value == option->initial) continue;
    text += separator + std::string(option->name) + "=" + value_name(*option, value);
    separator = ',';
  }
  return text;
}

// FNV-1a, 64 bits: tells specifications apart between honest peers; it is no protection against others.
uint64_t fingerprint_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

// Every codec that was opened, by id. Rows with their defaults come first; a deque never moves its elements.
struct Opened {
  std::mutex guard;
  std::deque<Codec> codecs;
  Opened() {
    for (const CodecRow& row : codec_rows()) {
      GM_ASSERT(row.id == codecs.size());
      const CodecRow* found;
      CodecOptions options;
      const Status status = parse(row.name, &found, &options);
      GM_ASSERT(status && kDefinitions[row.id].problem(options) == nullptr);
      add(row, options);
    }
  }
  const Codec* add(const CodecRow& row, const CodecOptions& options) {
    const std::string spec = canonical(row, options);
    for (const Codec& codec : codecs)
      if (codec.spec == spec) return &codec;
    if (codecs.size() == kCodecsMax) return nullptr;
    const Definition& is = kDefinitions[row.id];
    codecs.push_back({spec, row.name, row.id, static_cast<uint32_t>(codecs.size()), options,
                      is.traits(options), fingerprint_of(spec), is.bytes, is.parts});
    return &codecs.back();
  }
};

Opened& opened() {
  static Opened instance;
  return instance;
}

}  // namespace

const std::vector<CodecRow>& codec_rows() {
  static const std::vector<CodecRow> rows = {
#define GM_CODEC(name, id, wire, error, special, source) {#name, id, wire, error, special, source},
#include "codec/registry.h"
  };
  return rows;
}

const std::vector<CodecOption>& codec_options() {
  [[maybe_unused]] static const auto last = [](const char* names) {
    uint32_t spaces = 0;
    for (; *names != '\0'; names++) spaces += *names == ' ';
    return spaces;
  };
  static const std::vector<CodecOption> options = {
#define GM_NUMBER(codec, option, initial, least, most, doc) \
  {#codec, #option, &CodecOptions::option, initial, least, most, nullptr, doc},
#define GM_CHOICE(codec, option, initial, names, doc) \
  {#codec, #option, &CodecOptions::option, initial, 0, last(names), names, doc},
#include "codec/registry.h"
  };
  return options;
}

const std::vector<std::string>& codec_cases() {
  static const std::vector<std::string> cases = {
#define GM_CODEC(name, ...) #name,
#define GM_CASE(spec) spec,
#include "codec/registry.h"
  };
  return cases;
}

Status codec_open(std::string_view spec, const Codec** codec) {
  const CodecRow* row;
  CodecOptions options;
  GM_TRY(parse(spec, &row, &options));
  const char* problem = kDefinitions[row->id].problem(options);
  if (problem != nullptr) return invalid(spec, problem);
  std::lock_guard lock(opened().guard);
  *codec = opened().add(*row, options);
  if (*codec != nullptr) return Status::ok();
  return invalid(
      spec, "this process has opened " + std::to_string(kCodecsMax) + " different codecs, the most allowed");
}

const Codec* codec_find(uint32_t id) {
  std::lock_guard lock(opened().guard);
  return id < opened().codecs.size() ? &opened().codecs[id] : nullptr;
}

const Codec* codec_find(std::string_view spec) {
  const Codec* codec;
  return codec_open(spec, &codec) ? codec : nullptr;
}

}  // namespace gradmesh
