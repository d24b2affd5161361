// The C ABI of endpoints and links.
#include <algorithm>
#include <csignal>
#include <cstring>

#include "abi/abi.h"
#include "abi/cancels.h"
#include "abi/endpoints.h"

namespace gradmesh::abi {

HandleTable<Endpoint>& endpoints() {
  static HandleTable<Endpoint> table;
  return table;
}

Status check_limit(uint32_t limit_ms) {
  constexpr uint32_t kDayMs = 24 * 60 * 60 * 1000;
  if (limit_ms >= 1 && limit_ms <= kDayMs) return Status::ok();
  return {GM_INVALID_ARGUMENT,
          "limit_ms is " + std::to_string(limit_ms) + "; allowed: 1 to " + std::to_string(kDayMs)};
}

}  // namespace gradmesh::abi

namespace {

using namespace gradmesh;

Status copy_exactly(const char* field, gm_bytes source, std::span<uint8_t> target) {
  if (source.length != target.size())
    return {GM_INVALID_ARGUMENT, std::string(field) + " has " + std::to_string(source.length) +
                                     " bytes; allowed: " + std::to_string(target.size())};
  GM_TRY(abi::check_given({{field, source}}));
  std::memcpy(target.data(), source.data, target.size());
  return Status::ok();
}

// Keys may be empty for an endpoint that is not encrypted.
Status copy_secrets(const Endpoint& endpoint, gm_bytes ticket, gm_bytes send_key, gm_bytes receive_key,
                    uint32_t streams, LinkSecrets* secrets) {
  if (streams < 1 || streams > kStreamsMax)
    return {GM_INVALID_ARGUMENT,
            "streams is " + std::to_string(streams) + "; allowed: 1 to " + std::to_string(kStreamsMax)};
  secrets->streams = streams;
  GM_TRY(copy_exactly("ticket", ticket, secrets->ticket));
  if (!endpoint.encrypted()) return Status::ok();
  GM_TRY(copy_exactly("send_key", send_key, secrets->send_key));
  GM_TRY(copy_exactly("receive_key", receive_key, secrets->receive_key));
  if (!crypto::equal(secrets->send_key, secrets->receive_key)) return Status::ok();
  return {GM_INVALID_ARGUMENT,
          "send_key and receive_key are the same; allowed: a key of its own for each direction"};
}

}  // namespace

extern "C" {

int32_t gm_endpoint_create(gm_text host, uint32_t port, uint32_t silence_limit_ms, bool encrypted,
                           gm_text congestion_control, uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(
        abi::check_given({{"host", host}, {"congestion_control", congestion_control}, {"result", result}}));
    std::shared_ptr<Endpoint> endpoint;
    GM_TRY(Endpoint::create({.host = abi::string(host),
                             .port = port,
                             .silence_limit_ms = silence_limit_ms,
                             .encrypted = encrypted,
                             .congestion_control = abi::string(congestion_control)},
                            &endpoint));
    *result = abi::endpoints().add(std::move(endpoint));
    return Status::ok();
  });
}

int32_t gm_endpoint_port(uint32_t endpoint, uint32_t* result) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_given({{"result", result}}));
    *result = found->port();
    return Status::ok();
  });
}

int32_t gm_endpoint_expect(uint32_t endpoint, gm_bytes ticket, gm_bytes send_key, gm_bytes receive_key,
                           uint32_t streams, uint32_t limit_ms, uint32_t* result) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_limit(limit_ms));
    LinkSecrets secrets;
    GM_TRY(copy_secrets(*found, ticket, send_key, receive_key, streams, &secrets));
    GM_TRY(abi::check_given({{"result", result}}));
    return found->expect(secrets, limit_ms, result);
  });
}

int32_t gm_endpoint_dial(uint32_t endpoint, gm_text host, uint32_t port, gm_bytes ticket, gm_bytes send_key,
                         gm_bytes receive_key, uint32_t streams, uint32_t limit_ms, uint32_t cancel,
                         uint32_t* result, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_limit(limit_ms));
    LinkSecrets secrets;
    GM_TRY(copy_secrets(*found, ticket, send_key, receive_key, streams, &secrets));
    GM_TRY(abi::check_given({{"host", host}, {"result", result}, {"done", reinterpret_cast<void*>(done)}}));
    found->dial(abi::string(host), port, secrets, limit_ms, abi::cancels().find(cancel),
                [=](const Status& status, uint32_t link) {
                  *result = link;
                  done(context, status.code(), status.message().c_str());
                });
    return Status::ok();
  });
}

int32_t gm_endpoint_pace(uint32_t endpoint, uint64_t bytes_per_second) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    found->pace(bytes_per_second);
    return Status::ok();
  });
}

int32_t gm_endpoint_stats(uint32_t endpoint, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_given({{"result", result}}));
    return abi::copy_text(found->stats(), result);
  });
}

int32_t gm_endpoint_fault(uint32_t endpoint, uint64_t operation, uint32_t steps, uint32_t signal) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    if (signal < 1 || signal >= static_cast<uint32_t>(NSIG))
      return {GM_INVALID_ARGUMENT,
              "signal is " + std::to_string(signal) + "; allowed: 1 to " + std::to_string(NSIG - 1)};
    found->after_steps(operation, steps, [signal] { std::raise(static_cast<int>(signal)); });
    return Status::ok();
  });
}

int32_t gm_endpoint_close(uint32_t endpoint) {
  return abi::guard([&] {
    if (const auto found = abi::endpoints().remove(endpoint)) found->close();
    return Status::ok();
  });
}

int32_t gm_link_ready(uint32_t endpoint, uint32_t link, uint32_t limit_ms, uint32_t cancel, gm_done done,
                      void* context) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_limit(limit_ms));
    GM_TRY(abi::check_given({{"done", reinterpret_cast<void*>(done)}}));
    found->ready(link, limit_ms, abi::cancels().find(cancel),
                 [=](const Status& status) { done(context, status.code(), status.message().c_str()); });
    return Status::ok();
  });
}

int32_t gm_link_close(uint32_t endpoint, uint32_t link) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    found->close_link(link);
    return Status::ok();
  });
}

int32_t gm_link_probe(uint32_t endpoint, uint32_t link, uint64_t bytes, uint32_t streams, uint32_t pings,
                      uint32_t limit_ms, gm_f64s result, uint32_t cancel, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_limit(limit_ms));
    GM_TRY(abi::check_given({{"result", result}, {"done", reinterpret_cast<void*>(done)}}));
    constexpr size_t kLength = 4;
    if (result.length < kLength)
      return {GM_INVALID_ARGUMENT, "result has " + std::to_string(result.length) +
                                       " elements; allowed: " + std::to_string(kLength) + " or more"};
    found->probe(link,
                 {.bytes = bytes,
                  .streams = streams,
                  .pings = pings,
                  .limit_ms = limit_ms,
                  .cancel = abi::cancels().find(cancel)},
                 [=](const Status& status, const ProbeResult& measured) {
                   const double values[kLength] = {
                       measured.round_trip_seconds, measured.round_trip_median_seconds,
                       measured.bytes_per_second, static_cast<double>(measured.bytes)};
                   std::copy_n(values, kLength, result.data);
                   done(context, status.code(), status.message().c_str());
                 });
    return Status::ok();
  });
}

int32_t gm_link_use(uint32_t endpoint, uint32_t link, uint32_t streams) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    return found->use(link, streams);
  });
}

int32_t gm_link_stats(uint32_t endpoint, uint32_t link, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_given({{"result", result}}));
    std::string json;
    GM_TRY(found->link_stats(link, &json));
    return abi::copy_text(json, result);
  });
}

}  // extern "C"
