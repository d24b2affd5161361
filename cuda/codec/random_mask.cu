// The twin of random_mask: a thread block for each block. Whoever codes or decodes works out the same places,
// so the mean needs none: it goes value by value.
#include "codec/kept_values.h"
#include "codec/random_mask.h"

namespace gradmesh::cuda {
namespace {

using codecs::random_mask;

// ---- helpers ----

struct Block {
  size_t at;
  unsigned count, kept;
  random_mask::Places places;
};
__device__ __forceinline__ Block block_of(const CodecOptions& options, size_t elements) {
  Block block;
  block.at = static_cast<size_t>(blockIdx.x) * options.block;
  block.count =
      static_cast<unsigned>(elements - block.at < options.block ? elements - block.at : options.block);
  block.kept = static_cast<unsigned>(random_mask::kept_of(options, block.count));
  block.places = random_mask::places(options, block.at, elements);
  return block;
}

// Calls body(j, i) where value j is element i of the block, each once. In a whole block no number is passed
// over; in a tail the first warp counts those that are not.
template <class Body>
__device__ __forceinline__ void each_kept(const CodecOptions& options, const CodecKey& key,
                                          const Block& block, Body body) {
  const random_mask::Order order = random_mask::order(options, key, block.at, block.count);
  if (block.count == order.mask + 1) {
    for (unsigned j = threadIdx.x; j < block.kept; j += blockDim.x) body(j, random_mask::place(order, j));
  } else if (threadIdx.x < kWarp) {
    const uint32_t lower = (1u << threadIdx.x) - 1;
    for (unsigned found = 0, from = 0; found < block.kept; from += kWarp) {
      const unsigned number = from + threadIdx.x;
      const uint32_t i = random_mask::place(order, number);
      const uint32_t inside = __ballot_sync(kEvery, number <= order.mask && i < block.count);
      const unsigned j = found + static_cast<unsigned>(__popc(inside & lower));
      if ((inside >> threadIdx.x & 1u) != 0 && j < block.kept) body(j, i);
      found += static_cast<unsigned>(__popc(inside));
    }
  }
}

__device__ __forceinline__ uint32_t decoded_bits(const CodecOptions& options, const Block& block,
                                                 const uint8_t* wire, size_t j) {
  return kept::decode(options.values, wire + block.places.values, j, wire + block.places.scale);
}
// values[kept], there for all threads, into the block's part of the wire.
__device__ __forceinline__ void encode_values(const CodecOptions& options, const Block& block,
                                              const float* values, uint8_t* wire) {
  __shared__ uint32_t word;
  encode_kept(options.values, values, block.kept, wire + block.places.values, wire + block.places.scale,
              &word);
}

// ---- kernels ----

__global__ void __launch_bounds__(kSparseThreads)
    random_mask_encode_kernel(CodecOptions options, CodecKey key, const float* source, size_t elements,
                              uint8_t* wire) {
  DYNAMIC_SHARED(float, values);
  const Block block = block_of(options, elements);
  each_kept(options, key, block, [&](unsigned j, uint32_t i) { values[j] = source[block.at + i]; });
  __syncthreads();
  encode_values(options, block, values, wire);
}

template <bool adds>
__global__ void __launch_bounds__(kSparseThreads)
    random_mask_decode_kernel(CodecOptions options, CodecKey key, const uint8_t* wire, size_t elements,
                              float* target) {
  DYNAMIC_SHARED(uint32_t, tile);
  const Block block = block_of(options, elements);
  for (unsigned i = threadIdx.x; i < block.count; i += blockDim.x) tile[i] = 0;
  __syncthreads();
  each_kept(options, key, block,
            [&](unsigned j, uint32_t i) { tile[i] = decoded_bits(options, block, wire, j); });
  __syncthreads();
  write_decoded_block<adds>(target + block.at, block.count, [&](unsigned i) { return tile[i]; });
}

// The two keys may choose different elements: the sum is there whole before it is coded.
__global__ void __launch_bounds__(kSparseThreads)
    random_mask_decode_add_encode_kernel(CodecOptions options, CodecKey from, CodecKey to,
                                         const uint8_t* wire, const float* source, size_t elements,
                                         uint8_t* result) {
  DYNAMIC_SHARED(float, tile);
  float* values = tile + options.block;
  const Block block = block_of(options, elements);
  for (unsigned i = threadIdx.x; i < block.count; i += blockDim.x) {
    tile[i] = source[block.at + i];
    write_decoded<true>(tile + i, 0);  // what is not kept is +0, and is added too
  }
  __syncthreads();
  each_kept(options, from, block, [&](unsigned j, uint32_t i) {
    tile[i] = source[block.at + i];
    write_decoded<true>(tile + i, decoded_bits(options, block, wire, j));
  });
  __syncthreads();
  each_kept(options, to, block, [&](unsigned j, uint32_t i) { values[j] = tile[i]; });
  __syncthreads();
  encode_values(options, block, values, result);
}

__global__ void __launch_bounds__(kSparseThreads)
    random_mask_mean_kernel(CodecOptions options, const uint8_t* wires, size_t stride, uint32_t ranks,
                            size_t elements, uint8_t* wire) {
  DYNAMIC_SHARED(float, values);
  const Block block = block_of(options, elements);
  const float divisor = static_cast<float>(ranks);
  for (unsigned j = threadIdx.x; j < block.kept; j += blockDim.x) {
    float sum;
    write_decoded<false>(&sum, decoded_bits(options, block, wires, j));
    for (uint32_t rank = 1; rank < ranks; rank++)
      write_decoded<true>(&sum, decoded_bits(options, block, wires + rank * stride, j));
    values[j] = exact::canonical(exact::div(sum, divisor));
  }
  __syncthreads();
  encode_values(options, block, values, wire);
}

// ---- launchers ----

size_t value_bytes(const CodecOptions& options) {
  return random_mask::kept_of(options, options.block) * sizeof(float);
}

int encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
           uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(random_mask_encode_kernel, blocks_for(elements, options.block), kSparseThreads,
                value_bytes(options), stream, options, key, source, elements, wire);
}
int decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
           float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(random_mask_decode_kernel<false>, blocks_for(elements, options.block), kSparseThreads,
                options.block * sizeof(float), stream, options, key, wire, elements, target);
}
int decode_add(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
               float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(random_mask_decode_kernel<true>, blocks_for(elements, options.block), kSparseThreads,
                options.block * sizeof(float), stream, options, key, wire, elements, target);
}
int decode_add_encode(const CodecOptions& options, const CodecKey& from, const CodecKey& to,
                      const uint8_t* wire, const float* source, size_t elements, uint8_t* result, void*,
                      DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(random_mask_decode_add_encode_kernel, blocks_for(elements, options.block), kSparseThreads,
                options.block * sizeof(float) + value_bytes(options), stream, options, from, to, wire, source,
                elements, result);
}
int mean(const CodecOptions& options, const CodecKey&, const uint8_t* wires, size_t stride, uint32_t ranks,
         size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(random_mask_mean_kernel, blocks_for(elements, options.block), kSparseThreads,
                value_bytes(options), stream, options, wires, stride, ranks, elements, wire);
}

}  // namespace

extern const DeviceCodecLoops random_mask_loops;
const DeviceCodecLoops random_mask_loops = {encode, decode,  decode_add, decode_add_encode,
                                            mean,   nullptr, nullptr,    nullptr};

}  // namespace gradmesh::cuda
