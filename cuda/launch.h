// What a kernel may use. Under nvcc it is CUDA itself; under g++ the same words run on the host emulator of
// simt_host.h, which tests every kernel without a GPU.
//
// A kernel author may use:
// - __global__, __device__, __constant__, __shared__, __launch_bounds__, __restrict__;
//   dim3 and threadIdx, blockIdx, blockDim, gridDim, all with x, y and z;
// - __syncthreads(), __syncwarp(); __shfl_sync, _up, _down, _xor for types of 4 and 8 bytes; __ballot_sync,
//   __any_sync, __all_sync; __reduce_add_sync, _min, _max, _or for 32-bit integers;
// - __popc, __clz, __ffs, __brev and their ll forms, __umulhi, __byte_perm, __funnelshift_l and _r, __ldg,
// min and
//   max of integers, __threadfence();
// - atomicAdd, atomicMax, atomicMin, atomicOr, atomicAnd, atomicExch, atomicCAS on integers. No atomics on
//   floats: their order is nobody's. Integer sums have none, so the result may only depend on the sum;
// - char4, uchar4, ushort2, ushort4, int2, int4, uint2, uint4, float2, float4, ulonglong2 and make_...; cast
// a
//   pointer to one only where its address is a multiple of its size, as a GPU faults elsewhere (a sanitized
//   build of the emulator does too);
// - exact:: of native/numeric/exact.h for every float operation, and prng:: for random numbers. No a * b + c,
//   no libm, no float intrinsics of CUDA's own.
//
// In a launcher (it takes the stream last and returns the error):
//   return LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...);
// A kernel with commas in its name stands in parentheses: LAUNCH((kernel<float, 4>), ...). LAUNCH of an empty
// grid is an error, as on a GPU: return cudaSuccess early where there is nothing to do. Dynamic shared
// memory:
//   DYNAMIC_SHARED(float, tile);      in the kernel: float* tile, 16-byte aligned, undefined at the start
// and, for more than 48 KiB of it, ALLOW_SHARED(kernel, bytes) in the launcher before LAUNCH (at most 99 KiB,
// so that every card from sm_80 on has it).
//
// The emulator takes the blocks of a grid, and the threads of a block, in an order drawn from a seed. So a
// result that depends on an order, or on a barrier that is missing, differs between seeds
// (GRADMESH_SIMT_SEED=n repeats one). It ends the process, naming kernel and line, where a thread never
// reaches a barrier that others wait at, where the lanes of one mask meet different warp functions, and where
// a lane reads one that is not in the mask. Blocks run one after the other: never wait for another block.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  (kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__), cudaGetLastError())
#define ALLOW_SHARED(kernel, bytes) \
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes))
// One symbol for all types, as the extern arrays of a translation unit share one address and one declaration.
#define DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(dynamic_shared)

#else

#include "simt_host.h"

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::simt::launch(#kernel, grid, block, shared_bytes, stream, [&] { (kernel)(__VA_ARGS__); })
#define ALLOW_SHARED(kernel, bytes) ::simt::allow_shared(#kernel, bytes)
#define DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(::simt::dynamic_shared())

#endif

namespace gradmesh::cuda {

// How many blocks of per_block elements hold `elements`.
inline unsigned blocks_for(size_t elements, size_t per_block) {
  return static_cast<unsigned>((elements + per_block - 1) / per_block);
}

}  // namespace gradmesh::cuda
