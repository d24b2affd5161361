// test/vectors/state.json: the digests of BLAKE3's own test vectors (seed 0) and of some more, on every
// backend. After a change that is meant to change bytes, GRADMESH_UPDATE_VECTORS=1 writes the file anew with
// the scalar backend; test/native/digest.test.ts compares it with another implementation.
#include "state/golden.h"

#include <cinttypes>

#include "check.h"
#include "numeric/backend.h"
#include "vectors.h"

using namespace gradmesh;

namespace {

// Of BLAKE3's test_vectors.json, then more than one tile of chunks.
constexpr uint64_t kLengths[] = {0,    1,    2,    3,    4,    5,    6,    7,    8,     63,    64,    65,
                                 127,  128,  129,  1023, 1024, 1025, 2048, 2049, 3072,  3073,  4096,  4097,
                                 5120, 5121, 6144, 6145, 7168, 7169, 8192, 8193, 16384, 31744, 102400};
constexpr uint64_t kLongLengths[] = {131072, 131073, 262144, 399361, 1048576, 5255225};

std::string golden(uint64_t elements, uint64_t seed) {
  std::string digest;
  const Status status = golden_state("blake3", elements, seed, &digest);
  CHECK_THAT(bool(status), status.message());
  return digest;
}

std::string line_of(uint64_t elements, uint64_t seed) {
  return "{ \"state\": \"blake3\", \"elements\": " + std::to_string(elements) +
         ", \"seed\": " + std::to_string(seed) + ", \"digest\": \"" + golden(elements, seed) + "\" }";
}

void write_cases() {
  std::vector<std::string> cases;
  CHECK(bool(backend::force("scalar")));
  for (const uint64_t length : kLengths) cases.push_back(line_of(length, 0));
  for (const uint64_t length : kLongLengths) cases.push_back(line_of(length, length));
  vectors::write("state.json", cases);
}

}  // namespace

TEST("golden: every backend gives the digests of state.json") {
  if (vectors::updating()) write_cases();
  const std::vector<std::string> lines = vectors::lines("state.json", "state");
  CHECK(lines.size() == std::size(kLengths) + std::size(kLongLengths));
  for (const auto backend : backend::available()) {
    CHECK(bool(backend::force(backend::name(backend))));
    for (const std::string& line : lines) {
      uint64_t elements, seed;
      char digest[65];
      const int read = std::sscanf(line.c_str(),
                                   " { \"state\": \"blake3\", \"elements\": %" SCNu64 ", \"seed\": %" SCNu64
                                   ", \"digest\": \"%64[0-9a-f]\"",
                                   &elements, &seed, digest);
      CHECK_THAT(read == 3, line);
      CHECK_THAT(golden(elements, seed) == digest, line + " on " + backend::name(backend));
    }
  }
  CHECK(bool(backend::force("auto")));
}

TEST("golden: another name or a size out of range is refused by name") {
  std::string digest;
  const Status unknown = golden_state("blake2", 10, 1, &digest),
               large = golden_state("blake3", 1ull << 40, 1, &digest);
  CHECK(unknown.code() == GM_INVALID_ARGUMENT && unknown.message().find("blake2") != std::string::npos);
  CHECK(large.code() == GM_INVALID_ARGUMENT && large.message().find("1099511627776") != std::string::npos);
  CHECK(digest.empty());
}
