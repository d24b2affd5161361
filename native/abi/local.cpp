// The C ABI of collectives whose ranks are all in this process: run, or only timed.
#include "collective/local.h"

#include <algorithm>
#include <mutex>

#include "abi/plans.h"
#include "collective/simulate.h"
#include "numeric/backend.h"
#include "transport/frame.h"

using namespace gradmesh;

namespace {

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

// Threads and scratch memory of the collectives that ended last.
class FreeGroups {
 public:
  std::unique_ptr<LocalGroup> take(uint32_t threads) {
    {
      std::lock_guard lock(guard_);
      const auto found = std::find_if(free_.begin(), free_.end(),
                                      [=](const auto& group) { return group->threads() == threads; });
      if (found != free_.end()) {
        auto group = std::move(*found);
        free_.erase(found);
        return group;
      }
    }
    return std::make_unique<LocalGroup>(threads);
  }
  void give_back(std::unique_ptr<LocalGroup> group) {
    std::lock_guard lock(guard_);
    if (free_.size() < kKept) free_.push_back(std::move(group));
  }

 private:
  static constexpr size_t kKept = 2;
  std::mutex guard_;
  std::vector<std::unique_ptr<LocalGroup>> free_;
};

FreeGroups& free_groups() {
  static FreeGroups instance;
  return instance;
}

Status check_count(const char* field, size_t count, size_t due) {
  if (count == due) return Status::ok();
  return invalid(std::string(field) + " holds " + std::to_string(count) +
                 " buffers; allowed: " + std::to_string(due) + ", one of each plan");
}

Status find_plans(gm_f64s handles, std::vector<LocalRank>* ranks) {
  ranks->resize(handles.length);
  for (size_t at = 0; at < handles.length; ++at) {
    const double handle = handles.data[at];
    if (!(handle >= 0 && handle <= 0xffffffffu))
      return invalid("plans[" + std::to_string(at) + "] is " + std::to_string(handle) + "; allowed: a plan");
    GM_TRY(abi::find_plan(static_cast<uint32_t>(handle), &(*ranks)[at].plan));
  }
  return Status::ok();
}

struct LocalMemory {
  gm_buffers inputs, outputs, states, nexts;
};

Status take_memory(const LocalMemory& memory, std::vector<LocalRank>* ranks) {
  const auto& [inputs, outputs, states, nexts] = memory;
  GM_TRY(check_count("inputs", inputs.length, ranks->size()));
  GM_TRY(check_count("outputs", outputs.length, ranks->size()));
  const bool fed = std::any_of(ranks->begin(), ranks->end(),
                               [](const LocalRank& rank) { return rank.plan->request.feeds_back(); });
  GM_TRY(check_count("states", states.length, fed ? ranks->size() : 0));
  GM_TRY(check_count("nexts", nexts.length, fed ? ranks->size() : 0));
  const auto floats = [](const gm_bytes& bytes) {
    return gm_f32s{reinterpret_cast<float*>(bytes.data), bytes.length / sizeof(float)};
  };
  std::vector<abi::NamedMemory> all;
  for (size_t at = 0; at < ranks->size(); ++at) {
    LocalRank& rank = (*ranks)[at];
    const gm_bytes &input = inputs.items[at], &output = outputs.items[at];
    const gm_f32s state = fed ? floats(states.items[at]) : gm_f32s{nullptr, 0};
    const gm_f32s next = fed ? floats(nexts.items[at]) : gm_f32s{nullptr, 0};
    GM_TRY(abi::check_tensors(rank.plan->request, "s[" + std::to_string(at) + "]", {input.data, input.length},
                              {output.data, output.length}, state, next, &all));
    rank.input = input.data;
    rank.output = output.data;
    rank.state = state.data;
    rank.next = next.data;
  }
  return abi::check_apart(std::move(all));
}

constexpr uint32_t kThreadsMax = 256;

}  // namespace

extern "C" {

int32_t gm_collective_run_local(gm_f64s plans, uint64_t seed, uint64_t step, gm_buffers inputs,
                                gm_buffers outputs, gm_buffers states, gm_buffers nexts, gm_f64s report,
                                uint32_t threads) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"plans", plans}, {"report", report}}));
    for (const auto& [field, buffers] : {std::pair{"inputs", inputs}, std::pair{"outputs", outputs},
                                         std::pair{"states", states}, std::pair{"nexts", nexts}})
      GM_TRY(abi::check_buffers(field, buffers));
    if (step > abi::kStepMax)
      return invalid("step is " + std::to_string(step) + "; allowed: up to " + std::to_string(abi::kStepMax));
    if (threads == 0 || threads > kThreadsMax)
      return invalid("threads is " + std::to_string(threads) + "; allowed: 1 to " +
                     std::to_string(kThreadsMax));
    if (report.length != plans.length)
      return invalid("report has " + std::to_string(report.length) +
                     " elements; allowed: " + std::to_string(plans.length) + ", one of each plan");
    std::vector<LocalRank> ranks;
    GM_TRY(find_plans(plans, &ranks));
    GM_TRY(take_memory({inputs, outputs, states, nexts}, &ranks));
    GM_TRY(backend::check_float_mode());
    std::unique_ptr<LocalGroup> group = free_groups().take(threads);
    const Status status = group->run(ranks, seed, step, report.data);
    free_groups().give_back(std::move(group));
    return status;
  });
}

int32_t gm_collective_simulate(uint32_t plan, gm_f64s ready, gm_f64s uplink, gm_f64s downlink, gm_f64s delay,
                               double frame_seconds, double coding_seconds_per_byte, gm_f64s finish) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"ready", ready},
                             {"uplink", uplink},
                             {"downlink", downlink},
                             {"delay", delay},
                             {"finish", finish}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(abi::find_plan(plan, &found));
    const size_t ranks = found->request.ranks;
    if (finish.length != ranks || delay.length != ranks * ranks)
      return invalid(std::string(finish.length != ranks ? "finish has " : "delay has ") +
                     std::to_string(finish.length != ranks ? finish.length : delay.length) +
                     " elements; allowed: " + std::to_string(finish.length != ranks ? ranks : ranks * ranks));
    for (size_t at = 0; at < delay.length; ++at)
      if (!(delay.data[at] >= 0))
        return invalid("delay[" + std::to_string(at) + "] is " + std::to_string(delay.data[at]) +
                       "; allowed: 0 or more seconds");
    LinkModel model;
    model.uplink_bytes_per_second.assign(uplink.data, uplink.data + uplink.length);
    model.downlink_bytes_per_second.assign(downlink.data, downlink.data + downlink.length);
    model.ready_seconds.assign(ready.data, ready.data + ready.length);
    model.delay_seconds = [&](uint32_t from, uint32_t to) { return delay.data[from * ranks + to]; };
    model.frame_seconds = frame_seconds;
    model.frame_bytes = kFrameHeaderBytes;
    model.coding_seconds_per_byte = coding_seconds_per_byte;
    Simulated result;
    GM_TRY(simulate(found->request, model, &result));
    std::copy(result.finish_seconds.begin(), result.finish_seconds.end(), finish.data);
    return Status::ok();
  });
}

}  // extern "C"
