// test/vectors/codec.json: every codec, every backend, the digests of fixed cases. After a change that is
// meant to change bytes, GRADMESH_UPDATE_VECTORS=1 writes the file anew with the scalar backend.
#include "codec/golden.h"

#include <cinttypes>

#include "support.h"
#include "vectors.h"

using namespace codec_test;

namespace {

struct Case {
  std::string codec;
  uint64_t elements, seed;
  std::string digest;
};

std::string golden(const std::string& codec, uint64_t elements, uint64_t seed) {
  std::string digest;
  const Status status = golden_codec(codec, elements, seed, &digest);
  CHECK_THAT(static_cast<bool>(status), status.message());
  return digest;
}

void write_cases() {
  std::vector<std::string> cases;
  with_backend(backend::Backend::scalar, [&] {
    for (const std::string& codec : codec_cases()) {
      const uint64_t block = codec_find(codec)->traits.block_elements;
      uint64_t seed = 1;
      // Beyond 100003 only once a row: what the machine of every `doctor` has time for.
      std::vector<uint64_t> lengths = {0, 1, block - 1, block, block + 1, 4099, 100003};
      if (codec.find(':') == std::string::npos) lengths.push_back(1 << 20);
      for (const uint64_t elements : lengths) {
        cases.push_back("{ \"codec\": \"" + codec + "\", \"elements\": " + std::to_string(elements) +
                        ", \"seed\": " + std::to_string(seed) + ", \"digest\": \"" +
                        golden(codec, elements, seed) + "\" }");
        seed++;
      }
    }
  });
  vectors::write("codec.json", cases);
}

std::vector<Case> read_cases() {
  std::vector<Case> cases;
  for (const std::string& line : vectors::lines("codec.json", "codec")) {
    char codec[128], digest[65];
    uint64_t elements, seed;
    const int read = std::sscanf(line.c_str(),
                                 " { \"codec\": \"%127[a-z0-9_:=,]\", \"elements\": %" SCNu64
                                 ", \"seed\": %" SCNu64 ", \"digest\": \"%64[0-9a-f]\"",
                                 codec, &elements, &seed, digest);
    CHECK_THAT(read == 4, line);
    cases.push_back({codec, elements, seed, digest});
  }
  return cases;
}

}  // namespace

TEST("every backend gives the digests of codec.json, which has cases of every codec") {
  if (vectors::updating()) write_cases();
  const auto cases = read_cases();
  for (const std::string& codec : codec_cases()) {
    int count = 0;
    for (const Case& each : cases) count += each.codec == codec;
    CHECK_THAT(count >= 7, codec);
  }
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      for (const Case& each : cases)
        CHECK_THAT(
            golden(each.codec, each.elements, each.seed) == each.digest,
            each.codec + ", " + std::to_string(each.elements) + " elements on " + backend::name(backend));
    });
}

TEST("a golden case of no codec, or too large, is refused by name") {
  std::string digest;
  const Status unknown = golden_codec("int9", 10, 1, &digest),
               large = golden_codec("fp32", 1ull << 40, 1, &digest);
  CHECK(unknown.code() == GM_INVALID_ARGUMENT && unknown.message().find("int9") != std::string::npos);
  CHECK(large.code() == GM_INVALID_ARGUMENT && large.message().find("1099511627776") != std::string::npos);
  CHECK(digest.empty());
}
