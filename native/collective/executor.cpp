// Readiness by counting waits, and the arithmetic of the local steps.
#include "collective/executor.h"

#include <cstring>

#include "base/assert.h"
#include "numeric/convert.h"

namespace gradmesh {

Executor::Executor(Schedule schedule, const Codec& codec, uint32_t ranks, uint64_t seed, uint64_t round,
                   const Buffers& buffers)
    : schedule_(std::move(schedule)),
      codec_(codec),
      loops_(codec_loops(codec)),
      ranks_(ranks),
      seed_(seed),
      step_(round),
      buffers_(buffers),
      waits_left_(steps()),
      dependents_begin_(steps() + 1) {
  for (uint32_t index = 0; index < steps(); ++index) {
    waits_left_[index] = static_cast<uint32_t>(step(index).waits.size());
    for (const uint32_t wait : step(index).waits) ++dependents_begin_[wait + 1];
  }
  for (uint32_t index = 0; index < steps(); ++index) dependents_begin_[index + 1] += dependents_begin_[index];
  dependents_.resize(dependents_begin_.back());
  std::vector<uint32_t> filled(dependents_begin_.begin(), dependents_begin_.end() - 1);
  for (uint32_t index = 0; index < steps(); ++index)
    for (const uint32_t wait : step(index).waits) dependents_[filled[wait]++] = index;
  for (uint32_t index = 0; index < steps(); ++index)
    if (ready(index)) make_ready(index);
}

void Executor::make_ready(uint32_t index) {
  const StepKind kind = step(index).kind;
  (kind == StepKind::send ? sends_ : kind == StepKind::recv ? recvs_ : local_).push_back(index);
}

bool Executor::next_send(uint32_t* index) {
  if (sends_.empty()) return false;
  *index = sends_.front();
  sends_.pop_front();
  return true;
}

bool Executor::next_recv(uint32_t* index) {
  if (recvs_.empty()) return false;
  *index = recvs_.front();
  recvs_.pop_front();
  return true;
}

Status Executor::work() {
  GM_ASSERT(has_work());
  const uint32_t index = local_.front();
  local_.pop_front();
  if (buffers_.device != nullptr && DeviceWork::takes(step(index).kind))
    return buffers_.device->start(index, step(index), key(step(index)));
  run(step(index));
  complete(index);
  return Status::ok();
}

Status Executor::poll(bool* completed) {
  uint32_t index = 0;
  GM_TRY(buffers_.device->ended(&index, completed));
  if (*completed) complete(index);
  return Status::ok();
}

void Executor::complete(uint32_t index) {
  ++done_;
  for (uint32_t at = dependents_begin_[index]; at < dependents_begin_[index + 1]; ++at)
    if (--waits_left_[dependents_[at]] == 0) make_ready(dependents_[at]);
}

void Executor::run(const Step& step) {
  const size_t elements = step.target.elements;
  switch (step.kind) {
    case StepKind::encode:
      return loops_.encode(codec_.options, key(step), floats_of(step.sources[0]), elements,
                           writable(step.target));
    case StepKind::decode:
      return loops_.decode(codec_.options, key(step), bytes_of(step.sources[0]), elements,
                           output(step.target));
    case StepKind::mean:
      return mean(step);
    case StepKind::copy:
      std::memcpy(output(step.target), floats_of(step.sources[0]), elements * sizeof(float));
      return;
    case StepKind::add: {
      const float* partial = floats_of(step.sources[0]);
      const float* own = floats_of(step.sources[1]);
      float* sum = output(step.target);
      for (size_t at = 0; at < elements; ++at) sum[at] = exact::canonical(exact::add(partial[at], own[at]));
      return;
    }
    case StepKind::divide: {
      const float* sum = floats_of(step.sources[0]);
      float* quotient = output(step.target);
      const float divisor = static_cast<float>(ranks_);
      for (size_t at = 0; at < elements; ++at) quotient[at] = exact::canonical(exact::div(sum[at], divisor));
      return;
    }
    case StepKind::send:
    case StepKind::recv:
    case StepKind::load:
    case StepKind::store:
      GM_ASSERT(false);
  }
}

void Executor::mean(const Step& step) {
  const uint8_t* wires[kRanksMax];
  GM_ASSERT(step.sources.size() == ranks_);
  for (uint32_t rank = 0; rank < ranks_; ++rank) wires[rank] = bytes_of(step.sources[rank]);
  loops_.mean(codec_.options, key(step), wires, ranks_, step.target.elements, writable(step.target));
}

std::span<const uint8_t> Executor::payload(uint32_t index) const {
  const Region& source = step(index).sources[0];
  return {bytes_of(source), codec_.bytes(source.elements)};
}

std::span<uint8_t> Executor::target(uint32_t index) const {
  const Region& target = step(index).target;
  return {writable(target), codec_.bytes(target.elements)};
}

const uint8_t* Executor::bytes_of(const Region& region) const {
  if (region.space == Space::staging) return buffers_.staging + region.offset;
  GM_ASSERT(codec_.traits.identity);
  return reinterpret_cast<const uint8_t*>(floats_of(region));
}

uint8_t* Executor::writable(const Region& region) const {
  if (region.space == Space::staging) return buffers_.staging + region.offset;
  GM_ASSERT(codec_.traits.identity);
  return reinterpret_cast<uint8_t*>(output(region));
}

const float* Executor::floats_of(const Region& region) const {
  if (region.space == Space::input) return buffers_.input + region.offset;
  return output(region);
}

float* Executor::output(const Region& region) const {
  GM_ASSERT(region.space == Space::output);
  return buffers_.output + region.offset;
}

}  // namespace gradmesh
