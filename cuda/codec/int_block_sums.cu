// The exact means of int8_block, int4_block and int2_block: contributions added in integers by groups of
// lanes, at once or as they come.
#include "codec/int_block_mean.h"
#include "codec/int_groups.h"

namespace gradmesh::cuda {
namespace {

using codecs::IntBlock;
using codecs::IntBlockMean;
using codecs::Wide;
namespace fixed_sum = codecs::fixed_sum;

// ---- helpers ----

struct Contributions {
  const uint8_t* wires;
  size_t stride;
  uint32_t ranks;
  size_t elements;
};

template <int kBits>
__device__ __forceinline__ uint32_t byte_of(const CodecOptions& options, const uint8_t* wire, size_t at,
                                            size_t elements) {
  return wire[IntBlock<kBits>::scale_at(options, at, elements)];
}
// q of a quotient, stochastic or not.
template <int kBits>
__device__ __forceinline__ uint32_t coded_quad(const CodecOptions& options, const CodecKey& key,
                                               const int32_t* quotient, size_t i) {
  using Block = IntBlock<kBits>;
  if (!Block::stochastic(options)) return quad_of<kBits>(quotient[0], quotient[1], quotient[2], quotient[3]);
  const HalfWords h = half_words<kBits>(key, i);
  return quad_of<kBits>(Block::drawn(quotient[0], h.of(0)), Block::drawn(quotient[1], h.of(1)),
                        Block::drawn(quotient[2], h.of(2)), Block::drawn(quotient[3], h.of(3)));
}
template <int kBits>
__device__ __forceinline__ int extra_of(const CodecOptions& options) {
  return IntBlock<kBits>::stochastic(options) ? 16 : 0;
}

__device__ __forceinline__ Wide group_max(const Group& group, Wide value) {
  for (unsigned width = group.lanes / 2; width > 0; width /= 2) {
    Wide other;
#pragma unroll
    for (int word = 0; word < Wide::kWords; word++)
      other.words[word] = __shfl_xor_sync(kAllLanes, value.words[word], static_cast<int>(width));
    if (!Wide::at_most(other, value)) value = other;
  }
  return value;
}

// Codes a group's block from exact sums: wide(i, &sum) gives that of element i of the block, or false. All
// lanes of the warp call it; only groups with `mine` write.
template <int kBits, class Sums>
__device__ __forceinline__ void code_wide(const CodecOptions& options, const CodecKey& key,
                                          const Group& group, bool mine, uint32_t ranks, size_t elements,
                                          uint8_t* wire, const Sums& wide) {
  using Block = IntBlock<kBits>;
  using Mean = IntBlockMean<kBits>;
  Wide largest = Wide::zero(), sum;
  uint32_t broken = 0;
  for (size_t i = group.lane; mine && i < group.count; i += group.lanes) {
    broken |= wide(i, &sum) ? 0u : 1u;
    const Wide magnitude = Wide::magnitude(sum);
    if (!Wide::at_most(magnitude, largest)) largest = magnitude;
  }
  largest = group_max(group, largest);
  broken = group_max(group, broken);
  if (!mine || group.count == 0) return;
  const bool constant = broken != 0 || Wide::bit_length(largest) == 0;
  const uint32_t byte = broken != 0 ? Block::kNanByte : constant ? 0 : Mean::byte_of(largest, ranks);
  if (group.lane == 0) wire[Block::scale_at(options, group.at, elements)] = static_cast<uint8_t>(byte);
  for (size_t i = 4 * group.lane; i < group.count; i += 4 * group.lanes) {
    int32_t quotient[4] = {};
#pragma unroll
    for (unsigned j = 0; j < 4; j++)
      if (!constant && i + j < group.count && wide(i + j, &sum))
        quotient[j] = Mean::divide(sum, ranks, byte, extra_of<kBits>(options));
    store_quad<kBits>(wire, group.at + i, elements,
                      constant ? 0 : coded_quad<kBits>(options, key, quotient, group.at + i));
  }
}

// The smallest and largest scale byte of the contributions of a group's block that are not zero blocks; least
// > most when there is none. False where only exact sums of all bits give the mean.
template <int kBits>
__device__ __forceinline__ bool scale_range(const CodecOptions& options, const Contributions& c,
                                            const Group& group, uint32_t* least, uint32_t* most) {
  using Mean = IntBlockMean<kBits>;
  uint32_t lack = 0, top = 0, slow = 0;  // lack: 256 - the least
  for (uint32_t rank = group.lane; group.count > 0 && rank < c.ranks; rank += group.lanes) {
    const uint8_t* wire = c.wires + rank * c.stride;
    const uint32_t byte = byte_of<kBits>(options, wire, group.at, c.elements);
    if (byte > Mean::kSafeByte) slow = 1;
    if (byte == 0) {
      for (size_t i = 0; i < group.count; i += 4)
        slow |= load_quad<kBits>(wire, group.at + i, c.elements) != 0 ? 1u : 0u;
    } else {
      lack = max(lack, 256 - byte);
      top = max(top, byte);
    }
  }
  *least = 256 - group_max(group, lack);
  *most = group_max(group, top);
  slow = group_max(group, slow);
  return slow == 0 && (*least > *most || Mean::fits(c.ranks, *most - *least));
}

// The sums of a quad in units of 2^(least - 127).
template <int kBits>
__device__ __forceinline__ int4 small_sums(const CodecOptions& options, const Contributions& c, size_t at,
                                           size_t i, uint32_t least) {
  int4 sum = make_int4(0, 0, 0, 0);
  for (uint32_t rank = 0; rank < c.ranks; rank++) {
    const uint8_t* wire = c.wires + rank * c.stride;
    const uint32_t byte = byte_of<kBits>(options, wire, at, c.elements);
    if (byte == 0) continue;
    const uint32_t quad = load_quad<kBits>(wire, at + i, c.elements);
    const int32_t by = 1 << (byte - least);
    sum = make_int4(sum.x + integer_of<kBits>(quad, 0) * by, sum.y + integer_of<kBits>(quad, 1) * by,
                    sum.z + integer_of<kBits>(quad, 2) * by, sum.w + integer_of<kBits>(quad, 3) * by);
  }
  return sum;
}
__device__ __forceinline__ int32_t largest_of(int4 sum, int32_t largest) {
  return max(max(max(abs(sum.x), abs(sum.y)), max(abs(sum.z), abs(sum.w))), largest);
}

template <int kBits>
struct ExactSums {
  const CodecOptions& options;
  const Contributions& c;
  size_t at;
  __device__ __forceinline__ bool operator()(size_t i, Wide* sum) const {
    using Mean = IntBlockMean<kBits>;
    using Sum = typename Mean::Sum;
    int64_t limbs[Sum::kLimbs] = {};
    bool finite = true;
    for (uint32_t rank = 0; rank < c.ranks; rank++) {
      const uint8_t* wire = c.wires + rank * c.stride;
      const uint32_t byte = byte_of<kBits>(options, wire, at, c.elements);
      const int32_t q = IntBlock<kBits>::load(wire, at + i);
      finite = finite && Mean::finite(q, byte);
      const int64_t term = Sum::shifted(q, byte);
#pragma unroll
      for (uint32_t limb = 0; limb < Sum::kLimbs; limb++)
        limbs[limb] += limb == Sum::limb_of(byte) ? term : 0;
    }
    *sum = Sum::sum_of(limbs, 1, ~uint64_t{0});
    return finite;
  }
};

// ---- kernels ----

template <int kBits, unsigned kQuads>
__global__ void __launch_bounds__(kIntThreads)
    int_mean_kernel(CodecOptions options, CodecKey key, unsigned lanes, Contributions c, uint8_t* wire) {
  using Block = IntBlock<kBits>;
  using Mean = IntBlockMean<kBits>;
  const Group group = group_of(options.block, lanes, c.elements);
  uint32_t least, most;
  const bool fast = scale_range<kBits>(options, c, group, &least, &most);
  const size_t count = fast && least <= most ? group.count : 0;
  const unsigned part = lanes * 4 * kQuads;
  int4 sums[kQuads];
  int32_t largest = 0;
  for (size_t from = 4 * group.lane; from < options.block; from += part) {
#pragma unroll
    for (unsigned k = 0; k < kQuads; k++) {
      const size_t i = from + k * 4 * lanes;
      sums[k] = i < count ? small_sums<kBits>(options, c, group.at, i, least) : make_int4(0, 0, 0, 0);
      largest = largest_of(sums[k], largest);
    }
  }
  largest = group_max(group, largest);
  typename Mean::Division division = {0, 1.0};
  if (largest > 0)
    division = Mean::division(static_cast<uint64_t>(largest), static_cast<int>(least), c.ranks,
                              extra_of<kBits>(options));
  if (fast && group.lane == 0 && group.count > 0)
    wire[Block::scale_at(options, group.at, c.elements)] = static_cast<uint8_t>(division.byte);
  for (size_t from = 4 * group.lane; from < options.block; from += part) {
#pragma unroll
    for (unsigned k = 0; k < kQuads; k++) {
      const size_t i = from + k * 4 * lanes;
      if (!fast || i >= group.count) continue;
      const int4 sum =
          options.block <= part || largest == 0 ? sums[k] : small_sums<kBits>(options, c, group.at, i, least);
      const int32_t quotient[4] = {fixed_sum::divide(static_cast<double>(sum.x), division.divisor),
                                   fixed_sum::divide(static_cast<double>(sum.y), division.divisor),
                                   fixed_sum::divide(static_cast<double>(sum.z), division.divisor),
                                   fixed_sum::divide(static_cast<double>(sum.w), division.divisor)};
      store_quad<kBits>(wire, group.at + i, c.elements,
                        largest == 0 ? 0 : coded_quad<kBits>(options, key, quotient, group.at + i));
    }
  }
  if (__any_sync(kAllLanes, !fast) == 0) return;
  code_wide<kBits>(options, key, group, !fast, c.ranks, c.elements, wire,
                   ExactSums<kBits>{options, c, group.at});
}

template <int kBits>
__global__ void __launch_bounds__(kIntThreads)
    int_accumulate_kernel(CodecOptions options, unsigned lanes, const uint8_t* wire, size_t elements,
                          uint8_t* sum) {
  using Mean = IntBlockMean<kBits>;
  using Sum = typename Mean::Sum;
  const Group group = group_of(options.block, lanes, elements);
  const bool any = group.count > 0;
  const uint32_t byte = any ? byte_of<kBits>(options, wire, group.at, elements) : 0;
  uint64_t* header = reinterpret_cast<uint64_t*>(sum) + group.at / options.block;
  const uint64_t used = any ? *header : 0;
  uint32_t broken = 0, nonzero = 0;
  if (byte == 0 || byte > Mean::kSafeByte)
    for (size_t i = 4 * group.lane; i < group.count; i += 4 * lanes) {
      const uint32_t quad = load_quad<kBits>(wire, group.at + i, elements);
      nonzero |= quad;
#pragma unroll
      for (int j = 0; j < 4; j++)
        broken |= Mean::finite(integer_of<kBits>(quad, j), byte) ||
                          group.at + i + static_cast<size_t>(j) >= elements
                      ? 0u
                      : 1u;
    }
  broken = group_max(group, broken);
  nonzero = group_max(group, nonzero);
  __syncwarp();  // every lane has read the header
  if (!any || (byte == 0 && nonzero == 0)) return;
  if (group.lane == 0) *header = used | (broken != 0 ? Sum::kNan : Sum::limbs_of(byte));
  if (broken != 0) return;
  int64_t* row = reinterpret_cast<int64_t*>(sum + Sum::row_at(elements, options.block, group.at) +
                                            Sum::limb_of(byte) * Sum::row_bytes(elements));
  const bool adds = (used & Sum::limbs_of(byte)) != 0;
  for (size_t i = 4 * group.lane; i < group.count; i += 4 * lanes) {
    const uint32_t quad = load_quad<kBits>(wire, group.at + i, elements);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const size_t at = i + static_cast<size_t>(j);
      if (at < group.count) row[at] = (adds ? row[at] : 0) + Sum::shifted(integer_of<kBits>(quad, j), byte);
    }
  }
}

// Exact sums as accumulate left them.
template <int kBits>
struct Accumulated {
  using Sum = typename IntBlockMean<kBits>::Sum;
  uint64_t used;
  const int64_t* first;  // of row 0, at the block
  size_t stride;
  __device__ __forceinline__ bool operator()(size_t i, Wide* sum) const {
    *sum = Sum::sum_of(first + i, stride, used);
    return (used & Sum::kNan) == 0;
  }
  // Whether one row holds the sums, or two neighbours, as IntSums::finish_small of the CPU's loops.
  __device__ __forceinline__ bool narrow() const {
    const uint64_t others = used == 0 ? 0 : used >> (__ffsll(static_cast<long long>(used)) - 1);
    return (used & Sum::kNan) == 0 && (others == 1 || others == 3);
  }
  __device__ __forceinline__ int limb() const { return __ffsll(static_cast<long long>(used)) - 1; }
  // Of element i, where it is narrow, in units of its lowest limb; false where that is above what divide() is
  // for.
  __device__ __forceinline__ bool small(size_t i, int64_t* sum) const {
    const int64_t* low = first + i + static_cast<size_t>(limb()) * stride;
    const int64_t high = used >> limb() == 3 ? low[stride] : 0;
    const int64_t most = fixed_sum::kSumMost / 2, high_most = most >> Sum::kLimbBits;
    if (high > high_most || high < -high_most || *low > most || *low < -most) return false;
    *sum = high * (int64_t{1} << Sum::kLimbBits) + *low;
    return true;
  }
};

template <int kBits>
__global__ void __launch_bounds__(kIntThreads)
    int_finish_kernel(CodecOptions options, CodecKey key, unsigned lanes, const uint8_t* sum, uint32_t ranks,
                      size_t elements, uint8_t* wire) {
  using Block = IntBlock<kBits>;
  using Mean = IntBlockMean<kBits>;
  using Sum = typename Mean::Sum;
  const Group group = group_of(options.block, lanes, elements);
  const bool any = group.count > 0;
  const Accumulated<kBits> sums = {
      any ? reinterpret_cast<const uint64_t*>(sum)[group.at / options.block] : 0,
      reinterpret_cast<const int64_t*>(sum + Sum::row_at(elements, options.block, any ? group.at : 0)),
      Sum::row_bytes(elements) / 8};
  uint32_t wide = sums.narrow() ? 0 : 1;
  uint64_t largest = 0;
  for (size_t i = group.lane; wide == 0 && i < group.count; i += lanes) {
    int64_t value = 0;
    if (!sums.small(i, &value)) wide = 1;
    const uint64_t magnitude = static_cast<uint64_t>(value < 0 ? -value : value);
    largest = magnitude > largest ? magnitude : largest;
  }
  wide = group_max(group, wide);
  largest = group_max(group, largest);
  if (wide == 0 && any) {
    typename Mean::Division division = {0, 1.0};
    if (largest > 0)
      division = Mean::division(largest, sums.limb() * Sum::kLimbBits, ranks, extra_of<kBits>(options));
    if (group.lane == 0)
      wire[Block::scale_at(options, group.at, elements)] = static_cast<uint8_t>(division.byte);
    for (size_t i = 4 * group.lane; i < group.count; i += 4 * lanes) {
      int32_t quotient[4] = {};
#pragma unroll
      for (unsigned j = 0; j < 4; j++) {
        int64_t value;
        if (i + j < group.count && sums.small(i + j, &value))
          quotient[j] = fixed_sum::divide(static_cast<double>(value), division.divisor);
      }
      store_quad<kBits>(wire, group.at + i, elements,
                        largest == 0 ? 0 : coded_quad<kBits>(options, key, quotient, group.at + i));
    }
  }
  if (__any_sync(kAllLanes, wide != 0) == 0) return;
  code_wide<kBits>(options, key, group, wide != 0, ranks, elements, wire, sums);
}

}  // namespace

// ---- launchers ----

template <int kBits>
int int_block_mean(const CodecOptions& options, const CodecKey& key, const uint8_t* wires, size_t stride,
                   uint32_t ranks, size_t elements, uint8_t* wire, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  const Contributions c = {wires, stride, ranks, elements};
  const unsigned grid = grid_of(options.block, elements), lanes = lanes_of(options.block);
  if (options.block <= 128)
    return LAUNCH((int_mean_kernel<kBits, 1>), grid, kIntThreads, 0, stream, options, key, lanes, c, wire);
  if (options.block == 256)
    return LAUNCH((int_mean_kernel<kBits, 2>), grid, kIntThreads, 0, stream, options, key, lanes, c, wire);
  return LAUNCH((int_mean_kernel<kBits, 4>), grid, kIntThreads, 0, stream, options, key, lanes, c, wire);
}
template <int kBits>
int int_block_accumulate(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         uint8_t* sum, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  return LAUNCH(int_accumulate_kernel<kBits>, grid_of(options.block, elements), kIntThreads, 0, stream,
                options, lanes_of(options.block), wire, elements, sum);
}
template <int kBits>
int int_block_finish(const CodecOptions& options, const CodecKey& key, const uint8_t* sum, uint32_t ranks,
                     size_t elements, uint8_t* wire, void*, DeviceStream stream) {
  if (elements == 0) return cudaSuccess;
  CodecKey to = key;
  to.rank = kMeanRank;
  return LAUNCH(int_finish_kernel<kBits>, grid_of(options.block, elements), kIntThreads, 0, stream, options,
                to, lanes_of(options.block), sum, ranks, elements, wire);
}

#define GM_INT_SUMS(bits)                                                                                   \
  template int int_block_mean<bits>(const CodecOptions&, const CodecKey&, const uint8_t*, size_t, uint32_t, \
                                    size_t, uint8_t*, DeviceStream);                                        \
  template int int_block_accumulate<bits>(const CodecOptions&, const CodecKey&, const uint8_t*, size_t,     \
                                          uint8_t*, void*, DeviceStream);                                   \
  template int int_block_finish<bits>(const CodecOptions&, const CodecKey&, const uint8_t*, uint32_t,       \
                                      size_t, uint8_t*, void*, DeviceStream)
GM_INT_SUMS(8);
GM_INT_SUMS(4);
GM_INT_SUMS(2);

}  // namespace gradmesh::cuda
