// An operation's life: begin, data, done; or abort.
#include "collective/operation.h"

#include <algorithm>

#include "base/assert.h"
#include "transport/clock.h"

namespace gradmesh {
namespace {

// A rank that has done its steps waits this much longer for the others, whose own limits end them first.
constexpr int64_t kDoneExtraMs = 10'000;

Status refuse(const char* what) { return {GM_PROTOCOL, what}; }

}  // namespace

Operation::Operation(OperationRequest request, const OperationMemory& memory, std::vector<Link*> links,
                     std::function<void(const Operation&)> after_step)
    : request_(std::move(request)),
      rank_(request_.plan->request.rank),
      device_(memory.device),
      executor_(memory.schedule, Executor::arguments_of(request_.plan->request, request_.seed, request_.step),
                memory.host),
      peers_(request_.plan->request.ranks),
      after_step_(std::move(after_step)),
      started_(std::chrono::steady_clock::now()),
      deadline_ms_(now_ms() + request_.limit_ms) {
  for (uint32_t rank = 0; rank < peers_.size(); ++rank) peers_[rank].link = links[rank];
  for (uint32_t index = 0; index < executor_.steps(); ++index) {
    const Step& step = executor_.step(index);
    if (step.kind == StepKind::send) ++peers_[step.peer].sends_left;
    if (step.kind != StepKind::recv) continue;
    ++peers_[step.peer].receives_left;
    GM_ASSERT(peers_[step.peer].receives.emplace(step.tag, index).second);
  }
}

Signature Operation::signature(uint32_t peer) const {
  Signature signature = signature_of(*request_.plan, request_.seed, request_.step);
  signature.sender = rank_;
  signature.receiver = peer;
  return signature;
}

void Operation::start() {
  for (uint32_t rank = 0; rank < peers_.size(); ++rank) {
    if (rank == rank_ || peers_[rank].link == nullptr) continue;
    uint8_t payload[kSignatureBytes];
    encode_signature(signature(rank), payload);
    send_control(*peers_[rank].link, FrameType::begin, payload, sizeof payload);
  }
  after_step_(*this);
  pump();
  settle();
}

bool Operation::rank_of(const Link& link, uint32_t* rank) const {
  for (*rank = 0; *rank < peers_.size(); ++*rank)
    if (peers_[*rank].link == &link) return true;
  return false;
}

// The recv step that the frame is for.
Status Operation::expected(uint32_t rank, const FrameHeader& header, uint32_t* step) const {
  const Peer& peer = peers_[rank];
  const auto found = peer.receives.find(header.tag);
  if (found == peer.receives.end()) return refuse("data that no step expects");
  const size_t due = executor_.target(found->second).size();
  if (header.length != due)
    return {GM_PROTOCOL, "data of " + std::to_string(header.length) + " bytes where the schedule has " +
                             std::to_string(due)};
  *step = found->second;
  return Status::ok();
}

Status Operation::arriving(uint32_t rank, const FrameHeader& header, Landing* landing) {
  Peer& peer = peers_[rank];
  GM_TRY(expected(rank, header, &landing->step));
  peer.held = peer.held || !executor_.ready(landing->step);
  landing->place = executor_.ready(landing->step) ? Place::take : Place::hold;
  if (landing->place == Place::hold) return Status::ok();
  landing->target = executor_.target(landing->step).data();
  peer.receives.erase(header.tag);
  return Status::ok();
}

Status Operation::arrived(uint32_t rank, const FrameHeader& header, std::span<const uint8_t> payload,
                          uint32_t step) {
  count_received(rank, header);
  switch (header.type) {
    case FrameType::begin:
      GM_TRY(arrived_begin(rank, payload));
      break;
    case FrameType::done:
      GM_TRY(arrived_done(rank, payload));
      break;
    case FrameType::abort:
      GM_TRY(arrived_abort(payload));
      break;
    default:
      if (step == kEarlyStep) {
        for (const auto& frame : peers_[rank].early)
          if (frame->header.tag == header.tag) frame->complete = true;
        GM_TRY(landed_early(rank));
        break;
      }
      --peers_[rank].receives_left;
      step_completed(step);
  }
  settle();
  return Status::ok();
}

void Operation::count_received(uint32_t rank, const FrameHeader& header) {
  received_ += kFrameHeaderBytes + header.length + peers_[rank].link->trailer_bytes();
}

Status Operation::early(uint32_t rank, EarlyFrames::Frames frames) {
  Peer& peer = peers_[rank];
  for (auto& frame : frames) {
    if (frame->header.type == FrameType::data) {
      if (frame->complete) count_received(rank, frame->header);
      peer.early.push_back(std::move(frame));
    } else if (!ended_ && peer.link != nullptr) {
      GM_TRY(arrived(rank, frame->header, frame->payload, 0));
    }
  }
  return landed_early(rank);
}

// Checks what has landed, and takes what steps are ready for.
Status Operation::landed_early(uint32_t rank) {
  if (ended_) return Status::ok();
  uint32_t step = 0;
  for (const auto& frame : peers_[rank].early) GM_TRY(expected(rank, frame->header, &step));
  pump();
  settle();
  return Status::ok();
}

// Copies early data to a step that is ready for it; false where there is none.
bool Operation::take_early(uint32_t rank) {
  Peer& peer = peers_[rank];
  const auto found = std::find_if(peer.early.begin(), peer.early.end(), [&](const auto& frame) {
    const auto step = peer.receives.find(frame->header.tag);
    return frame->complete && step != peer.receives.end() && executor_.ready(step->second);
  });
  if (found == peer.early.end()) return false;
  const auto expecting = peer.receives.find((*found)->header.tag);
  const uint32_t step = expecting->second;
  std::copy((*found)->payload.begin(), (*found)->payload.end(), executor_.target(step).begin());
  peer.receives.erase(expecting);
  peer.early.erase(found);
  --peer.receives_left;
  executor_.complete(step);
  after_step_(*this);
  return true;
}

Status Operation::arrived_begin(uint32_t rank, std::span<const uint8_t> payload) {
  if (peers_[rank].begun || payload.size() != kSignatureBytes) return refuse("a second or malformed begin");
  peers_[rank].begun = true;
  Signature due = signature(rank);
  std::swap(due.sender, due.receiver);
  const Signature came = decode_signature(payload.data());
  const Field field = difference(due, came);
  if (field == Field::none) {
    for (; !peers_[rank].sends.empty(); peers_[rank].sends.pop_front()) hand_over(peers_[rank].sends.front());
    return Status::ok();
  }
  const std::string pair = "ranks " + std::to_string(rank_) + " and " + std::to_string(rank);
  fail({.code = GM_MISMATCH, .origin = rank_, .rank = rank, .field = field},
       {GM_MISMATCH,
        pair + " run the operation with different arguments: " + describe_mismatch(field, due, came)});
  return Status::ok();
}

Status Operation::arrived_done(uint32_t rank, std::span<const uint8_t> payload) {
  Peer& peer = peers_[rank];
  // Its begin and its last data may still be on their way in other streams.
  if (peer.done || !payload.empty()) return refuse("done with a payload, or twice");
  peer.done = true;
  return Status::ok();
}

Status Operation::arrived_abort(std::span<const uint8_t> payload) {
  Abort abort;
  if (payload.size() != kAbortBytes) return refuse("an abort of the wrong length");
  GM_TRY(decode_abort(payload.data(), &abort));
  const size_t ranks = peers_.size();
  if (abort.origin >= ranks || abort.origin == rank_ || (abort.rank != Abort::kNobody && abort.rank >= ranks))
    return refuse("an abort of ranks that are not there, or in this rank's name");
  fail(abort, describe_abort(abort));
  return Status::ok();
}

void Operation::sent(uint32_t rank, const OutgoingFrame& frame) {
  const uint64_t framing = kFrameHeaderBytes + peers_[rank].link->trailer_bytes();
  const bool data = frame.header.type == FrameType::data;
  framing_sent_ += framing + (data ? 0 : frame.header.length);
  if (!data || ended_) return;
  payload_sent_ += frame.header.length;
  --peers_[rank].sends_left;
  step_completed(frame.step);
  settle();
}

void Operation::work() {
  Status status = Status::ok();
  if (executor_.has_work()) status = executor_.work();
  for (bool completed = status && executor_.waits_for_device(); completed;) {
    status = executor_.poll(&completed);
    completed = completed && status && executor_.waits_for_device();
  }
  if (!status) return fail({.code = status.code(), .origin = rank_}, status);
  after_step_(*this);
  pump();
  settle();
}

void Operation::step_completed(uint32_t step) {
  executor_.complete(step);
  after_step_(*this);
  pump();
}

// Hands ready sends to their links, reads on where a frame waited for a step of ours, and takes early data.
void Operation::pump() {
  for (bool more = !ended_; more;) {
    for (uint32_t index; executor_.next_send(&index);)
      if (!hand_over(index)) peers_[executor_.step(index).peer].sends.push_back(index);
    for (uint32_t index; executor_.next_recv(&index);) {
      Peer& peer = peers_[executor_.step(index).peer];
      if (peer.held && peer.link != nullptr) peer.link->resume();
      peer.held = false;
    }
    more = false;
    for (uint32_t rank = 0; rank < peers_.size(); ++rank)
      while (!peers_[rank].early.empty() && take_early(rank)) more = true;
  }
}

// False where the peer has not begun and has enough to go on with.
bool Operation::hand_over(uint32_t index) {
  const Step& step = executor_.step(index);
  Peer& peer = peers_[step.peer];
  if (peer.link == nullptr) return true;  // lost: that ends the operation, or has
  const std::span<const uint8_t> payload = executor_.payload(index);
  const uint64_t cost = eager_cost(payload.size());
  const bool enough = peer.eager_cost != 0 && peer.eager_cost + cost > kEagerBytes;
  if (!peer.begun && (enough || !peer.sends.empty())) return false;
  if (!peer.begun) peer.eager_cost += cost;
  peer.link->send({.header = {FrameType::data, static_cast<uint32_t>(payload.size()), request_.id, step.tag},
                   .payload = payload.data(),
                   .step = index});
  return true;
}

// Says done when this rank is, and ends the operation when all are.
void Operation::settle() {
  if (ended_ || !executor_.finished()) return;
  // Data may overtake the begin that says what it is: of the same operation, or nobody is done. Nor does a
  // rank that only sends run far ahead of those that have not begun.
  for (uint32_t rank = 0; rank < peers_.size(); ++rank)
    if (rank != rank_ && !peers_[rank].begun && !peers_[rank].lost) return;
  if (!said_done_) {
    said_done_ = true;
    deadline_ms_ += kDoneExtraMs;
    for (Peer& peer : peers_)
      if (peer.link != nullptr) send_control(*peer.link, FrameType::done, nullptr, 0);
  }
  for (uint32_t rank = 0; rank < peers_.size() && request_.agree; ++rank)
    if (rank != rank_ && !(peers_[rank].begun && peers_[rank].done) && !peers_[rank].lost) return;
  ended_ = true;
}

void Operation::lost(uint32_t rank, const Status& why) {
  peers_[rank].link = nullptr;
  peers_[rank].lost = true;
  if (ended_) return;
  if (lost_rank_ < 0) lost_rank_ = static_cast<int32_t>(rank);
  if (said_done_) return settle();
  fail({.code = GM_PEER_LOST, .origin = rank_, .rank = rank},
       {GM_PEER_LOST, "rank " + std::to_string(rank) + " was lost: " + why.message()});
}

void Operation::cancel() {
  if (!ended_)
    fail({.code = GM_ABORTED, .origin = rank_}, {GM_ABORTED, "the caller cancelled the operation"});
}

uint64_t Operation::awaited() const {
  uint64_t busy = 0, undone = 0;
  for (uint32_t rank = 0; rank < peers_.size(); ++rank) {
    const Peer& peer = peers_[rank];
    if (rank == rank_ || peer.lost) continue;
    if (!peer.begun || peer.receives_left > 0 || peer.sends_left > 0) busy |= uint64_t{1} << rank;
    if (!peer.done) undone |= uint64_t{1} << rank;
  }
  return busy != 0 ? busy : undone;
}

void Operation::tick(int64_t now) {
  if (ended_) return;
  if (request_.cancel != nullptr && request_.cancel->raised()) return cancel();
  if (now < deadline_ms_) return;
  const uint64_t ranks = awaited();
  fail({.code = GM_TIMEOUT, .origin = rank_, .awaited = ranks},
       {GM_TIMEOUT, "the operation ran out of its " + std::to_string(request_.limit_ms) +
                        " ms; still awaited: ranks " + list_ranks(ranks)});
}

void Operation::send_control(Link& link, FrameType type, const uint8_t* payload, uint32_t length) {
  OutgoingFrame frame{.header = {type, length, request_.id}};
  std::copy_n(payload, length, frame.control.begin());
  link.send(frame);
}

// The first error counts; every other rank is told, also when the error came from one of them: the one that
// told us may not reach all.
void Operation::fail(const Abort& abort, Status status) {
  if (ended_) return;
  ended_ = true;
  status_ = std::move(status);
  if (abort.code == GM_PEER_LOST) lost_rank_ = static_cast<int32_t>(abort.rank);
  uint8_t payload[kAbortBytes];
  encode_abort(abort, payload);
  for (Peer& peer : peers_) {
    if (peer.link == nullptr) continue;
    peer.link->drop_data(request_.id);
    send_control(*peer.link, FrameType::abort, payload, sizeof payload);
  }
}

void Operation::release() {
  GM_ASSERT(ended_);
  for (Peer& peer : peers_) {
    if (peer.link != nullptr) peer.link->drop_data(request_.id);
    peer.link = nullptr;
  }
  device_.reset();  // waits for what the device still reads and writes
  if (request_.cancel != nullptr) request_.cancel->on_raise(nullptr);
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
}

void Operation::report() {
  const double report[kReportLength] = {
      static_cast<double>(payload_sent_), static_cast<double>(framing_sent_),
      static_cast<double>(received_),     seconds_,
      static_cast<double>(lost_rank_),    static_cast<double>(executor_.steps_done())};
  std::copy_n(report, kReportLength, request_.report);
  request_.done(status_);
}

}  // namespace gradmesh
