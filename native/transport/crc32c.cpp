// CRC-32C: eight bytes an instruction with SSE 4.2, else eight bytes a step from tables (slicing-by-8).
#include "transport/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#ifdef GM_X86
#include <nmmintrin.h>
#endif

namespace gradmesh {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte)
    for (size_t slice = 1; slice < 8; ++slice) {
      const uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}
constexpr Tables kTables = make_tables();
static_assert(std::endian::native == std::endian::little,
              "frames are little endian, and so is every supported CPU");

#ifdef GM_X86
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t crc, const uint8_t* bytes, size_t size) {
  uint64_t state = crc;
  for (; size >= 8; size -= 8, bytes += 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    state = _mm_crc32_u64(state, word);
  }
  uint32_t narrow = static_cast<uint32_t>(state);
  for (; size > 0; --size) narrow = _mm_crc32_u8(narrow, *bytes++);
  return narrow;
}
#endif

uint32_t by_table(uint32_t crc, const uint8_t* bytes, size_t size) {
  for (; size >= 8; size -= 8, bytes += 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    word ^= crc;
    crc = 0;
    for (size_t slice = 0; slice < 8; ++slice) crc ^= kTables[7 - slice][(word >> (8 * slice)) & 0xff];
  }
  for (; size > 0; --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *bytes++) & 0xff];
  return crc;
}

}  // namespace

uint32_t crc32c_portable(uint32_t crc, const void* bytes, size_t size) {
  return ~by_table(~crc, static_cast<const uint8_t*>(bytes), size);
}

uint32_t crc32c(uint32_t crc, const void* bytes, size_t size) {
#ifdef GM_X86
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return ~by_instruction(~crc, static_cast<const uint8_t*>(bytes), size);
#endif
  return crc32c_portable(crc, bytes, size);
}

}  // namespace gradmesh
