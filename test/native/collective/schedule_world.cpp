// The random run of schedule_world.h.
#include "schedule_world.h"

#include <algorithm>

#include "collective/region.h"
#include "numeric/half.h"

namespace schedule_world {

uint32_t id_of(const std::string& collective) {
  for (uint32_t id = 0; std::string(collective_name(id)) != "unknown"; ++id)
    if (collective_name(id) == collective) return id;
  CHECK_THAT(false, "there is no collective " + collective);
  return 0;
}

std::string describe(const ScheduleRequest& request) {
  std::string text = std::string(collective_name(request.collective)) + " ranks " +
                     std::to_string(request.ranks) + " elements " + std::to_string(request.elements) +
                     " codec " + request.codec->spec + " " + dtype_name(request.dtype) + " " +
                     reduction_name(request.reduction) + " segment " +
                     std::to_string(request.segment_elements) + " root " + std::to_string(request.root) +
                     " " + request.topology;
  if (request.down != nullptr) text += " down " + request.down->spec;
  if (request.feeds_back()) text += " owner_decay " + std::to_string(request.owner_decay);
  for (const double weight : request.weights) text += " weight " + std::to_string(weight);
  for (const uint32_t leader : request.islands) text += " island " + std::to_string(leader);
  return text;
}

std::vector<uint8_t> to_memory(Dtype dtype, const std::vector<float>& values) {
  std::vector<uint8_t> memory(values.size() * dtype_bytes(dtype));
  for (size_t at = 0; at < values.size(); ++at) {
    const uint16_t narrow = dtype == Dtype::fp16 ? half::to_fp16(values[at]) : half::to_bf16(values[at]);
    if (dtype == Dtype::fp32)
      std::memcpy(&memory[4 * at], &values[at], 4);
    else
      std::memcpy(&memory[2 * at], &narrow, 2);
  }
  return memory;
}

std::vector<float> from_memory(Dtype dtype, const std::vector<uint8_t>& memory) {
  std::vector<float> values(memory.size() / dtype_bytes(dtype));
  for (size_t at = 0; at < values.size(); ++at) {
    uint16_t narrow;
    if (dtype == Dtype::fp32) {
      std::memcpy(&values[at], &memory[4 * at], 4);
      continue;
    }
    std::memcpy(&narrow, &memory[2 * at], 2);
    values[at] = dtype == Dtype::fp16 ? half::from_fp16(narrow) : half::from_bf16(narrow);
  }
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

World::World(const ScheduleRequest& request, std::vector<std::vector<uint8_t>> inputs,
             std::vector<std::vector<uint8_t>> outputs, std::vector<std::vector<float>> states)
    : request_(request), ranks_(request.ranks) {
  for (uint32_t who = 0; who < request.ranks; ++who) {
    Rank& rank = ranks_[who];
    request_.rank = who;
    auto schedule = std::make_shared<Schedule>();
    const Status status = write_schedule(request_, schedule.get());
    if (!status) fault_ = status.message();
    rank.schedule = std::move(schedule);
    rank.input = std::move(inputs[who]);
    rank.output.assign(request.elements * dtype_bytes(request.dtype), 0xfb);
    if (!outputs.empty()) rank.output = std::move(outputs[who]);
    rank.staging.assign(rank.schedule->staging_bytes / 8 + 8, ~uint64_t{0});
    const auto address = reinterpret_cast<uintptr_t>(rank.staging.data());
    if (!states.empty()) rank.state = std::move(states[who]);
    rank.next.assign(request.feeds_back() ? request.elements : 0, kJunk);
    const Buffers buffers{
        rank.input.data(), rank.output.data(), reinterpret_cast<uint8_t*>((address + 63) / 64 * 64),
        rank.state.data(), rank.next.data(),   nullptr};
    rank.executor =
        std::make_unique<Executor>(rank.schedule, Executor::arguments_of(request, kSeed, kStep), buffers);
    rank.depth.resize(rank.schedule->steps.size());
    for (uint32_t index = 0; index < rank.depth.size(); ++index) {
      const Step& step = rank.schedule->steps[index];
      if (step.kind == StepKind::recv && !rank.recvs.emplace(std::pair{step.peer, step.tag}, index).second)
        fault_ = "a tag is received twice";
    }
  }
}

void World::completed(uint32_t who, uint32_t index, uint32_t depth) {
  Rank& rank = ranks_[who];
  for (const uint32_t wait : rank.schedule->steps[index].waits) depth = std::max(depth, rank.depth[wait]);
  rank.depth[index] = depth;
  latency_ = std::max(latency_, depth);
  ++steps_done_;
}

// The bytes of a send are read when it leaves, which may be long after it became ready.
bool World::transmit(uint32_t who) {
  Rank& rank = ranks_[who];
  for (uint32_t index; rank.executor->next_send(&index);) rank.leaving.push_back(index);
  if (rank.leaving.empty()) return false;
  const uint32_t index = rank.leaving.front();
  rank.leaving.pop_front();
  const Step& step = rank.executor->step(index);
  const auto payload = rank.executor->payload(index);
  completed(who, index, 0);
  links_[{who, step.peer}].push_back({step.tag, {payload.begin(), payload.end()}, rank.depth[index] + 1});
  rank.sent += payload.size();
  rank.executor->complete(index);
  return true;
}

bool World::deliver(uint32_t from, uint32_t to) {
  auto& link = links_[{from, to}];
  if (link.empty()) return false;
  Rank& rank = ranks_[to];
  const auto found = rank.recvs.find({from, link.front().tag});
  if (found == rank.recvs.end()) {
    fault_ = "a frame has no recv";
    return false;
  }
  if (!rank.executor->ready(found->second)) return false;  // it holds up those behind it
  const auto target = rank.executor->target(found->second);
  if (target.size() != link.front().bytes.size()) {
    fault_ = "a frame has another size than its recv";
    return false;
  }
  std::copy(link.front().bytes.begin(), link.front().bytes.end(), target.begin());
  completed(to, found->second, link.front().depth);
  rank.executor->complete(found->second);
  rank.recvs.erase(found);
  link.pop_front();
  return true;
}

bool World::act(Random& random, uint32_t who) {
  Rank& rank = ranks_[who];
  const uint64_t first = random() % 3;
  for (uint64_t turn = 0; turn < 3; ++turn) {
    const uint64_t choice = (first + turn) % 3;
    if (choice == 0 && transmit(who)) return true;
    if (choice == 1) {
      const auto start = static_cast<uint32_t>(random() % request_.ranks);
      for (uint32_t at = 0; at < request_.ranks; ++at)
        if (deliver((start + at) % request_.ranks, who)) return true;
    }
    if (choice == 2 && rank.executor->has_work()) {
      std::vector<bool> before = rank.executor->done();
      if (!rank.executor->work()) fault_ = "a local step failed";
      for (uint32_t index = 0; index < before.size(); ++index)
        if (before[index] != rank.executor->done()[index]) completed(who, index, 0);
      return true;
    }
  }
  return false;
}

std::string World::run(Random& random, uint64_t steps) {
  std::vector<uint32_t> moving(request_.ranks);
  for (uint32_t who = 0; who < request_.ranks; ++who) moving[who] = who;
  // A rank that can do nothing waits until all others cannot either, or have done something.
  uint64_t idle = 0;
  while (idle < 64 * request_.ranks && steps_done_ < steps && fault_.empty())
    idle = act(random, static_cast<uint32_t>(random() % request_.ranks)) ? 0 : idle + 1;
  for (bool moved = true; moved && steps_done_ < steps && fault_.empty();) {
    moved = false;
    for (const uint32_t who : moving) moved = act(random, who) || moved;
  }
  if (steps_done_ >= steps) return fault_;
  for (const Rank& rank : ranks_)
    if (fault_.empty() && !rank.executor->finished()) fault_ = "the ranks wait for each other";
  for (const auto& [ends, link] : links_)
    if (fault_.empty() && !link.empty()) fault_ = "a send has no recv";
  return fault_;
}

std::unique_ptr<World> check_world(const ScheduleRequest& request, std::vector<std::vector<uint8_t>> inputs,
                                   Random& random, std::vector<std::vector<uint8_t>> outputs,
                                   std::vector<std::vector<float>> states) {
  const auto before = inputs;
  const auto states_before = states;
  auto world = std::make_unique<World>(request, std::move(inputs), std::move(outputs), std::move(states));
  std::string fault = world->problem();
  if (fault.empty()) fault = world->run(random);
  CHECK_THAT(fault.empty(), fault + ": " + describe(request));
  // Longest where every rank has a chunk.
  const bool whole = request.elements >= uint64_t{request.ranks} * request.block_elements();
  for (uint32_t rank = 0; rank < request.ranks && fault.empty(); ++rank) {
    CHECK_THAT(world->input(rank) == before[rank], "an input was written: " + describe(request));
    if (!states_before.empty())
      CHECK_THAT(same_bits(world->state(rank), states_before[rank]),
                 "a state was written: " + describe(request));
    ScheduleRequest own = request;
    own.rank = rank;
    Cost cost;
    CHECK(static_cast<bool>(collective_cost(own, &cost)));
    CHECK_THAT(cost.bytes_sent == world->sent(rank),
               std::to_string(cost.bytes_sent) + " bytes in the cost of rank " + std::to_string(rank) + ", " +
                   std::to_string(world->sent(rank)) + " sent: " + describe(request));
    CHECK_THAT(whole && request.held.empty() ? cost.latency_steps == world->latency()
                                             : cost.latency_steps >= world->latency(),
               std::to_string(cost.latency_steps) + " latency steps in the cost, " +
                   std::to_string(world->latency()) + " taken: " + describe(request));
  }
  return world;
}

}  // namespace schedule_world
