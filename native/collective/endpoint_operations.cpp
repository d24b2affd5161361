// The endpoint's operations: one at a time, and what the frames on its links mean to it.
#include <algorithm>

#include "collective/endpoint.h"
#include "collective/mirror.h"
#include "collective/partition.h"

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
  OperationMemory memory;
  if (const Status status = hold_memory(request, &schedule, &memory); !status) return refuse(status);
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
  operation_ = std::make_unique<Operation>(std::move(request), std::move(schedule), memory, std::move(links),
                                           [this](const Operation& operation) { after_step(operation); });
  operation_->start();
  for (uint32_t rank = 0; rank < lost.size(); ++rank)
    if (!lost[rank]) operation_->lost(rank, lost[rank]);
  links_.resume_all();
  if (operation_->ended()) end_operation();
}

Status Endpoint::hold_memory(const OperationRequest& request, Schedule* schedule, OperationMemory* memory) {
  memory->host.input = request.input;
  memory->host.output = request.output;
  if (request.device == nullptr) return arena_.hold(schedule->staging_bytes, &memory->host.staging);
  const Codec& codec = *request.schedule.codec;
  const uint64_t elements = request.schedule.elements;
  uint64_t mirror_bytes = 0, scratch_bytes = 0;
  if (codec.traits.identity) {
    mirror_on_host(schedule);
    mirror_bytes = (elements * sizeof(float) + 63) / 64 * 64;
  } else {
    const DeviceTable& table = request.device->table();
    const DeviceCodecLoops* loops = codec.row < table.codecs ? table.codec[codec.row] : nullptr;
    if (loops == nullptr)
      return {GM_UNSUPPORTED, "codec is " + codec.spec + ", which the CUDA plugin of this build lacks"};
    const uint64_t segment =
        std::min(elements, segment_length(request.schedule.segment_elements, codec.traits.block_elements));
    if (codec.traits.block_elements % 4 != 0)
      return {GM_INVALID_ARGUMENT,
              "codec is " + codec.spec + ", whose blocks of " + std::to_string(codec.traits.block_elements) +
                  " elements leave the 16-byte alignment that a device needs; allowed there: "
                  "blocks of a multiple of 4 elements"};
    if (loops->scratch_bytes != nullptr) scratch_bytes = loops->scratch_bytes(codec.options, segment, 1);
  }
  if (device_ == nullptr || device_->device()->index() != request.device->index() ||
      &device_->device()->table() != &request.device->table())
    GM_TRY(DeviceStaging::create(request.device, &device_));
  const uint64_t staging_bytes = schedule->staging_bytes;
  const uint64_t wire_bytes = codec.traits.identity ? 0 : staging_bytes;
  GM_TRY(device_->hold(staging_bytes + 2 * mirror_bytes, wire_bytes, scratch_bytes));
  memory->host.staging = device_->pinned();
  DeviceWork::Memory device{request.input, request.output, nullptr, nullptr};
  if (codec.traits.identity) {
    device.input_mirror = reinterpret_cast<float*>(device_->pinned() + staging_bytes);
    device.output_mirror = reinterpret_cast<float*>(device_->pinned() + staging_bytes + mirror_bytes);
    memory->host.input = device.input_mirror;
    memory->host.output = device.output_mirror;
  }
  memory->device = std::make_shared<DeviceWork>(*device_, codec, device);
  memory->host.device = memory->device.get();
  return Status::ok();
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
