// Runs a fuzz target without libFuzzer: a fixed sequence of inputs, so that a run can be repeated.
//
// fuzz_codec [--seconds S] [--inputs N] [--seed N] [--from N]   ends at the earlier bound; a failure names
// its input fuzz_codec FILE...                                           inputs that libFuzzer or a person
// kept
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Of the sanitizers' runtime, where there is one.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr size_t kInputBytesMost = 12'000;
uint64_t seed = 1, now = 0;

void tell_input() {
  char text[160];
  const int length = std::snprintf(
      text, sizeof text, "\nthe input: fuzz_codec --seed %llu --from %llu --inputs 1\n0 passed, 1 failed\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(now));
  if (write(1, text, static_cast<size_t>(length)) < 0) std::_Exit(2);
}

void tell_signal(int signal) {
  tell_input();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// Input number `number`: its first byte counts up, so that every codec has its turn; then random bytes, long
// or short, sometimes mostly of one value, as wires are that an attacker writes.
std::vector<uint8_t> input_of(uint64_t number) {
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + number);
  const bool is_short = random() % 4 != 0;
  std::vector<uint8_t> bytes(20 + random() % (is_short ? 300 : kInputBytesMost));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  bytes[0] = static_cast<uint8_t>(number);
  static constexpr uint8_t kFill[] = {0x00, 0xff, 0x7f, 0x80, 0x01, 0xfe};
  if (random() % 3 == 0)
    for (size_t i = 20; i < bytes.size(); i++)
      if (random() % 16 != 0) bytes[i] = kFill[number % sizeof kFill];
  return bytes;
}

int run_files(int count, char** paths) {
  for (int i = 1; i < count; i++) {
    std::ifstream file(paths[i], std::ios::binary);
    const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)),
                                     std::istreambuf_iterator<char>());
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", paths[i]);
      return 1;
    }
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%d passed, 0 failed\n", count - 1);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1 && arguments[1][0] != '-') return run_files(count, arguments);
  uint64_t inputs = UINT64_MAX, from = 0;
  double seconds = 1e9;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    if (name == "--seconds") seconds = std::atof(arguments[i + 1]);
    if (name == "--inputs") inputs = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--seed") seed = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--from") from = std::strtoull(arguments[i + 1], nullptr, 10);
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(tell_input);
  std::signal(SIGABRT, tell_signal);
  if (__sanitizer_set_death_callback == nullptr) std::signal(SIGSEGV, tell_signal);
  const auto began = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  for (now = from; now - from < inputs && passed() < seconds; now++) {
    const std::vector<uint8_t> bytes = input_of(now);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%llu inputs of seed %llu in %.1f s\n1 passed, 0 failed\n",
              static_cast<unsigned long long>(now - from), static_cast<unsigned long long>(seed), passed());
}
