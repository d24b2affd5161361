// The twin of topk: a thread block for each block; select.h says how the kept elements are found.
#include "codec/select.h"

namespace gradmesh::cuda {
namespace {

// ---- helpers ----

struct Block {
  size_t at;
  unsigned count, kept;
  topk::Places places;
};
__device__ __forceinline__ Block block_of(const CodecOptions& options, size_t elements) {
  Block block;
  block.at = static_cast<size_t>(blockIdx.x) * options.block;
  block.count =
      static_cast<unsigned>(elements - block.at < options.block ? elements - block.at : options.block);
  block.kept = static_cast<unsigned>(topk::kept_of(options, block.count));
  block.places = topk::places(options, block.at, elements);
  return block;
}

// tile[count], there for all threads, into the block's part of the wire; values and index have room for kept.
__device__ __forceinline__ void encode_tile(const CodecOptions& options, const Block& block,
                                            const float* tile, float* values, uint8_t* wire) {
  __shared__ Selection selection;
  __shared__ uint32_t word;
  uint16_t* index = reinterpret_cast<uint16_t*>(values + options.k);
  find_level(tile, block.count, block.kept, &selection);
  make_bitmaps(tile, block.count, &selection);
  list_kept(tile, block.count, selection, values, index);
  pack_indices(index, block.kept, topk::width(options), wire + block.places.indices);
  encode_kept(options.values, values, block.kept, wire + block.places.values, wire + block.places.scale,
              &word);
}

// Leaves in slot[i] one more than the number of the value of element i, 0 for none: of equal indices the
// last.
__device__ __forceinline__ void read_slots(const CodecOptions& options, const Block& block,
                                           const uint8_t* wire, uint32_t* slot) {
  const uint32_t width = topk::width(options);
  for (unsigned i = threadIdx.x; i < block.count; i += blockDim.x) slot[i] = 0;
  __syncthreads();
  for (unsigned j = threadIdx.x; j < block.kept; j += blockDim.x) {
    const uint32_t i = topk::index_of(wire + block.places.indices, j, width);
    if (i < block.count) atomicMax(&slot[i], j + 1);
  }
  __syncthreads();
}
__device__ __forceinline__ uint32_t decoded_bits(const CodecOptions& options, const Block& block,
                                                 const uint8_t* wire, uint32_t slot) {
  return slot == 0
             ? 0
             : kept::decode(options.values, wire + block.places.values, slot - 1, wire + block.places.scale);
}

// ---- kernels ----

__global__ void __launch_bounds__(kSparseThreads)
    topk_encode_kernel(CodecOptions options, const float* source, size_t elements, uint8_t* wire) {
  DYNAMIC_SHARED(float, tile);
  const Block block = block_of(options, elements);
  const float4* from = reinterpret_cast<const float4*>(source + block.at);
  const unsigned whole = block.count / 4;
#pragma unroll 4
  for (unsigned i = threadIdx.x; i < whole; i += blockDim.x) reinterpret_cast<float4*>(tile)[i] = from[i];
  for (unsigned i = 4 * whole + threadIdx.x; i < block.count; i += blockDim.x) tile[i] = source[block.at + i];
  __syncthreads();
  encode_tile(options, block, tile, tile + options.block, wire);
}

template <bool adds>
__global__ void __launch_bounds__(kSparseThreads)
    topk_decode_kernel(CodecOptions options, const uint8_t* wire, size_t elements, float* target) {
  DYNAMIC_SHARED(uint32_t, slot);
  const Block block = block_of(options, elements);
  read_slots(options, block, wire, slot);
  write_decoded_block<adds>(target + block.at, block.count,
                            [&](unsigned i) { return decoded_bits(options, block, wire, slot[i]); });
}

__global__ void __launch_bounds__(kSparseThreads)
    topk_decode_add_encode_kernel(CodecOptions options, const uint8_t* wire, const float* source,
                                  size_t elements, uint8_t* result) {
  DYNAMIC_SHARED(float, tile);
  uint32_t* slot = reinterpret_cast<uint32_t*>(tile + options.block);
  const Block block = block_of(options, elements);
  read_slots(options, block, wire, slot);
  for (unsigned i = threadIdx.x; i < block.count; i += blockDim.x) {
    tile[i] = source[block.at + i];
    write_decoded<true>(tile + i, decoded_bits(options, block, wire, slot[i]));
  }
  __syncthreads();
  encode_tile(options, block, tile, tile + options.block, result);
}

__global__ void __launch_bounds__(kSparseThreads)
    topk_mean_kernel(CodecOptions options, const uint8_t* wires, size_t stride, uint32_t ranks,
                     size_t elements, uint8_t* wire) {
  DYNAMIC_SHARED(float, tile);
  uint32_t* slot = reinterpret_cast<uint32_t*>(tile + options.block);
  const Block block = block_of(options, elements);
  for (uint32_t rank = 0; rank < ranks; rank++) {
    const uint8_t* from = wires + rank * stride;
    read_slots(options, block, from, slot);
    for (unsigned i = threadIdx.x; i < block.count; i += blockDim.x) {
      const uint32_t bits = decoded_bits(options, block, from, slot[i]);
      if (rank == 0)
        write_decoded<false>(tile + i, bits);
      else
        write_decoded<true>(tile + i, bits);
    }
    __syncthreads();
  }
  const float divisor = static_cast<float>(ranks);
  for (unsigned i = threadIdx.x; i < block.count; i += blockDim.x)
    tile[i] = exact::canonical(exact::div(tile[i], divisor));
  __syncthreads();
  encode_tile(options, block, tile, tile + options.block, wire);
}

// ---- launchers ----

// Of the kernels that encode: the tile, and behind it what was kept, or slots before that.
size_t shared_bytes(const CodecOptions& options, bool with_slots) {
  const size_t kept = options.k * (sizeof(float) + sizeof(uint16_t));
  const size_t slots = with_slots ? options.block * sizeof(uint32_t) : 0;
  return options.block * sizeof(float) + (kept > slots ? kept : slots);
}

int encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements, uint8_t* wire,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(topk_encode_kernel, blocks_for(elements, options.block), kSparseThreads,
                shared_bytes(options, false), stream, options, source, elements, wire);
}
int decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements, float* target,
           void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(topk_decode_kernel<false>, blocks_for(elements, options.block), kSparseThreads,
                options.block * sizeof(uint32_t), stream, options, wire, elements, target);
}
int decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
               float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(topk_decode_kernel<true>, blocks_for(elements, options.block), kSparseThreads,
                options.block * sizeof(uint32_t), stream, options, wire, elements, target);
}
int decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&, const uint8_t* wire,
                      const float* source, size_t elements, uint8_t* result, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(topk_decode_add_encode_kernel, blocks_for(elements, options.block), kSparseThreads,
                shared_bytes(options, true), stream, options, wire, source, elements, result);
}
int mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride, uint32_t ranks,
         size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(topk_mean_kernel, blocks_for(elements, options.block), kSparseThreads,
                shared_bytes(options, true), stream, options, wires, stride, ranks, elements, wire);
}

}  // namespace

extern const DeviceCodecLoops topk_loops;
const DeviceCodecLoops topk_loops = {encode, decode,  decode_add, decode_add_encode,
                                     mean,   nullptr, nullptr,    nullptr};

}  // namespace gradmesh::cuda
