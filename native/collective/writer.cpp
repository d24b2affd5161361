// What a rank contributes, and how a coded result becomes elements again.
#include "collective/writer.h"

namespace gradmesh {

std::vector<uint32_t> contributing_ranks(const ScheduleRequest& request) {
  std::vector<uint32_t> ranks;
  for (uint32_t rank = 0; rank < request.ranks; ++rank)
    if (request.reduction != Reduction::weighted_mean || request.weights[rank] > 0) ranks.push_back(rank);
  return ranks;
}

float contribution_factor(const ScheduleRequest& request, uint32_t shares) {
  if (request.reduction != Reduction::weighted_mean) return 1;
  double sum = 0;
  for (const double weight : request.weights) sum += weight;
  return static_cast<float>(request.weights[request.rank] * shares / sum);
}

bool takes_mean(const ScheduleRequest& request) {
  return request.reduction == Reduction::mean || request.reduction == Reduction::weighted_mean;
}

ScheduleWriter::Ready ScheduleWriter::terms(const Range& part) {
  if (request_.reduction != Reduction::weighted_mean) return {input(part)};
  const Region floats = stage_floats(part.elements);
  return {floats, {weigh(StepKind::scale, input(part), factor_, floats)}};
}

ScheduleWriter::Ready ScheduleWriter::wire(const Range& part, uint32_t coder) {
  const Ready values = terms(part);
  if (memory_ && values.region.space == Space::input) return values;
  return wire_of(values, coder, part.begin);
}

ScheduleWriter::Ready ScheduleWriter::wire_of(const Ready& floats, uint32_t coder, uint64_t first) {
  if (codec_.traits.identity && floats.region.space == Space::floats)
    return {{Space::staging, floats.region.offset, floats.region.elements}, floats.waits};
  const Region coded = stage(floats.region.elements);
  return {coded, {code(StepKind::encode, {floats.region}, coded, floats.waits, coder, first)}};
}

uint32_t ScheduleWriter::finish(const Region& wire, uint32_t coder, const Range& part, Then then,
                                std::vector<uint32_t> waits) {
  const Region result = output(part);
  const bool direct = then == Then::nothing || request_.dtype == Dtype::fp32;
  const Region decoded = direct ? result : stage_floats(part.elements);
  const uint32_t done = code(StepKind::decode, {wire}, decoded, std::move(waits), coder, part.begin);
  if (then == Then::nothing) return done;
  if (then == Then::over_ranks) return local(StepKind::divide, {decoded}, result, {done});
  return weigh(StepKind::scale, decoded, static_cast<float>(request_.ranks), result, {done});
}

}  // namespace gradmesh
