// The twin of eden: a thread block for 4096 elements, be they one block of the codec or many. Each thread
// holds 16 elements in registers, which is four stages of butterflies, and shared memory turns them between
// the stages.
#include "codec/eden.h"
#include "launch.h"
#include "table.h"

namespace gradmesh::cuda {
namespace {

using codecs::eden;

// ---- helpers ----

constexpr unsigned kThreads = 256, kEach = 16, kChunk = kThreads * kEach, kBlocksMost = kChunk / 64;
constexpr unsigned kWarp = 32, kEvery = 0xffffffffu;

// What a thread block works on. Whole blocks come in chunks of kChunk elements; a shorter last block is one
// of its own.
struct Chunk {
  size_t base;     // its first element
  unsigned block;  // elements of a block, for the last one padded
  unsigned count;  // elements that there are
  unsigned blocks;
};
HD size_t whole_elements(const CodecOptions& options, size_t elements) {
  return elements - elements % options.block;
}
__device__ __forceinline__ Chunk chunk_of(const CodecOptions& options, size_t elements) {
  const size_t whole = whole_elements(options, elements), base = static_cast<size_t>(blockIdx.x) * kChunk;
  Chunk chunk;
  const bool tail = base >= whole;
  chunk.base = tail ? whole : base;
  const size_t left = (tail ? elements : whole) - chunk.base;
  chunk.count = static_cast<unsigned>(left < kChunk ? left : kChunk);
  chunk.block = static_cast<unsigned>(tail ? eden::padded(options, left) : options.block);
  chunk.blocks = tail ? 1 : chunk.count / chunk.block;
  return chunk;
}
unsigned chunks_for(const CodecOptions& options, size_t elements) {
  return blocks_for(whole_elements(options, elements), kChunk) + (elements % options.block != 0 ? 1u : 0u);
}

struct Shared {
  float x[kChunk + kChunk / 16];  // see place()
  uint8_t code[kChunk];
  uint32_t signs[2][kChunk / 32];  // of both rotations
  uint32_t largest[kBlocksMost];
  float norm[kBlocksMost], scale[kBlocksMost], centroid[16];
};
// One float is left out after every 16, so that threads that are 16 elements apart use different banks.
__device__ __forceinline__ unsigned place(unsigned i) { return i + i / 16; }
// Element r of this thread: 16 in a row; or 16 that are 16 apart; or 256 apart, as global memory is read.
__device__ __forceinline__ unsigned near(unsigned r) { return threadIdx.x * kEach + r; }
__device__ __forceinline__ unsigned middle(unsigned r) {
  return threadIdx.x / 16 * 256 + r * 16 + threadIdx.x % 16;
}
__device__ __forceinline__ unsigned far(unsigned r) { return r * kThreads + threadIdx.x; }

// The stages of strides first, 2 first, 4 first and 8 first, as far as they are within a block.
__device__ __forceinline__ void stages(float* h, unsigned first, unsigned block) {
#pragma unroll
  for (unsigned half = 1; half < kEach; half *= 2) {
    if (first * half >= block) return;
#pragma unroll
    for (unsigned i = 0; i < kEach; i++) {
      if ((i & half) != 0) continue;
      const float a = h[i], b = h[i + half];
      h[i] = exact::add(a, b);
      h[i + half] = exact::sub(a, b);
    }
  }
}
// h holds the near elements; after it the far ones.
__device__ __forceinline__ void rotate(float* h, unsigned block, Shared* shared) {
  stages(h, 1, block);
  __syncthreads();  // others may still read what was there
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) shared->x[place(near(r))] = h[r];
  __syncthreads();
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) h[r] = shared->x[place(middle(r))];
  stages(h, 16, block);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) shared->x[place(middle(r))] = h[r];
  __syncthreads();
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) h[r] = shared->x[place(far(r))];
  stages(h, 256, block);
}
__device__ __forceinline__ void far_to_near(float* h, Shared* shared) {
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) shared->x[place(far(r))] = h[r];
  __syncthreads();
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) h[r] = shared->x[place(near(r))];
}
// The signs of the near elements of rotation `which`.
__device__ __forceinline__ void flip_near(float* h, unsigned which, const Shared& shared) {
  const uint32_t signs = shared.signs[which][threadIdx.x / 2] >> (threadIdx.x % 2 * 16);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) h[r] = eden::negate_if(h[r], signs >> r & 1u);
}
__device__ __forceinline__ float flip_far(float x, unsigned r, const Shared& shared) {
  const unsigned i = far(r);
  return eden::negate_if(x, shared.signs[0][i / 32] >> i % 32 & 1u);
}
// One random word a thread.
__device__ __forceinline__ void fill_signs(const CodecKey& key, const Chunk& chunk, Shared* shared) {
  const unsigned which = threadIdx.x / (kChunk / 32), word = threadIdx.x % (kChunk / 32);
  shared->signs[which][word] =
      eden::signs(key, (which == 0 ? 0 : eden::kSecond) + (key.first + chunk.base) / 32 + word);
}
__device__ __forceinline__ void fill_centroids(uint32_t bits, Shared* shared) {
  if (threadIdx.x < 1u << bits) shared->centroid[threadIdx.x] = eden::centroid(bits, threadIdx.x);
}

// The fixed tree of each block: result(b, sum of fma(a(i), b(i), ..)) by one thread. Lane l of block b is one
// thread, sixteen of them fold.
template <class Term, class Result>
__device__ __forceinline__ void block_dots(const Chunk& chunk, Term term, Result result) {
  for (unsigned first = 0; first < chunk.blocks * 16; first += kThreads) {
    const unsigned lane = first + threadIdx.x, b = lane / 16;
    float sum = 0.0f;
    if (b < chunk.blocks) {
#pragma unroll 8
      for (unsigned i = lane % 16; i < chunk.block; i += 16) sum = term(b * chunk.block + i, sum);
    }
    for (int width = 8; width > 0; width /= 2)
      sum = exact::add(sum, __shfl_down_sync(kEvery, sum, width, 16));
    if (b < chunk.blocks && lane % 16 == 0) result(b, sum);
  }
}

// x: this thread's far elements, +0 where there are none.
__device__ __forceinline__ void scale_to_one(const Chunk& chunk, float* x, Shared* shared) {
  if (threadIdx.x < kBlocksMost) shared->largest[threadIdx.x] = 0;
  __syncthreads();
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) {  // 32 in a row are of one block
    const unsigned most = __reduce_max_sync(kEvery, exact::bits(x[r]) & 0x7fffffffu);
    if (threadIdx.x % kWarp == 0) atomicMax(&shared->largest[far(r) / chunk.block % kBlocksMost], most);
  }
  __syncthreads();
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) {
    const uint32_t largest = shared->largest[far(r) / chunk.block % kBlocksMost];
    x[r] = exact::mul(x[r], eden::inverse_power(eden::exponent(static_cast<int32_t>(largest))));
  }
}
__device__ __forceinline__ bool plain(uint32_t largest) { return largest > 0 && largest < 0x7f800000u; }

__device__ __forceinline__ void store_codes(const CodecOptions& options, const Chunk& chunk,
                                            const Shared& shared, uint8_t* wire) {
  if (near(0) >= chunk.blocks * chunk.block) return;
  const bool some = plain(shared.largest[near(0) / chunk.block]);
  uint64_t codes = 0;
#pragma unroll
  for (unsigned r = 0; r < kEach; r++)
    codes |= static_cast<uint64_t>(shared.code[near(r)]) << r * options.bits;
  if (!some) codes = 0;
  uint16_t* const to = reinterpret_cast<uint16_t*>(wire + (chunk.base + near(0)) / 8 * options.bits);
  for (unsigned b = 0; b < options.bits; b++) to[b] = static_cast<uint16_t>(codes >> 16 * b);
}

// x: this thread's far elements, +0 where there are none; used up.
__device__ __forceinline__ void encode_chunk(const CodecOptions& options, const CodecKey& key,
                                             const Chunk& chunk, float* x, size_t elements, uint8_t* wire,
                                             Shared* shared) {
  __syncthreads();
  fill_signs(key, chunk, shared);
  fill_centroids(options.bits, shared);
  scale_to_one(chunk, x, shared);
  far_to_near(x, shared);
  block_dots(
      chunk, [=](unsigned i, float sum) { return exact::fma(shared->x[place(i)], shared->x[place(i)], sum); },
      [=](unsigned b, float sum) { shared->norm[b] = sum; });
  flip_near(x, 0, *shared);
  rotate(x, chunk.block, shared);
  far_to_near(x, shared);
  flip_near(x, 1, *shared);
  rotate(x, chunk.block, shared);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) {
    const float norm = shared->norm[far(r) / chunk.block % kBlocksMost];
    shared->code[far(r)] = static_cast<uint8_t>(
        eden::code(options.bits, exact::mul(x[r], eden::inverse_norm(chunk.block, norm))));
    shared->x[place(far(r))] = x[r];
  }
  __syncthreads();
  block_dots(
      chunk,
      [=](unsigned i, float sum) {
        return exact::fma(shared->x[place(i)], shared->centroid[shared->code[i]], sum);
      },
      [=](unsigned b, float sum) { shared->scale[b] = sum; });
  const bool least = options.scale == static_cast<uint32_t>(eden::Fit::least);
  float* const scales =
      reinterpret_cast<float*>(wire + eden::code_bytes(options, elements)) + chunk.base / options.block;
  // The second sum is needed for the least squares only.
  Chunk summed = chunk;
  if (!least) summed.block = 16;
  block_dots(
      summed,
      [=](unsigned i, float sum) {
        const float c = shared->centroid[shared->code[i]];
        return exact::fma(c, c, sum);
      },
      [=](unsigned b, float cc) {
        const uint32_t largest = shared->largest[b];
        float scale = exact::from_bits(largest == 0 ? 0 : exact::kNan);
        if (plain(largest))
          scale = eden::block_scale(options, chunk.block, shared->norm[b], shared->scale[b], cc,
                                    eden::exponent(static_cast<int32_t>(largest)));
        scales[b] = scale;
      });
  store_codes(options, chunk, *shared, wire);
}

// x: this thread's far elements of what the wire says.
__device__ __forceinline__ void decode_chunk(const CodecOptions& options, const CodecKey& key,
                                             const Chunk& chunk, const uint8_t* wire, size_t elements,
                                             float* x, Shared* shared) {
  __syncthreads();
  fill_signs(key, chunk, shared);
  fill_centroids(options.bits, shared);
  const float* const scales =
      reinterpret_cast<const float*>(wire + eden::code_bytes(options, elements)) + chunk.base / options.block;
  if (threadIdx.x < chunk.blocks) shared->scale[threadIdx.x] = scales[threadIdx.x];
  uint64_t codes = 0;
  if (near(0) < chunk.blocks * chunk.block) {
    const uint16_t* const from =
        reinterpret_cast<const uint16_t*>(wire + (chunk.base + near(0)) / 8 * options.bits);
    for (unsigned b = 0; b < options.bits; b++) codes |= static_cast<uint64_t>(from[b]) << 16 * b;
  }
  __syncthreads();
#pragma unroll
  for (unsigned r = 0; r < kEach; r++)
    x[r] = shared->centroid[static_cast<uint32_t>(codes >> r * options.bits) & ((1u << options.bits) - 1)];
  rotate(x, chunk.block, shared);
  far_to_near(x, shared);
  flip_near(x, 1, *shared);
  rotate(x, chunk.block, shared);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) {
    const float scale = shared->scale[far(r) / chunk.block % kBlocksMost];
    x[r] = not_finite(scale) ? exact::from_bits(exact::kNan)
                             : clamp_finite(flip_far(exact::mul(x[r], scale), r, *shared));
  }
}

// ---- kernels ----

__global__ void __launch_bounds__(kThreads, 3)
    eden_encode_kernel(CodecOptions options, CodecKey key, const float* source, size_t elements,
                       uint8_t* wire) {
  __shared__ Shared shared;
  const Chunk chunk = chunk_of(options, elements);
  float x[kEach];
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) x[r] = far(r) < chunk.count ? source[chunk.base + far(r)] : 0.0f;
  encode_chunk(options, key, chunk, x, elements, wire, &shared);
}

template <bool adds>
__global__ void __launch_bounds__(kThreads, 4)
    eden_decode_kernel(CodecOptions options, CodecKey key, const uint8_t* wire, size_t elements,
                       float* target) {
  __shared__ Shared shared;
  const Chunk chunk = chunk_of(options, elements);
  float x[kEach];
  decode_chunk(options, key, chunk, wire, elements, x, &shared);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) {
    if (far(r) >= chunk.count) continue;
    float* const to = target + chunk.base + far(r);
    *to = adds ? exact::canonical(exact::add(*to, x[r])) : x[r];
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    eden_decode_add_encode_kernel(CodecOptions options, CodecKey from, CodecKey to, const uint8_t* wire,
                                  const float* source, size_t elements, uint8_t* result) {
  __shared__ Shared shared;
  const Chunk chunk = chunk_of(options, elements);
  float x[kEach];
  decode_chunk(options, from, chunk, wire, elements, x, &shared);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++)
    x[r] = far(r) < chunk.count ? exact::canonical(exact::add(source[chunk.base + far(r)], x[r])) : 0.0f;
  encode_chunk(options, to, chunk, x, elements, result, &shared);
}

__global__ void __launch_bounds__(kThreads, 2)
    eden_mean_kernel(CodecOptions options, CodecKey key, const uint8_t* wires, size_t stride, uint32_t ranks,
                     size_t elements, uint8_t* wire) {
  __shared__ Shared shared;
  const Chunk chunk = chunk_of(options, elements);
  float x[kEach], sum[kEach];
#pragma unroll
  for (unsigned r = 0; r < kEach; r++) sum[r] = 0.0f;
  for (uint32_t rank = 0; rank < ranks; rank++) {
    key.rank = rank;
    decode_chunk(options, key, chunk, wires + rank * stride, elements, x, &shared);
#pragma unroll
    for (unsigned r = 0; r < kEach; r++)
      sum[r] = rank == 0 ? x[r] : exact::canonical(exact::add(sum[r], x[r]));
  }
  const float divisor = static_cast<float>(ranks);
#pragma unroll
  for (unsigned r = 0; r < kEach; r++)
    sum[r] = far(r) < chunk.count ? exact::canonical(exact::div(sum[r], divisor)) : 0.0f;
  key.rank = kMeanRank;
  encode_chunk(options, key, chunk, sum, elements, wire, &shared);
}

// ---- launchers ----

int encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
           uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(eden_encode_kernel, chunks_for(options, elements), kThreads, 0, stream, options, key, source,
                elements, wire);
}
int decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
           float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(eden_decode_kernel<false>, chunks_for(options, elements), kThreads, 0, stream, options, key,
                wire, elements, target);
}
int decode_add(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
               float* target, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(eden_decode_kernel<true>, chunks_for(options, elements), kThreads, 0, stream, options, key,
                wire, elements, target);
}
int decode_add_encode(const CodecOptions& options, const CodecKey& from, const CodecKey& to,
                      const uint8_t* wire, const float* source, size_t elements, uint8_t* result, void*,
                      DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(eden_decode_add_encode_kernel, chunks_for(options, elements), kThreads, 0, stream, options,
                from, to, wire, source, elements, result);
}
int mean(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
         uint32_t ranks, size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(eden_mean_kernel, chunks_for(options, elements), kThreads, 0, stream, options, key, wires,
                stride, ranks, elements, wire);
}

}  // namespace

extern const DeviceCodecLoops eden_loops;
const DeviceCodecLoops eden_loops = {encode, decode,  decode_add, decode_add_encode,
                                     mean,   nullptr, nullptr,    nullptr};

}  // namespace gradmesh::cuda
