// The golden digests of state.json on the device.
#include "../vectors.h"
#include "device.h"
#include "state/golden.h"

TEST("digest: the device gives the golden digests of state.json") {
  const unsigned long long most = gpu_test::suite().large ? 1ull << 28 : 140000;
  size_t replayed = 0;
  for (const std::string& line : vectors::lines("state.json", "state")) {
    char digest[65];
    unsigned long long elements, seed;
    const int read = std::sscanf(line.c_str(),
                                 " { \"state\": \"blake3\", \"elements\": %llu, \"seed\": %llu, \"digest\": "
                                 "\"%64[0-9a-f]\"",
                                 &elements, &seed, digest);
    CHECK_THAT(read == 3, line);
    if (read != 3 || elements > most) continue;
    std::string found;
    const gradmesh::Status status =
        gradmesh::golden_state("blake3", elements, seed, gpu_test::suite().device, &found);
    CHECK_THAT(static_cast<bool>(status), line + ": " + status.message());
    CHECK_THAT(!status || found == digest, line + ": the device gives " + found);
    replayed++;
  }
  CHECK(replayed >= 35);
}
