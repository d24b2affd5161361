// Chaining values of as many chunks or parents at a time as there are lanes; lanes beyond a count repeat the
// last.
#include "state/blake3.h"

#include "state/isa/lanes.h"
#include "state/kernels.h"

namespace gradmesh::blake3::GM_ISA {
namespace {

// Chunks as they lie in memory, or parents as two chaining values.
enum class Kind { chunks, parents };

template <Kind kind>
constexpr size_t kStride = kind == Kind::chunks ? kChunkBytes : kBlockBytes;

// Lanes [0, count): inputs at bytes + lane * stride; the others repeat the last input. `ahead` bytes behind a
// lane's input is what comes next for it, or 0: so many streams are more than a processor follows by itself.
template <Kind kind, class Word>
HD void hash_lanes(const uint8_t* bytes, size_t count, uint64_t first, size_t ahead, uint32_t* values) {
  const Start start;
  const uint8_t* rows[kWidth<Word>];
  uint32_t low[kWidth<Word>], high[kWidth<Word>];
  for (size_t lane = 0; lane < kWidth<Word>; ++lane) {
    const size_t input = lane < count ? lane : count - 1;
    const uint64_t number = kind == Kind::chunks ? first + input : 0;
    rows[lane] = bytes + input * kStride<kind>;
    low[lane] = static_cast<uint32_t>(number), high[lane] = static_cast<uint32_t>(number >> 32);
  }
  Word number_low, number_high, block_bytes, value[8], first_words[4];
  load(low, number_low), load(high, number_high), spread(kBlockBytes, block_bytes);
  for (size_t i = 0; i < 8; ++i) spread(start.words[i], value[i]);
  for (size_t i = 0; i < 4; ++i) first_words[i] = value[i];
  constexpr size_t kBlocks = kStride<kind> / kBlockBytes;
  for (size_t block = 0; block < kBlocks; ++block) {
    for (size_t lane = 0; lane < kWidth<Word>; ++lane)
      __builtin_prefetch(rows[lane] + ahead + block * kBlockBytes, 0, 2);
    Word message[16], flags;
    spread(kind == Kind::parents
               ? uint32_t{kParent}
               : (block == 0 ? uint32_t{kChunkStart} : 0) | (block == kBlocks - 1 ? uint32_t{kChunkEnd} : 0),
           flags);
    load_block(rows, block * kBlockBytes, message);
    compress<Word>(value, message, number_low, number_high, block_bytes, flags, first_words);
  }
  uint32_t words[kValueWords][kWidth<Word>];
  for (size_t i = 0; i < kValueWords; ++i) store(words[i], value[i]);
  for (size_t lane = 0; lane < count; ++lane)
    for (size_t i = 0; i < kValueWords; ++i) values[lane * kValueWords + i] = words[i][lane];
}

template <Kind kind>
HD void hash_all(const uint8_t* bytes, size_t count, uint64_t first, uint32_t* values) {
  while (count > 0) {
    const size_t some = count < kWidth<Wide> ? count : kWidth<Wide>;
    const size_t ahead = count >= 2 * kWidth<Wide> ? kWidth<Wide> * kStride<kind> : 0;
    if (some <= kWidth<Register>)
      hash_lanes<kind, Register>(bytes, some, first, ahead, values);
    else
      hash_lanes<kind, Wide>(bytes, some, first, ahead, values);
    bytes += some * kStride<kind>, first += some, values += some * kValueWords, count -= some;
  }
}

void chunks(const uint8_t* bytes, size_t count, uint64_t first, uint32_t* values) {
  hash_all<Kind::chunks>(bytes, count, first, values);
}

// A group's values are written after its children were read, and lie before those of the next group.
void parents(const uint32_t* children, size_t count, uint32_t* values) {
  hash_all<Kind::parents>(reinterpret_cast<const uint8_t*>(children), count, 0, values);
}

}  // namespace

const Kernels kernels = {chunks, parents};

}  // namespace gradmesh::blake3::GM_ISA
