// test/vectors/op.json: every operator, every backend, the digests of fixed cases. After a change that is
// meant to change bytes, GRADMESH_UPDATE_VECTORS=1 writes the file anew with the scalar backend.
#include "ops/golden.h"

#include <cinttypes>

#include "check.h"
#include "numeric/backend.h"
#include "ops/shapes.h"
#include "vectors.h"

using namespace gradmesh;

namespace {

struct Golden {
  std::string op;
  uint64_t elements, seed;
  std::string digest;
};

std::string golden(const std::string& op, uint64_t elements, uint64_t seed) {
  std::string digest;
  const Status status = golden_op(op, elements, seed, &digest);
  CHECK_THAT(bool(status), status.message());
  return digest;
}

void write_cases() {
  std::vector<std::string> cases;
  CHECK(bool(backend::force("scalar")));
  for (uint32_t id = 0; id < ops::kOps; id++) {
    const std::string op = ops::op_find(id)->name;
    uint64_t seed = 1;
    for (const uint64_t elements : {1, 17, 1000, 20011}) {
      cases.push_back("{ \"op\": \"" + op + "\", \"elements\": " + std::to_string(elements) + ", \"seed\": " +
                      std::to_string(seed) + ", \"digest\": \"" + golden(op, elements, seed) + "\" }");
      seed++;
    }
  }
  vectors::write("op.json", cases);
}

std::vector<Golden> read_cases() {
  std::vector<Golden> cases;
  for (const std::string& line : vectors::lines("op.json", "op")) {
    char op[64], digest[65];
    uint64_t elements, seed;
    const int read = std::sscanf(line.c_str(),
                                 " { \"op\": \"%63[a-z0-9_]\", \"elements\": %" SCNu64 ", \"seed\": %" SCNu64
                                 ", \"digest\": \"%64[0-9a-f]\"",
                                 op, &elements, &seed, digest);
    CHECK_THAT(read == 4, line);
    cases.push_back({op, elements, seed, digest});
  }
  return cases;
}

}  // namespace

TEST("golden: every backend gives the digests of op.json, which has cases of every operator") {
  if (vectors::updating()) write_cases();
  const std::vector<Golden> cases = read_cases();
  for (uint32_t id = 0; id < ops::kOps; id++) {
    int count = 0;
    for (const Golden& each : cases) count += each.op == ops::op_find(id)->name;
    CHECK_THAT(count >= 4, ops::op_find(id)->name);
  }
  for (const auto backend : backend::available()) {
    CHECK(bool(backend::force(backend::name(backend))));
    for (const Golden& each : cases)
      CHECK_THAT(golden(each.op, each.elements, each.seed) == each.digest,
                 each.op + ", " + std::to_string(each.elements) + " elements on " + backend::name(backend));
  }
  CHECK(bool(backend::force("auto")));
}

TEST("golden: no operator of that name, or a size out of range, is refused by name") {
  std::string digest;
  const Status unknown = golden_op("matmull", 10, 1, &digest), none = golden_op("matmul", 0, 1, &digest),
               large = golden_op("matmul", 1ull << 40, 1, &digest);
  CHECK(unknown.code() == GM_INVALID_ARGUMENT && unknown.message().find("matmull") != std::string::npos);
  CHECK(none.code() == GM_INVALID_ARGUMENT && none.message().find("elements is 0") != std::string::npos);
  CHECK(large.code() == GM_INVALID_ARGUMENT && large.message().find("1099511627776") != std::string::npos);
  CHECK(digest.empty());
}
