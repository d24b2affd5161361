// The line protocol of the fault peer: commands are "NUMBER VERB name=value ...", answers are lines of JSON.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace gradmesh::net {

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "fault peer: %s\n", why.c_str());
  std::_Exit(1);
}

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

class Words {
 public:
  explicit Words(const std::string& line) {
    std::istringstream stream(line);
    stream >> number_ >> verb_;
    for (std::string word; stream >> word;) {
      const size_t at = word.find('=');
      if (at == std::string::npos) die("\"" + word + "\" is not name=value in: " + line);
      values_[word.substr(0, at)] = word.substr(at + 1);
    }
  }
  uint64_t number() const { return number_; }  // of the command
  const std::string& verb() const { return verb_; }
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  std::string text(const std::string& name, const std::string& otherwise = "") const {
    const auto found = values_.find(name);
    return found == values_.end() ? otherwise : found->second;
  }
  uint64_t count(const std::string& name, uint64_t otherwise = 0) const {
    return has(name) ? std::strtoull(text(name).c_str(), nullptr, 10) : otherwise;
  }
  uint32_t small(const std::string& name, uint32_t otherwise = 0) const {
    return static_cast<uint32_t>(count(name, otherwise));
  }
  // "0,2,3"; none where it is absent.
  std::vector<uint32_t> list(const std::string& name) const {
    std::vector<uint32_t> numbers;
    if (has(name))
      for (const std::string& each : split(text(name), ','))
        numbers.push_back(static_cast<uint32_t>(std::strtoul(each.c_str(), nullptr, 10)));
    return numbers;
  }

 private:
  uint64_t number_ = 0;
  std::string verb_;
  std::map<std::string, std::string> values_;
};

// One object as a line.
class Json {
 public:
  Json& text(const char* name, std::string_view value) {
    std::string quoted = "\"";
    for (const char each : value) {
      if (each == '"' || each == '\\') quoted += '\\';
      quoted += static_cast<unsigned char>(each) < ' ' ? ' ' : each;
    }
    return raw(name, quoted + "\"");
  }
  template <class Number>
  Json& number(const char* name, Number value) {
    return raw(name, std::to_string(value));
  }
  Json& raw(const char* name, const std::string& value) {
    line_ += std::string(line_.size() == 1 ? "\"" : ",\"") + name + "\":" + value;
    return *this;
  }
  // From any thread.
  void write() const {
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    std::printf("%s}\n", line_.c_str());
    std::fflush(stdout);
  }

 private:
  std::string line_ = "{";
};

}  // namespace gradmesh::net
