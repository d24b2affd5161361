// The endpoint's operations: one at a time, and what the frames on its links mean to it.
#include <algorithm>

#include "collective/endpoint.h"

namespace gradmesh {
namespace {

void fill_report(const OperationRequest& request, double lost_rank) {
  std::fill_n(request.report, kReportLength, 0.0);
  request.report[4] = lost_rank;
}

}  // namespace

void Endpoint::run(OperationRequest request) {
  fill_report(request, -1);
  auto shared = std::make_shared<OperationRequest>(std::move(request));
  const bool posted = post([this, shared] {
    if (waiting_.size() < kOperationsMax) return waiting_.push_back(std::move(*shared));
    const Status status{GM_INVALID_ARGUMENT, std::to_string(kOperationsMax) + " operations wait already"};
    complete([done = shared->done, status] { done(status); });
  });
  if (!posted) shared->done({GM_CLOSED, "the endpoint is closed"});
}

void Endpoint::start_next() {
  while (operation_ == nullptr && !waiting_.empty()) {
    OperationRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    start(std::move(request));
  }
}

// Also where a link is lost already the operation starts, so that the others learn of the loss and end alike.
void Endpoint::start(OperationRequest request) {
  const auto refuse = [&](Status status) { complete([done = request.done, status] { done(status); }); };
  if (request.id <= last_operation_)
    return refuse({GM_INVALID_ARGUMENT, "operation is " + std::to_string(request.id) + "; allowed: above " +
                                            std::to_string(last_operation_) +
                                            ", the last one of this endpoint"});
  Schedule schedule;
  if (const Status status = write_schedule(request.schedule, &schedule); !status) return refuse(status);
  uint8_t* staging = nullptr;
  if (const Status status = arena_.hold(schedule.staging_bytes, &staging); !status) return refuse(status);
  std::vector<Link*> links(request.links.size(), nullptr);
  std::vector<Status> lost(request.links.size());
  for (uint32_t rank = 0; rank < links.size(); ++rank) {
    if (rank == request.schedule.rank) continue;
    lost[rank] = links_.find(static_cast<uint32_t>(request.links[rank]), &links[rank]);
    if (lost[rank].code() == GM_INVALID_ARGUMENT || lost[rank].code() == GM_CLOSED)
      return refuse({lost[rank].code(), "links[" + std::to_string(rank) + "]: " + lost[rank].message()});
  }
  last_operation_ = request.id;
  strangers_.clear();
  wake_on(request.cancel);
  operation_ = std::make_unique<Operation>(std::move(request), std::move(schedule), staging, std::move(links),
                                           [this](const Operation& operation) { after_step(operation); });
  operation_->start();
  for (uint32_t rank = 0; rank < lost.size(); ++rank)
    if (!lost[rank]) operation_->lost(rank, lost[rank]);
  links_.resume_all();
  if (operation_->ended()) end_operation();
}

void Endpoint::end_operation() {
  ++(operation_->status() ? operations_done_ : operations_failed_);
  std::shared_ptr<Operation> ended = std::move(operation_);
  ended->release();
  links_.resume_all();
  complete([ended] { ended->report(); });
}

void Endpoint::after_step(const Operation& operation) {
  for (size_t index = 0; index < faults_.size();) {
    if (faults_[index].operation != operation.id() || operation.steps_done() < faults_[index].steps) {
      ++index;
      continue;
    }
    const std::function<void()> action = std::move(faults_[index].action);
    faults_.erase(faults_.begin() + static_cast<std::ptrdiff_t>(index));
    action();
  }
}

// Data of an operation that has ended is skipped; of one that has not begun there is none, because its begin
// is held.
Status Endpoint::frame_arriving(Link& link, const FrameHeader& header, Place* place, uint8_t** target) {
  uint32_t rank = 0;
  *place = Place::skip;
  if (header.operation > last_operation_) return {GM_PROTOCOL, "data before begin"};
  if (!running(header.operation) || !operation_->rank_of(link, &rank)) return Status::ok();
  return operation_->arriving(rank, header, place, target);
}

bool Endpoint::running(uint64_t operation) const {
  return operation_ != nullptr && !operation_->ended() && operation_->id() == operation;
}

// A peer that is not of the group thinks that it is. It is told once: answers to one who never reads would
// pile up.
Status Endpoint::refuse_stranger(Link& link, const FrameHeader& header) {
  if (header.type != FrameType::begin) return Status::ok();
  if (std::find(strangers_.begin(), strangers_.end(), link.id()) != strangers_.end())
    return {GM_PROTOCOL, "a second begin"};
  strangers_.push_back(link.id());
  OutgoingFrame frame{.header = {FrameType::abort, kAbortBytes, header.operation}};
  encode_abort({.code = GM_MISMATCH, .origin = operation_->rank(), .field = Field::links},
               frame.control.data());
  link.send(frame);
  return Status::ok();
}

Status Endpoint::frame_arrived(Link& link, const FrameHeader& header, std::span<const uint8_t> payload,
                               bool* hold) {
  uint32_t rank = 0;
  if (header.operation > last_operation_) {
    *hold = true;
    if (running(last_operation_) && operation_->rank_of(link, &rank)) operation_->newer(rank);
    return Status::ok();
  }
  if (!running(header.operation)) return Status::ok();
  if (operation_->rank_of(link, &rank)) return operation_->arrived(rank, header, payload);
  return refuse_stranger(link, header);
}

void Endpoint::frame_sent(Link& link, const OutgoingFrame& frame) {
  uint32_t rank = 0;
  if (operation_ == nullptr || frame.header.operation != operation_->id()) return;
  if (operation_->rank_of(link, &rank)) operation_->sent(rank, frame);
}

void Endpoint::link_lost(Link& link, const Status& why) {
  ++links_lost_;
  uint32_t rank = 0;
  if (operation_ != nullptr && operation_->rank_of(link, &rank)) operation_->lost(rank, why);
}

std::string Endpoint::stats() const {
  std::string json = "{";
  const auto number = [&](const char* name, uint64_t value) {
    json += std::string(json.back() == '{' ? "\"" : ",\"") + name + "\":" + std::to_string(value);
  };
  number("linksOpened", links_.opened());
  number("linksLost", links_lost_);
  number("operationsDone", operations_done_);
  number("operationsFailed", operations_failed_);
  number("payloadBytesSent", traffic_.payload_sent);
  number("payloadBytesReceived", traffic_.payload_received);
  number("framingBytesSent", traffic_.framing_sent);
  number("framingBytesReceived", traffic_.framing_received);
  number("controlBytesSent", traffic_.control_sent);
  number("controlBytesReceived", traffic_.control_received);
  json += ",\"refused\":{";
  for (size_t why = 0; why < kRefusalNames.size(); ++why) number(kRefusalNames[why], refusals_.counts[why]);
  return json + "}}";
}

}  // namespace gradmesh
