// The endpoint's operations, and what the frames on its links mean to them.
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
  const bool posted = post([this, shared] { start(std::move(*shared)); });
  if (!posted) shared->done({GM_CLOSED, "the endpoint is closed"});
}

Status Endpoint::admit(const OperationRequest& request) const {
  const std::string name = "operation is " + std::to_string(request.id);
  if (running_.size() >= kOperationsMax)
    return {GM_INVALID_ARGUMENT, name + ", and " + std::to_string(kOperationsMax) +
                                     " are under way already; wait for one of them to end"};
  if (running(request.id) != nullptr)
    return {GM_INVALID_ARGUMENT, name + ", which is under way; allowed: a number of its own"};
  if (ended_.contains(request.id))
    return {GM_INVALID_ARGUMENT, name + ", which has ended; allowed: a number of its own, above " +
                                     std::to_string(ended_.floor())};
  return Status::ok();
}

// Also where a link is lost already the operation starts, so that the others learn of the loss and end alike.
void Endpoint::start(OperationRequest request) {
  const auto refuse = [&](Status status) { complete([done = request.done, status] { done(status); }); };
  if (const Status status = admit(request); !status) return refuse(status);
  std::vector<Link*> links(request.links.size(), nullptr);
  std::vector<Status> lost(request.links.size());
  for (uint32_t rank = 0; rank < links.size(); ++rank) {
    if (rank == request.plan->request.rank) continue;
    lost[rank] = links_.find(static_cast<uint32_t>(request.links[rank]), &links[rank]);
    if (lost[rank].code() == GM_INVALID_ARGUMENT || lost[rank].code() == GM_CLOSED)
      return refuse({lost[rank].code(), "links[" + std::to_string(rank) + "]: " + lost[rank].message()});
  }
  std::unique_ptr<Workspace> workspace = workspaces_.take();
  OperationMemory memory;
  if (const Status status = workspace->hold(request, &memory); !status) return refuse(status);
  wake_on(request.cancel);
  const uint64_t id = request.id;
  auto made = std::make_unique<Operation>(std::move(request), memory, links,
                                          [this](const Operation& operation) { after_step(operation); });
  Operation& operation = *made;
  running_.emplace(id, Running{std::move(made), std::move(workspace)});
  operation.start();
  for (uint32_t rank = 0; rank < lost.size(); ++rank)
    if (!lost[rank]) operation.lost(rank, lost[rank]);
  for (auto& [link, frames] : early_.take(id)) {
    const auto rank = std::find_if(links.begin(), links.end(), [link = link](const Link* one) {
      return one != nullptr && one->id() == link;
    });
    Link* from = nullptr;
    if (!links_.find(link, &from)) continue;
    if (rank == links.end()) {
      from->drop_data(id);  // what is still landing would land in memory that ends here
      refuse_stranger(*from, operation);
      continue;
    }
    const Status status = operation.early(static_cast<uint32_t>(rank - links.begin()), std::move(frames));
    if (!status) links_.close(link, status);
  }
}

void Endpoint::end_operations() {
  for (auto entry = running_.begin(); entry != running_.end();) {
    if (!entry->second.operation->ended()) {
      ++entry;
      continue;
    }
    std::shared_ptr<Operation> ended = std::move(entry->second.operation);
    ended->release();
    workspaces_.give_back(std::move(entry->second.workspace));
    ended_.add(ended->id());
    entry = running_.erase(entry);
    ++(ended->status() ? operations_done_ : operations_failed_);
    if (!ended->status()) {
      const std::lock_guard lock(failures_mutex_);
      failures_.emplace_back(ended->id(), ended->finished());
      if (failures_.size() > kFailuresMax) failures_.pop_front();
    }
    links_.resume_all();
    complete([ended] { ended->report(); });
  }
}

Status Endpoint::finished(uint64_t operation, std::vector<Range>* ranges) const {
  const std::lock_guard lock(failures_mutex_);
  for (const auto& [id, finished] : failures_)
    if (id == operation) {
      *ranges = finished;
      return Status::ok();
    }
  return {GM_INVALID_ARGUMENT, "operation is " + std::to_string(operation) + "; allowed: one of the last " +
                                   std::to_string(kFailuresMax) + " that failed on this endpoint"};
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

// Data of an operation that has ended is skipped; of one that has not been started here it is kept.
Status Endpoint::frame_arriving(Link& link, const FrameHeader& header, Landing* landing) {
  uint32_t rank = 0;
  Operation* operation = running(header.operation);
  if (operation != nullptr && !operation->ended() && operation->rank_of(link, &rank))
    return operation->arriving(rank, header, landing);
  if (operation != nullptr || ended_.contains(header.operation)) return Status::ok();
  landing->place = Place::take;
  landing->step = Operation::kEarlyStep;
  return early_.land(link.id(), header, &landing->target);
}

Operation* Endpoint::running(uint64_t operation) const {
  const auto found = running_.find(operation);
  return found == running_.end() ? nullptr : found->second.operation.get();
}

// A peer that is not of the group thinks that it is.
void Endpoint::refuse_stranger(Link& link, const Operation& operation) {
  OutgoingFrame frame{.header = {FrameType::abort, kAbortBytes, operation.id()}};
  encode_abort({.code = GM_MISMATCH, .origin = operation.rank(), .field = Field::links},
               frame.control.data());
  link.send(frame);
}

Status Endpoint::frame_arrived(Link& link, const FrameHeader& header, std::span<const uint8_t> payload,
                               uint32_t step) {
  uint32_t rank = 0;
  Operation* operation = running(header.operation);
  if (operation == nullptr) {
    if (ended_.contains(header.operation)) return Status::ok();
    if (header.type != FrameType::data) return early_.control(link.id(), header, payload);
    early_.complete(link.id(), header);
    return Status::ok();
  }
  if (operation->rank_of(link, &rank)) {
    if (operation->ended()) return Status::ok();
    return operation->arrived(rank, header, payload, step);
  }
  // Told once: an answer to each frame of one who never reads would pile up.
  if (header.type == FrameType::begin && link.idle()) refuse_stranger(link, *operation);
  return Status::ok();
}

void Endpoint::frame_sent(Link& link, const OutgoingFrame& frame) {
  uint32_t rank = 0;
  Operation* operation = running(frame.header.operation);
  if (operation != nullptr && operation->rank_of(link, &rank)) operation->sent(rank, frame);
}

void Endpoint::link_lost(Link& link, const Status& why) {
  ++links_lost_;
  early_.forget_link(link.id());
  uint32_t rank = 0;
  for (auto& [id, running] : running_)
    if (running.operation->rank_of(link, &rank)) running.operation->lost(rank, why);
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
