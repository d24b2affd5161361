// A test runner in one page: TEST("name") { CHECK(...); } and a closing line "N passed, N failed".
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <random>
#include <string>
#include <vector>

namespace check {

struct Case {
  const char* name;
  void (*body)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline bool failed = false;
inline int reports = 0;

struct Register {
  Register(const char* name, void (*body)()) { cases().push_back({name, body}); }
};

inline void fail(const char* file, int line, const std::string& what) {
  failed = true;
  if (++reports <= 10) std::fprintf(stderr, "  %s:%d: %s\n", file, line, what.c_str());
}

// Every random test draws from here; a failure prints the seed, and GRADMESH_TEST_SEED repeats it.
inline uint64_t seed() {
  static const uint64_t value = [] {
    const char* text = std::getenv("GRADMESH_TEST_SEED");
    return text ? std::strtoull(text, nullptr, 10) : uint64_t{std::random_device{}()};
  }();
  return value;
}

// Runs every case, or those whose name contains the first argument.
inline int run(int argc, char** argv) {
  int passed = 0, failures = 0;
  for (const Case& test : cases()) {
    if (argc > 1 && !std::strstr(test.name, argv[1])) continue;
    failed = false;
    reports = 0;
    try {
      test.body();
    } catch (const std::exception& error) {
      fail(test.name, 0, error.what());
    }
    if (failed) std::fprintf(stderr, "FAILED %s (GRADMESH_TEST_SEED=%llu)\n", test.name, (unsigned long long)seed());
    ++(failed ? failures : passed);
  }
  std::printf("%d passed, %d failed\n", passed, failures);
  return failures == 0 && passed > 0 ? 0 : 1;
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define TEST(name)                                                                     \
  static void CHECK_JOIN(test_, __LINE__)();                                           \
  static const check::Register CHECK_JOIN(register_, __LINE__)(name, CHECK_JOIN(test_, __LINE__)); \
  static void CHECK_JOIN(test_, __LINE__)()
#define CHECK(condition) \
  do {                   \
    if (!(condition)) check::fail(__FILE__, __LINE__, #condition); \
  } while (false)
// With a reason: CHECK_THAT(a == b, "length " + std::to_string(n))
#define CHECK_THAT(condition, why) \
  do {                             \
    if (!(condition)) check::fail(__FILE__, __LINE__, std::string(#condition) + ": " + (why)); \
  } while (false)
