// The golden digests of op.json on the device.
#include "../vectors.h"
#include "device.h"
#include "ops/golden.h"
#include "ops/shapes.h"

TEST("operators: the device gives the golden digests of op.json") {
  const unsigned long long most = gpu_test::suite().large ? 1ull << 24 : 1000;
  size_t replayed = 0;
  for (const std::string& line : vectors::lines("op.json", "op")) {
    char op[64], digest[65];
    unsigned long long elements, seed;
    const int read =
        std::sscanf(line.c_str(),
                    " { \"op\": \"%63[a-z0-9_]\", \"elements\": %llu, \"seed\": %llu, \"digest\": "
                    "\"%64[0-9a-f]\"",
                    op, &elements, &seed, digest);
    CHECK_THAT(read == 4, line);
    if (read != 4 || elements > most) continue;
    std::string found;
    const gradmesh::Status status = gradmesh::golden_op(op, elements, seed, gpu_test::suite().device, &found);
    CHECK_THAT(static_cast<bool>(status), line + ": " + status.message());
    CHECK_THAT(!status || found == digest, line + ": the device gives " + found);
    replayed++;
  }
  CHECK(replayed >= 2 * gradmesh::ops::kOps);
}
