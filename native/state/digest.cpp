// BLAKE3 of a list of buffers: tiles of chunks, each reduced to one chaining value by whichever thread takes
// it, then the tree above them.
//
// A node's left subtree is the largest power of two of chunks that leaves one for the right. Built from below
// that is: in each level the nodes pair up in order, and an odd one at the end goes up as it is. So tiles of
// a power of two of chunks can be joined for some levels each by itself, the last one too, whatever its size.
#include "state/digest.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/assert.h"
#include "numeric/backend.h"
#include "state/blake3.h"
#include "state/kernels.h"
#include "state/stream.h"

namespace gradmesh {
namespace {

using namespace blake3;
static_assert(std::endian::native == std::endian::little, "chaining values are hashed as they lie in memory");

constexpr size_t kTileChunks = 128;
// Levels of a tile: higher ones have too few nodes for all lanes, and are done for all tiles together.
constexpr size_t kTileLevels = 3;
constexpr size_t kTileNodes = kTileChunks >> kTileLevels;
constexpr size_t kThreadTiles = 8;  // fewer are done before a second thread has woken

const Kernels& active_kernels() {
#if defined(GM_X86)
  if (backend::active() == backend::Backend::avx512) return avx512::kernels;
  if (backend::active() == backend::Backend::avx2) return avx2::kernels;
#endif
  return scalar::kernels;
}

// A chunk of 0 to 1024 bytes -> value[8]; flags is 0, or kRoot for the only one.
void hash_chunk(Bytes bytes, uint64_t number, uint32_t flags, uint32_t* value) {
  const Start start;
  uint32_t result[kValueWords];
  std::copy_n(start.words, kValueWords, result);
  const size_t blocks = std::max<size_t>(1, (bytes.size() + kBlockBytes - 1) / kBlockBytes);
  for (size_t block = 0; block < blocks; ++block) {
    const Bytes piece =
        bytes.subspan(block * kBlockBytes).first(std::min(kBlockBytes, bytes.size() - block * kBlockBytes));
    uint32_t message[kBlockWords] = {};
    if (!piece.empty()) std::memcpy(message, piece.data(), piece.size());
    const uint32_t place = (block == 0 ? kChunkStart : 0u) | (block == blocks - 1 ? kChunkEnd | flags : 0u);
    compress_block(result, message, number, static_cast<uint32_t>(piece.size()), place);
  }
  std::copy_n(result, kValueWords, value);
}

// values[count][8] -> the nodes one level above them, in the same place; returns how many.
size_t join_level(const Kernels& kernels, uint32_t* values, size_t count) {
  const size_t pairs = count / 2;
  kernels.parents(values, pairs, values);
  if (count % 2 != 0)
    std::copy_n(values + (count - 1) * kValueWords, kValueWords, values + pairs * kValueWords);
  return pairs + count % 2;
}

class Tree {
 public:
  Tree(std::span<const Bytes> buffers)
      : stream_(buffers),
        kernels_(active_kernels()),
        chunks_(std::max<uint64_t>(1, (stream_.length() + kChunkBytes - 1) / kChunkBytes)) {}

  uint64_t tiles() const { return (chunks_ + kTileChunks - 1) / kTileChunks; }

  // The chaining values of a tile's chunks -> values[its chunks][8]; returns how many.
  size_t hash_tile(uint64_t tile, uint32_t* values) const {
    const uint64_t first = tile * kTileChunks;
    const auto count = static_cast<size_t>(std::min<uint64_t>(kTileChunks, chunks_ - first));
    const bool last = first + count == chunks_;
    BufferStream::Reader reader(stream_, first * kChunkBytes);
    hash_whole(reader, first, last ? count - 1 : count, values);
    if (!last) return count;
    uint8_t copy[kChunkBytes];
    const std::span<uint8_t> rest(copy, static_cast<size_t>(stream_.length() - (chunks_ - 1) * kChunkBytes));
    reader.copy(rest);
    hash_chunk(rest, chunks_ - 1, chunks_ == 1 ? uint32_t{kRoot} : 0, values + (count - 1) * kValueWords);
    return count;
  }

  const Kernels& kernels() const { return kernels_; }

 private:
  // Whole chunks. Those that lie together are hashed where they are; others are gathered first.
  void hash_whole(BufferStream::Reader& reader, uint64_t first, size_t count, uint32_t* values) const {
    alignas(64) uint8_t gathered[kLanesMax * kChunkBytes];
    while (count > 0) {
      size_t some = std::min(count, reader.together().size() / kChunkBytes);
      if (some >= std::min(count, kLanesMax)) {
        kernels_.chunks(reader.together().data(), some, first, values);
        reader.skip(some * kChunkBytes);
      } else {
        some = std::min(count, kLanesMax);
        reader.copy(std::span(gathered).first(some * kChunkBytes));
        kernels_.chunks(gathered, some, first, values);
      }
      first += some, count -= some, values += some * kValueWords;
    }
  }

  const BufferStream stream_;
  const Kernels& kernels_;
  const uint64_t chunks_;
};

// nodes[tiles][kTileNodes][8], the last tile's may be fewer; returns how many, tiles shared by the threads.
size_t hash_tiles(const Tree& tree, uint32_t* nodes, ThreadPool* pool) {
  std::atomic<uint64_t> next = 0;
  size_t last = 0;  // nodes of the last tile
  const auto work = [&](uint32_t) {
    alignas(64) uint32_t values[kTileChunks * kValueWords];
    for (uint64_t tile; (tile = next.fetch_add(1, std::memory_order_relaxed)) < tree.tiles();) {
      size_t count = tree.hash_tile(tile, values);
      for (size_t level = 0; level < kTileLevels; ++level) count = join_level(tree.kernels(), values, count);
      std::copy_n(values, count * kValueWords, nodes + tile * kTileNodes * kValueWords);
      if (tile == tree.tiles() - 1) last = count;
    }
  };
  if (pool == nullptr || tree.tiles() < kThreadTiles)
    work(0);
  else
    pool->run(work);
  return (tree.tiles() - 1) * kTileNodes + last;
}

}  // namespace

StateDigest state_digest(std::span<const Bytes> buffers, ThreadPool* pool) {
  const Tree tree(buffers);
  const bool one = tree.tiles() == 1;
  std::vector<uint32_t> values((one ? kTileChunks : tree.tiles() * kTileNodes) * kValueWords);
  size_t count = one ? tree.hash_tile(0, values.data()) : hash_tiles(tree, values.data(), pool);
  while (count > 2) count = join_level(tree.kernels(), values.data(), count);
  if (count == 2) parent(values.data(), kRoot, values.data());
  StateDigest digest;
  std::memcpy(digest.data(), values.data(), digest.size());
  return digest;
}

}  // namespace gradmesh
