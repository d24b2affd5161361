// BLAKE3 of device memory: a thread hashes a chunk, a block joins its chunks to one chaining value, and
// blocks over such values join those, until one block is left. The tree is the CPU's
// (native/state/digest.cpp): a tile is a power of two of chunks, hence a whole subtree, and an odd node at
// the end of a level goes up as it is.
#include "launchers.h"
#include "state/blake3.h"

namespace gradmesh::cuda {
namespace {

using namespace blake3;

// ---- helpers ----

constexpr unsigned kTile = 128;  // chunks or chaining values a block joins, and its threads

// Words of a tile's nodes by word, so that threads that go through nodes touch neighbouring memory banks.
struct Tile {
  uint32_t words[kValueWords][kTile];
};

__device__ __forceinline__ void put(Tile& tile, unsigned node, const uint32_t (&value)[kValueWords]) {
#pragma unroll
  for (unsigned i = 0; i < kValueWords; ++i) tile.words[i][node] = value[i];
}

// Joins nodes [0, count) to one, which becomes the digest where it is the root. Every thread of the block
// calls.
__device__ __forceinline__ void join(Tile& tile, unsigned count, bool root, uint32_t* target) {
  while (count > 1) {
    const unsigned pairs = count / 2;
    uint32_t value[kValueWords] = {};
    if (threadIdx.x < pairs) {
      uint32_t children[kBlockWords];
#pragma unroll
      for (unsigned i = 0; i < kBlockWords; ++i)
        children[i] = tile.words[i % kValueWords][2 * threadIdx.x + i / kValueWords];
      parent(children, root && count == 2 ? uint32_t{kRoot} : 0, value);
    } else if (threadIdx.x == pairs && count % 2 != 0) {
#pragma unroll
      for (unsigned i = 0; i < kValueWords; ++i) value[i] = tile.words[i][count - 1];
    }
    __syncthreads();
    count = (count + 1) / 2;
    if (threadIdx.x < count) put(tile, threadIdx.x, value);
    __syncthreads();
  }
  if (threadIdx.x < kValueWords) target[threadIdx.x] = tile.words[threadIdx.x][0];
}

// A block of the message: whole ones 16 bytes at a time, the last of the bytes one by one, zeros behind it.
__device__ __forceinline__ void load_block(const uint8_t* source, size_t bytes,
                                           uint32_t (&message)[kBlockWords]) {
  if (bytes >= kBlockBytes) {
    const uint4* quads = reinterpret_cast<const uint4*>(source);
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
      const uint4 quad = quads[i];
      message[4 * i] = quad.x, message[4 * i + 1] = quad.y;
      message[4 * i + 2] = quad.z, message[4 * i + 3] = quad.w;
    }
    return;
  }
#pragma unroll
  for (unsigned i = 0; i < kBlockWords; ++i) {
    uint32_t word = 0;
#pragma unroll
    for (unsigned j = 0; j < 4; ++j)
      if (4 * i + j < bytes) word |= static_cast<uint32_t>(source[4 * i + j]) << 8 * j;
    message[i] = word;
  }
}

// ---- kernels ----

// Chunk blockIdx * kTile + thread of each thread; values[block][8], or the digest where all fit one block.
__global__ void __launch_bounds__(kTile)
    chunks_kernel(const uint8_t* source, size_t bytes, uint32_t* values) {
  __shared__ Tile tile;
  const size_t chunks = bytes <= kChunkBytes ? 1 : (bytes + kChunkBytes - 1) / kChunkBytes;
  const size_t first = static_cast<size_t>(blockIdx.x) * kTile, chunk = first + threadIdx.x;
  if (chunk < chunks) {
    source += chunk * kChunkBytes, bytes -= chunk * kChunkBytes;
    const unsigned length = bytes < kChunkBytes ? static_cast<unsigned>(bytes) : kChunkBytes;
    const unsigned blocks = length <= kBlockBytes ? 1 : (length + kBlockBytes - 1) / kBlockBytes;
    const Start start;
    uint32_t value[kValueWords];
#pragma unroll
    for (unsigned i = 0; i < kValueWords; ++i) value[i] = start.words[i];
    for (unsigned block = 0; block < blocks; ++block) {
      const unsigned left = length - block * kBlockBytes;
      uint32_t flags = 0;
      if (block == 0) flags |= kChunkStart;
      if (block == blocks - 1) flags |= kChunkEnd;
      if (block == blocks - 1 && chunks == 1) flags |= kRoot;
      uint32_t message[kBlockWords];
      load_block(source + block * kBlockBytes, left, message);
      compress_block(value, message, chunk, left < kBlockBytes ? left : kBlockBytes, flags);
    }
    put(tile, threadIdx.x, value);
  }
  __syncthreads();
  const size_t left = chunks - first;
  join(tile, left < kTile ? static_cast<unsigned>(left) : kTile, gridDim.x == 1,
       values + blockIdx.x * kValueWords);
}

// The same one level of tiles higher: children[count][8] -> values[block][8].
__global__ void __launch_bounds__(kTile)
    parents_kernel(const uint32_t* children, size_t count, uint32_t* values) {
  __shared__ Tile tile;
  const size_t first = static_cast<size_t>(blockIdx.x) * kTile;
  const unsigned nodes = count - first < kTile ? static_cast<unsigned>(count - first) : kTile;
  for (unsigned i = threadIdx.x; i < nodes * kValueWords; i += kTile)
    tile.words[i % kValueWords][i / kValueWords] = children[first * kValueWords + i];
  __syncthreads();
  join(tile, nodes, gridDim.x == 1, values + blockIdx.x * kValueWords);
}

size_t tiles_of(size_t nodes) { return (nodes + kTile - 1) / kTile; }

size_t chunks_of(size_t bytes) { return bytes == 0 ? 1 : (bytes + kChunkBytes - 1) / kChunkBytes; }

}  // namespace

// ---- launchers ----

size_t digest_scratch_bytes(size_t bytes) {
  const size_t tiles = tiles_of(chunks_of(bytes));
  return (tiles + tiles_of(tiles)) * kDigestBytes;  // a level, and the one above; they take turns
}

cudaError_t digest(const uint8_t* source, size_t bytes, void* scratch, uint8_t* digest, cudaStream_t stream) {
  size_t count = tiles_of(chunks_of(bytes));
  uint32_t* const root = reinterpret_cast<uint32_t*>(digest);
  uint32_t* level = static_cast<uint32_t*>(scratch);
  uint32_t* above = level + count * kValueWords;
  uint32_t* target = count == 1 ? root : level;
  cudaError_t error =
      LAUNCH(chunks_kernel, static_cast<unsigned>(count), kTile, 0, stream, source, bytes, target);
  while (error == cudaSuccess && count > 1) {
    const size_t tiles = tiles_of(count);
    target = tiles == 1 ? root : above;
    error = LAUNCH(parents_kernel, static_cast<unsigned>(tiles), kTile, 0, stream, level, count, target);
    uint32_t* const spare = level;
    level = above, above = spare, count = tiles;
  }
  return error;
}

}  // namespace gradmesh::cuda
