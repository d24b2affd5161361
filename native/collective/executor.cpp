// Readiness by counting waits, and the arithmetic of the local steps.
#include "collective/executor.h"

#include <bit>
#include <cstring>
#include <map>

#include "base/assert.h"
#include "collective/arithmetic.h"
#include "collective/wide_sums.h"

namespace gradmesh {
namespace {

const Codec& own_codec(Dtype dtype) {
  const Codec* codec = nullptr;
  GM_ASSERT(codec_open(dtype_name(dtype), &codec));
  return *codec;
}

void divide(const float* source, uint32_t by, size_t elements, float* target) {
  // By a power of two the product with its inverse is the same number, sooner.
  if (std::has_single_bit(by))
    arithmetic().scale(source, 1.0f / static_cast<float>(by), elements, target);
  else
    arithmetic().divide(source, static_cast<float>(by), elements, target);
}

}  // namespace

Executor::Executor(std::shared_ptr<const Schedule> schedule, const Arguments& arguments,
                   const Buffers& buffers)
    : schedule_(std::move(schedule)),
      arguments_(arguments),
      loops_(codec_loops(*arguments.wires.up)),
      down_loops_(codec_loops(*arguments.wires.down)),
      own_(own_codec(arguments.dtype)),
      own_loops_(codec_loops(own_)),
      buffers_(buffers),
      waits_left_(steps()),
      follower_(steps()),
      dependents_begin_(steps() + 1),
      done_(steps()) {
  for (uint32_t index = 0; index < steps(); ++index) {
    waits_left_[index] = static_cast<uint32_t>(step(index).waits.size());
    for (const uint32_t wait : step(index).waits) ++dependents_begin_[wait + 1];
  }
  for (uint32_t index = 0; index < steps(); ++index) dependents_begin_[index + 1] += dependents_begin_[index];
  dependents_.resize(dependents_begin_.back());
  std::vector<uint32_t> filled(dependents_begin_.begin(), dependents_begin_.end() - 1);
  for (uint32_t index = 0; index < steps(); ++index)
    for (const uint32_t wait : step(index).waits) dependents_[filled[wait]++] = index;
  order_sends();
  for (uint32_t index = 0; index < steps(); ++index)
    if (ready(index)) make_ready(index);
}

void Executor::order_sends() {
  std::map<std::pair<uint32_t, uint64_t>, uint32_t> last;  // by peer, then phase and chunk
  for (uint32_t index = 0; index < steps(); ++index) {
    if (step(index).kind != StepKind::send) continue;
    const auto [before, first] = last.try_emplace({step(index).peer, tag_without_segment(step(index).tag)});
    if (!first) {
      follower_[before->second] = index;
      ++waits_left_[index];
    }
    before->second = index;
  }
}

bool Executor::next_send(uint32_t* index) {
  if (!take(sends_, index)) return false;
  const uint32_t follower = follower_[*index];
  if (follower != 0 && --waits_left_[follower] == 0) make_ready(follower);
  return true;
}

void Executor::make_ready(uint32_t index) {
  const StepKind kind = step(index).kind;
  (kind == StepKind::send ? sends_ : kind == StepKind::recv ? recvs_ : local_).push_back(index);
}

bool Executor::take(std::deque<uint32_t>& ready, uint32_t* index) {
  if (ready.empty()) return false;
  *index = ready.front();
  ready.pop_front();
  return true;
}

Status Executor::work() {
  GM_ASSERT(has_work());
  uint32_t index = 0;
  take(local_, &index);
  if (buffers_.device != nullptr && buffers_.device->takes(step(index)))
    return buffers_.device->start(index, step(index), key(step(index)));
  work(index);
  return Status::ok();
}

Status Executor::poll(bool* completed) {
  uint32_t index = 0;
  GM_TRY(buffers_.device->ended(&index, completed));
  if (*completed) complete(index);
  return Status::ok();
}

void Executor::complete(uint32_t index) {
  ++done_count_;
  done_[index] = true;
  for (uint32_t at = dependents_begin_[index]; at < dependents_begin_[index + 1]; ++at)
    if (--waits_left_[dependents_[at]] == 0) make_ready(dependents_[at]);
}

void Executor::run(const Step& step) {
  const size_t elements = step.target.elements;
  switch (step.kind) {
    case StepKind::encode:
      return loops_of(step.target)
          .encode(options_of(step.target), key(step), floats(step.sources[0], 0), elements,
                  writable(step.target));
    case StepKind::decode: {
      const Region& wire = step.sources[0];
      float* decoded = result(step.target, 0);
      loops_of(wire).decode(options_of(wire), key(step), at(wire), elements, decoded);
      return put(step.target, decoded);
    }
    case StepKind::hop: {
      CodecKey from = key(step);
      from.rank = step.coder_from;
      return loops_.decode_add_encode(options_of(step.target), from, key(step), at(step.sources[0]),
                                      floats(step.sources[1], 0), elements, writable(step.target));
    }
    case StepKind::reduce:
      return reduce(step);
    case StepKind::average:
      return average(step);
    case StepKind::copy:
      if (bytes(step.sources[0]) == bytes(step.target)) {
        std::memcpy(writable(step.target), at(step.sources[0]), bytes(step.target));
        return;
      }
      [[fallthrough]];
    case StepKind::combine:
    case StepKind::divide:
    case StepKind::scale:
    case StepKind::fold:
    case StepKind::advance:
    case StepKind::settle:
      return elementwise(step);
    case StepKind::send:
    case StepKind::recv:
    case StepKind::load:
    case StepKind::store:
      GM_ASSERT(false);
  }
}

void Executor::elementwise(const Step& step) {
  const Arithmetic& loops = arithmetic();
  const size_t elements = step.target.elements;
  const float* source = floats(step.sources[0], 0);
  float* target = result(step.target, 2);
  switch (step.kind) {
    case StepKind::combine: {
      const float* other = floats(step.sources[1], 1);
      (arguments_.reduction == Reduction::max ? loops.maximum : loops.add)(source, other, elements, target);
      break;
    }
    case StepKind::divide:
      divide(source, arguments_.ranks, elements, target);
      break;
    case StepKind::advance:
      loops.advance(source, step.factor, floats(step.sources[1], 1), elements, target);
      break;
    case StepKind::settle:
      loops.settle(source, elements, target);
      break;
    case StepKind::scale:
      loops.scale(source, step.factor, elements, target);
      break;
    case StepKind::fold:
      // A 16-bit target is read first: its sums stay in floats until a copy rounds them.
      GM_ASSERT(!sixteen(step.target));
      loops.fold(source, step.factor, elements, target);
      break;
    default:
      std::memcpy(target, source, elements * sizeof(float));
  }
  put(step.target, target);
}

// Wires to a wire. The codec knows means; sums and maxima are of wires that are tensors' memory.
void Executor::reduce(const Step& step) {
  wires_.clear();
  for (const Region& source : step.sources) wires_.push_back(at(source));
  const auto count = static_cast<uint32_t>(wires_.size());
  const size_t elements = step.target.elements;
  const bool own = arguments_.wires.up == &own_;
  const bool means =
      arguments_.reduction == Reduction::mean || arguments_.reduction == Reduction::weighted_mean;
  if (means || !own)
    return loops_.mean(arguments_.wires.up->options, key(step), wires_.data(), count, elements,
                       writable(step.target));
  const Arithmetic& loops = arithmetic();
  const bool wide = arguments_.dtype == Dtype::fp32;
  // In rank order, as one accumulator; rounded once where the dtype has 16 bits.
  float* sum = wide ? reinterpret_cast<float*>(writable(step.target)) : result(step.target, 2);
  own_loops_.decode(own_.options, {}, wires_[0], elements, sum);
  for (uint32_t rank = 1; rank < count; ++rank) {
    const float* next = reinterpret_cast<const float*>(wires_[rank]);
    if (!wide) {
      scratch_[1].resize(std::max(scratch_[1].size(), elements));
      own_loops_.decode(own_.options, {}, wires_[rank], elements, scratch_[1].data());
      next = scratch_[1].data();
    }
    (arguments_.reduction == Reduction::max ? loops.maximum : loops.add)(sum, next, elements, sum);
  }
  if (!wide) own_loops_.encode(own_.options, {}, sum, elements, writable(step.target));
}

// Of what all sources decode to.
void Executor::average(const Step& step) {
  const size_t elements = step.target.elements;
  const auto count = static_cast<uint32_t>(step.sources.size());
  float* mean = result(step.target, 2);
  if (arguments_.wires.up->traits.exact_sum) {
    sum_exactly(step, mean);
    arithmetic().quotients(sums_.data(), count, elements, mean);
    return put(step.target, mean);
  }
  CodecKey from = key(step);
  for (from.rank = 0; from.rank < count; ++from.rank) {
    const auto add = from.rank == 0 ? loops_.decode : loops_.decode_add;
    add(arguments_.wires.up->options, from, at(step.sources[from.rank]), elements, mean);
  }
  divide(mean, count, elements, mean);
  put(step.target, mean);
}

// Into sums_, each rounded once where it is no double.
void Executor::sum_exactly(const Step& step, float* decoded) {
  const size_t elements = step.target.elements;
  const auto each = [&](auto&& add) {
    CodecKey from = key(step);
    for (from.rank = 0; from.rank < step.sources.size(); ++from.rank) {
      loops_.decode(arguments_.wires.up->options, from, at(step.sources[from.rank]), elements, decoded);
      add();
    }
  };
  sums_.assign(elements, -0.0);  // the one zero that leaves a -0 what it is
  uint32_t lost = 0;
  each([&] { lost |= arithmetic().accumulate(decoded, elements, sums_.data()); });
  if (lost == 0) return;
  WideSums wide(elements);
  each([&] { wide.add(decoded); });
  wide.round(sums_.data());
}

std::span<const uint8_t> Executor::payload(uint32_t index) const {
  const Region& source = step(index).sources[0];
  return {at(source), bytes(source)};
}

std::span<uint8_t> Executor::target(uint32_t index) const {
  const Region& target = step(index).target;
  return {writable(target), bytes(target)};
}

bool Executor::sixteen(const Region& region) const {
  return arguments_.dtype != Dtype::fp32 && (region.space == Space::input || region.space == Space::output);
}

uint64_t Executor::bytes(const Region& region) const {
  return region_bytes(arguments_.wires, arguments_.dtype, region);
}

const uint8_t* Executor::at(const Region& region) const {
  if (region.space == Space::input) return buffers_.input + region.offset * dtype_bytes(arguments_.dtype);
  if (region.space == Space::state) return reinterpret_cast<const uint8_t*>(buffers_.state + region.offset);
  return writable(region);
}

uint8_t* Executor::writable(const Region& region) const {
  GM_ASSERT(region.space != Space::input && region.space != Space::state);
  if (region.space == Space::next) return reinterpret_cast<uint8_t*>(buffers_.next + region.offset);
  if (region.space == Space::output) return buffers_.output + region.offset * dtype_bytes(arguments_.dtype);
  return buffers_.staging + region.offset;
}

const float* Executor::floats(const Region& region, size_t which) {
  const bool wire = region.space == Space::staging;
  GM_ASSERT(region.space != Space::down && (!wire || arguments_.wires.up == &own_));
  if (!sixteen(region) && (!wire || arguments_.dtype == Dtype::fp32))
    return reinterpret_cast<const float*>(at(region));
  scratch_[which].resize(std::max<size_t>(scratch_[which].size(), region.elements));
  own_loops_.decode(own_.options, {}, at(region), region.elements, scratch_[which].data());
  return scratch_[which].data();
}

float* Executor::result(const Region& region, size_t which) {
  const bool wire = region.space == Space::staging;
  if (!sixteen(region) && (!wire || arguments_.dtype == Dtype::fp32))
    return reinterpret_cast<float*>(writable(region));
  scratch_[which].resize(std::max<size_t>(scratch_[which].size(), region.elements));
  return scratch_[which].data();
}

void Executor::put(const Region& region, const float* results) {
  uint8_t* target = writable(region);
  if (reinterpret_cast<const uint8_t*>(results) == target) return;
  own_loops_.encode(own_.options, {}, results, region.elements, target);
}

}  // namespace gradmesh
