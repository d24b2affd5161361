// The digest's kernels, on the emulator, against the CPU's digest, around every boundary of the tree.
#include "state/digest.h"

#include "../../../cuda/state/launchers.h"
#include "../check.h"

using namespace gradmesh;

TEST("digest kernels: the CPU's digest for any length, and nothing written beside it") {
  std::mt19937_64 random(check::seed());
  constexpr size_t kTile = 128 * 1024;
  std::vector<uint8_t> stream(130 * kTile + 1024);
  for (uint8_t& byte : stream) byte = static_cast<uint8_t>(random());
  std::vector<size_t> lengths = {0,
                                 1,
                                 63,
                                 64,
                                 65,
                                 1023,
                                 1024,
                                 1025,
                                 2048,
                                 3073,
                                 7 * 1024 + 5,
                                 kTile - 1,
                                 kTile,
                                 kTile + 1,
                                 2 * kTile,
                                 2 * kTile + 1,
                                 3 * kTile + 1025,
                                 5 * kTile - 1024,
                                 129 * kTile + 77};
  for (const size_t length : lengths) {
    constexpr size_t kGuard = 64;
    std::vector<uint64_t> source((length + 15) / 8 * 2), result(4 + kGuard / 8, 0x5a5a5a5a5a5a5a5a);
    std::vector<uint8_t> scratch(cuda::digest_scratch_bytes(length) + kGuard + 16, 0xa5);
    if (length > 0) std::memcpy(source.data(), stream.data(), length);
    auto* place = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(scratch.data()) + 15) / 16 * 16);
    CHECK(cuda::digest(reinterpret_cast<const uint8_t*>(source.data()), length, place,
                       reinterpret_cast<uint8_t*>(result.data()), nullptr) == 0);
    const Bytes bytes(stream.data(), length);
    const StateDigest due = state_digest({&bytes, 1}, nullptr);
    CHECK_THAT(std::memcmp(result.data(), due.data(), 32) == 0, std::to_string(length));
    for (size_t i = 4; i < result.size(); i++) CHECK(result[i] == 0x5a5a5a5a5a5a5a5a);
    for (const uint8_t* p = place + cuda::digest_scratch_bytes(length); p < scratch.data() + scratch.size();
         p++)
      CHECK(*p == 0xa5);
  }
}
