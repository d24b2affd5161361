// Times the digest of state by backend and threads beside SHA-256 of the same bytes, taken in turns, as lines
// of JSON: bench_digest TURNS BYTES...
//
// The yardstick is a tree of SHA-256 (libcrypto's, with the processor's instructions for it) over leaves of 1
// MiB, one after the other, as the digest of state was made before.
#include <functional>
#include <string>

#include "base/crypto.h"
#include "base/prng.h"
#include "numeric/backend.h"
#include "state/digest.h"
#include "turns.h"

using namespace gradmesh;

namespace {

constexpr size_t kLeafBytes = size_t{1} << 20;
constexpr uint32_t kThreadsMost = 2;

void require(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

std::string sha256_tree(Bytes bytes) {
  crypto::Sha256 root;
  require(crypto::Sha256::create(&root));
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kLeafBytes))) {
    crypto::Digest leaf;
    require(crypto::sha256(bytes.first(std::min(bytes.size(), kLeafBytes)), &leaf));
    require(root.update(leaf));
  }
  crypto::Digest digest;
  require(root.finish(&digest));
  return crypto::hex(digest);
}

struct Row {
  std::string hash, backend;
  uint32_t threads;
  std::function<std::string()> run;
  std::string digest = "";
  std::vector<double> seconds = {};
};

void measure(size_t size, int turns) {
  turns::Memory memory(size);
  fill_normal(5, 0, 0, 0.02f, memory.floats(), size / sizeof(float));
  const Bytes bytes(memory.bytes(), size);
  ThreadPool pool(kThreadsMost);
  std::vector<Row> rows = {{"SHA-256 tree", "libcrypto", 1, [&] { return sha256_tree(bytes); }}};
  for (const auto backend : backend::available())
    for (uint32_t threads = 1; threads <= kThreadsMost; threads++)
      rows.push_back({"BLAKE3", backend::name(backend), threads, [&, backend, threads] {
                        require(backend::force(backend::name(backend)));
                        return crypto::hex(state_digest({&bytes, 1}, threads > 1 ? &pool : nullptr));
                      }});
  for (int turn = -1; turn < turns; turn++)  // one to warm up
    for (Row& row : rows) {
      const double seconds = turns::timed(1, [&] { row.digest = row.run(); });
      if (turn >= 0) row.seconds.push_back(seconds);
    }
  for (const Row& row : rows) {
    std::printf(R"({"bytes":%zu,"hash":"%s","backend":"%s","threads":%u,"seconds":%.9g,)", size,
                row.hash.c_str(), row.backend.c_str(), row.threads, turns::median(row.seconds));
    std::printf(R"("best":%.9g,"digest":"%s"})", *std::min_element(row.seconds.begin(), row.seconds.end()),
                row.digest.c_str());
    std::puts("");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int turns = argc > 1 ? std::atoi(argv[1]) : 0;
  if (turns < 1 || argc < 3) {
    std::fprintf(stderr, "bench_digest TURNS BYTES...: both at least 1\n");
    return 2;
  }
  for (int i = 2; i < argc; i++) {
    const uint64_t bytes = std::strtoull(argv[i], nullptr, 10);
    if (bytes < 4 || bytes > uint64_t{1} << 32) {
      std::fprintf(stderr, "bytes is %s; allowed: 4 to 2^32\n", argv[i]);
      return 2;
    }
    measure(bytes, turns);
  }
}
