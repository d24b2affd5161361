// All ranks' schedules in turns of three parts, in each of which ranks are free of each other:
// 1. each rank does the local steps that are ready, and hands over its sends;
// 2. each takes what was sent to it;
// 3. each copies results that another rank has decoded from the same bytes.
//
// The third: `direct` and `gather_mean` end with every rank decoding the same wires. Here one rank decodes a
// part of the result (its leader: the owner of the chunk, or by turns), and the others copy what it decoded;
// nor do they take the wires, which they would not read.
#include "collective/local.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "base/assert.h"
#include "collective/agreement.h"
#include "collective/executor.h"

namespace gradmesh {
namespace {

struct Frame {
  uint32_t from, send;  // the sender's step
  uint32_t recv;        // the receiver's
  bool taken = false;
};

struct Rank {
  std::unique_ptr<Executor> executor;
  std::unordered_map<uint64_t, uint32_t> recvs;  // by key_of
  std::vector<uint32_t> sends;                   // handed over in this turn
  std::vector<Frame> inbox;
  std::vector<uint32_t> copies;  // steps whose result a leader decodes
  std::vector<bool> unread;      // by step: a recv whose bytes only such steps would read
  uint64_t sent = 0;
  bool moved = false;  // did something in this turn
};

// Tags are below 2^53.
uint64_t key_of(uint32_t peer, uint64_t tag) { return tag | uint64_t{peer} << 53; }
static_assert(kRanksMax <= 1u << 11);

class LocalRun {
 public:
  LocalRun(ThreadPool& pool, const std::vector<LocalRank>& locals, uint64_t seed, uint64_t step,
           uint8_t* scratch)
      : pool_(pool), locals_(locals), request_(locals[0].plan->request), ranks_(locals.size()) {
    const std::string_view name = collective_name(request_.collective);
    by_owner_ = name == "direct";
    // A sum is multiplied in place after it is decoded.
    shares_ =
        (by_owner_ || name == "gather_mean") && request_.reduction != Reduction::sum && request_.held.empty();
    for (uint32_t who = 0; who < ranks_.size(); ++who) {
      const Schedule& schedule = locals[who].plan->schedule;
      const Buffers buffers{locals[who].input, locals[who].output, scratch,
                            locals[who].state, locals[who].next,   nullptr};
      scratch += rounded(schedule.staging_bytes);
      prepare(who, std::make_unique<Executor>(std::shared_ptr<const Schedule>(locals[who].plan, &schedule),
                                              Executor::arguments_of(locals[who].plan->request, seed, step),
                                              buffers));
    }
    mark_unread();
  }
  static uint64_t rounded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

  void run(double* sent) {
    while (!finished()) {
      for (Rank& rank : ranks_) rank.moved = false;
      each_rank([this](uint32_t who) { work(who); });
      hand_over();
      each_rank([this](uint32_t who) { take(who); });
      for (Rank& rank : ranks_) settle(rank);
      each_rank([this](uint32_t who) { copy(who); });
      // Else the schedules wait for each other. They do not, as no recv waits for what another rank does.
      GM_ASSERT(std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.moved; }));
    }
    for (size_t who = 0; who < ranks_.size(); ++who) sent[who] = static_cast<double>(ranks_[who].sent);
  }

 private:
  template <class Body>
  void each_rank(Body&& body) {
    std::atomic<uint32_t> next = 0;
    pool_.run([&](uint32_t) {
      for (uint32_t who; (who = next.fetch_add(1, std::memory_order_relaxed)) < ranks_.size();) body(who);
    });
  }
  bool finished() const {
    return std::all_of(ranks_.begin(), ranks_.end(),
                       [](const Rank& rank) { return rank.executor->finished(); });
  }

  void prepare(uint32_t who, std::unique_ptr<Executor> executor) {
    Rank& rank = ranks_[who];
    for (uint32_t index = 0; index < executor->steps(); ++index) {
      const Step& step = executor->step(index);
      if (step.kind == StepKind::recv) rank.recvs.emplace(key_of(step.peer, step.tag), index);
      if (shares_ && step.kind != StepKind::send && step.target.space == Space::output)
        decoded_.try_emplace(step.target.offset, false);
    }
    rank.unread.resize(executor->steps());
    rank.executor = std::move(executor);
  }

  // Who decodes this part of the result.
  uint32_t leader_of(uint64_t first) const {
    const uint64_t block = request_.block_elements();
    const auto ranks = static_cast<uint32_t>(ranks_.size());
    if (!by_owner_)
      return static_cast<uint32_t>(first / segment_length(request_.segment_elements, block) % ranks);
    uint32_t owner = 0;
    for (uint32_t half = std::bit_floor(ranks); half > 0;
         half /= 2)  // the last chunk that begins at or before it
      if (owner + half < ranks && chunk_range(request_.elements, block, ranks, owner + half).begin <= first)
        owner += half;
    return owner;
  }
  bool is_copied(uint32_t who, const Step& step) const {
    const bool decodes = step.kind == StepKind::decode || step.kind == StepKind::average;
    return shares_ && decodes && step.target.space == Space::output && leader_of(step.target.offset) != who;
  }
  void mark_unread() {
    for (uint32_t who = 0; who < ranks_.size() && shares_; ++who)
      for (uint32_t index = 0; index < ranks_[who].executor->steps(); ++index) {
        const Step& step = ranks_[who].executor->step(index);
        if (!is_copied(who, step)) continue;
        for (const uint32_t wait : step.waits)
          ranks_[who].unread[wait] = ranks_[who].executor->step(wait).kind == StepKind::recv;
      }
  }

  void work(uint32_t who) {
    Rank& rank = ranks_[who];
    Executor& executor = *rank.executor;
    for (uint32_t index; executor.next_work(&index);) {
      rank.moved = true;
      const Step& step = executor.step(index);
      if (is_copied(who, step)) {
        rank.copies.push_back(index);
        continue;
      }
      executor.work(index);
      if (shares_ && step.target.space == Space::output) decoded_.find(step.target.offset)->second = true;
    }
    for (uint32_t index; executor.next_recv(&index);) {
    }
    for (uint32_t index; executor.next_send(&index);) rank.sends.push_back(index);
  }

  void hand_over() {
    for (uint32_t who = 0; who < ranks_.size(); ++who) {
      Rank& rank = ranks_[who];
      rank.moved = rank.moved || !rank.sends.empty();
      for (const uint32_t send : rank.sends) {
        const Step& step = rank.executor->step(send);
        const auto recv = ranks_[step.peer].recvs.find(key_of(who, step.tag));
        GM_ASSERT(recv != ranks_[step.peer].recvs.end());
        ranks_[step.peer].inbox.push_back({who, send, recv->second});
      }
      rank.sends.clear();
    }
  }

  void take(uint32_t who) {
    Rank& rank = ranks_[who];
    for (Frame& frame : rank.inbox) {
      if (!rank.executor->ready(frame.recv)) continue;
      if (!rank.unread[frame.recv]) {
        const std::span<const uint8_t> payload = ranks_[frame.from].executor->payload(frame.send);
        const std::span<uint8_t> target = rank.executor->target(frame.recv);
        GM_ASSERT(payload.size() == target.size());
        std::memcpy(target.data(), payload.data(), payload.size());
      }
      frame.taken = true;
    }
  }

  // Completes what was taken, at both ends.
  void settle(Rank& rank) {
    for (const Frame& frame : rank.inbox) {
      if (!frame.taken) continue;
      rank.moved = true;
      rank.executor->complete(frame.recv);
      Rank& sender = ranks_[frame.from];
      sender.sent += sender.executor->payload(frame.send).size();
      sender.executor->complete(frame.send);
    }
    std::erase_if(rank.inbox, [](const Frame& frame) { return frame.taken; });
  }

  void copy(uint32_t who) {
    Rank& rank = ranks_[who];
    std::erase_if(rank.copies, [&](uint32_t index) {
      const Region& target = rank.executor->step(index).target;
      if (!decoded_.find(target.offset)->second) return false;
      const size_t size = dtype_bytes(request_.dtype);
      std::memcpy(locals_[who].output + target.offset * size,
                  locals_[leader_of(target.offset)].output + target.offset * size, target.elements * size);
      rank.executor->complete(index);
      rank.moved = true;
      return true;
    });
  }

  ThreadPool& pool_;
  const std::vector<LocalRank>& locals_;
  const ScheduleRequest& request_;
  std::vector<Rank> ranks_;
  bool by_owner_, shares_;
  std::unordered_map<uint64_t, uint8_t>
      decoded_;  // by first element of a part of the result: its leader has it
};

Status check_plans(const std::vector<LocalRank>& ranks) {
  const auto invalid = [](const std::string& what) { return Status{GM_INVALID_ARGUMENT, what}; };
  if (ranks.empty()) return invalid("plans is an empty list; allowed: one of each rank");
  for (uint32_t who = 0; who < ranks.size(); ++who) {
    const ScheduleRequest& request = ranks[who].plan->request;
    const std::string name = "plans[" + std::to_string(who) + "]";
    if (request.ranks != ranks.size())
      return invalid(name + " is of " + std::to_string(request.ranks) +
                     " ranks; allowed: " + std::to_string(ranks.size()) + ", the number of plans");
    if (request.rank != who)
      return invalid(name + " is of rank " + std::to_string(request.rank) + "; allowed: the plan of rank " +
                     std::to_string(who));
    Signature due = signature_of(*ranks[0].plan, 0, 0), came = signature_of(*ranks[who].plan, 0, 0);
    due.sender = came.sender = who;
    const Field field = difference(due, came);
    if (field != Field::none)
      return invalid(name + " differs from plans[0]: " + describe_mismatch(field, due, came));
  }
  return Status::ok();
}

}  // namespace

Status LocalGroup::run(const std::vector<LocalRank>& ranks, uint64_t seed, uint64_t step, double* sent) {
  GM_TRY(check_plans(ranks));
  uint64_t bytes = 0;
  for (const LocalRank& rank : ranks) bytes += LocalRun::rounded(rank.plan->schedule.staging_bytes);
  uint8_t* scratch = nullptr;
  GM_TRY(arena_.hold(bytes, &scratch));
  LocalRun(pool_, ranks, seed, step, scratch).run(sent);
  return Status::ok();
}

}  // namespace gradmesh
