// A group of endpoints in one process, linked each with each over loopback, and collectives over them.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>

#include "check.h"
#include "collective/endpoint.h"
#include "transport/clock.h"

namespace group {

using namespace gradmesh;

// No test waits longer; none should come near.
inline constexpr uint32_t kPatienceMs = 30'000;

inline LinkSecrets random_secrets(uint32_t streams = 1) {
  LinkSecrets secrets;
  secrets.streams = streams;
  CHECK(static_cast<bool>(crypto::random_bytes(secrets.ticket)));
  CHECK(static_cast<bool>(crypto::random_bytes(secrets.send_key)));
  CHECK(static_cast<bool>(crypto::random_bytes(secrets.receive_key)));
  return secrets;
}

inline LinkSecrets reversed(LinkSecrets secrets) {
  std::swap(secrets.send_key, secrets.receive_key);
  return secrets;
}

inline std::shared_ptr<Endpoint> make_endpoint(const Endpoint::Options& options) {
  std::shared_ptr<Endpoint> endpoint;
  const Status status = Endpoint::create(options, &endpoint);
  CHECK_THAT(static_cast<bool>(status), status.message());
  return endpoint;
}

// Calls something that ends by a Done, and waits for it.
template <class Call>
Status wait_for(Call&& call) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  call([promise](const Status& status) { promise->set_value(status); });
  return future.get();
}

inline Status dial(Endpoint& from, uint32_t port, const LinkSecrets& secrets, uint32_t* link,
                   uint32_t limit_ms = kPatienceMs) {
  return wait_for([&](auto done) {
    from.dial("127.0.0.1", port, secrets, limit_ms, nullptr, [=](const Status& status, uint32_t id) {
      *link = id;
      done(status);
    });
  });
}

struct Result {
  Status status;
  std::vector<float> input, output, next;
  std::array<double, kReportLength> report{};
};

// Of the codec's random numbers.
inline constexpr uint64_t kSeed = 11, kStep = 3;

struct Call {
  uint64_t id = 1;
  uint32_t collective = 0;
  const Codec* codec = codec_find("fp32");
  uint64_t segment = 65536;
  uint32_t root = 0;
  uint64_t seed = kSeed, step = kStep;
  uint32_t limit_ms = kPatienceMs;
  std::shared_ptr<Cancel> cancel{};
  device::SharedDevice device{};
  uint32_t on_device = 0;  // a bit for each rank whose tensors lie on the device
  Dtype dtype = Dtype::fp32;
  Reduction reduction = Reduction::mean;
  std::vector<double> weights{};
  std::string topology{};
  uint64_t round = 0;
  std::vector<uint32_t> islands{};
  std::vector<std::vector<Range>> held{};
  std::vector<float> output{};  // what it holds before; default -77
  const Codec* down = nullptr;
  double owner_decay = -1;
  std::vector<float> state{};  // of every owner's chunk, where there is a decay
};

inline ScheduleRequest request_of(const Call& call, uint32_t ranks, uint32_t rank, uint64_t elements) {
  return {.collective = call.collective,
          .ranks = ranks,
          .rank = rank,
          .root = call.root,
          .elements = elements,
          .segment_elements = call.segment,
          .codec = call.codec,
          .dtype = call.dtype,
          .reduction = call.reduction,
          .weights = call.weights,
          .topology = call.topology,
          .round = call.round,
          .islands = call.islands,
          .held = call.held,
          .down = call.down,
          .owner_decay = call.owner_decay};
}

// Floats as the dtype's memory, and back.
inline std::vector<uint8_t> memory_of(Dtype dtype, const std::vector<float>& values) {
  const Codec& codec = *codec_find(dtype_name(dtype));
  std::vector<uint8_t> memory(codec.bytes(values.size()));
  codec_loops(codec).encode(codec.options, {}, values.data(), values.size(), memory.data());
  return memory;
}
inline std::vector<float> floats_of(Dtype dtype, const std::vector<uint8_t>& memory) {
  const Codec& codec = *codec_find(dtype_name(dtype));
  std::vector<float> values(memory.size() / dtype_bytes(dtype));
  codec_loops(codec).decode(codec.options, {}, memory.data(), values.size(), values.data());
  return values;
}

// A rank's tensors on a device.
class DeviceTensors {
 public:
  DeviceTensors(const device::SharedDevice& device, const std::vector<float>& input) {
    const size_t bytes = input.size() * sizeof(float);
    for (device::Memory* memory : {&input_, &output_})
      CHECK(static_cast<bool>(device::Memory::allocate(device, device::Memory::Kind::device, bytes, memory)));
    CHECK(static_cast<bool>(device::Stream::create(device, &stream_)));
    CHECK(static_cast<bool>(stream_.copy(input_.data(), input.data(), bytes)));
    CHECK(static_cast<bool>(stream_.fill(output_.data(), 0xa5, bytes)));
    CHECK(static_cast<bool>(stream_.synchronize()));
  }
  const float* input() const { return input_.data<float>(); }
  float* output() const { return output_.data<float>(); }
  void fetch(std::vector<float>* input, std::vector<float>* output) const {
    const size_t bytes = output->size() * sizeof(float);
    CHECK(static_cast<bool>(stream_.copy(input->data(), input_.data(), bytes)));
    CHECK(static_cast<bool>(stream_.copy(output->data(), output_.data(), bytes)));
    CHECK(static_cast<bool>(stream_.synchronize()));
  }

 private:
  device::Memory input_, output_;
  device::Stream stream_;
};

class Group {
 public:
  explicit Group(uint32_t ranks, Endpoint::Options options = {.encrypted = false}, uint32_t streams = 1)
      : streams_(streams), links_(ranks) {
    for (uint32_t rank = 0; rank < ranks; ++rank) {
      endpoints_.push_back(make_endpoint(options));
      links_[rank].assign(ranks, -1);
    }
    for (uint32_t high = 0; high < ranks; ++high)
      for (uint32_t low = 0; low < high; ++low) connect(high, low);
  }

  uint32_t ranks() const { return static_cast<uint32_t>(endpoints_.size()); }
  Endpoint& endpoint(uint32_t rank) { return *endpoints_[rank]; }
  const std::vector<int32_t>& links(uint32_t rank) const { return links_[rank]; }

  // Posts the call for one rank; the future ends with its result.
  std::future<Result> post(uint32_t rank, const Call& call, std::vector<float> input,
                           std::vector<int32_t> links = {}) {
    if (links.empty()) links = links_[rank];
    struct Work : Result {
      std::vector<uint8_t> input_memory, output_memory;
      std::vector<float> state;
    };
    auto result = std::make_shared<Work>();
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    result->input = std::move(input);
    result->state = call.state;
    result->next.assign(call.state.size(), -77.0f);
    result->output = call.output;
    if (call.output.empty()) result->output.assign(result->input.size(), -77.0f);
    result->input_memory = memory_of(call.dtype, result->input);
    result->output_memory = memory_of(call.dtype, result->output);
    const bool on_device = (call.on_device >> rank & 1u) != 0;
    std::shared_ptr<DeviceTensors> tensors;
    if (on_device) tensors = std::make_shared<DeviceTensors>(call.device, result->input);
    const auto own = std::find(links.begin(), links.end(), -1) - links.begin();
    std::shared_ptr<const Plan> plan;
    const Status planned = Plan::make(request_of(call, static_cast<uint32_t>(links.size()),
                                                 static_cast<uint32_t>(own), result->input.size()),
                                      &plan);
    CHECK_THAT(static_cast<bool>(planned), planned.message());
    const auto* device_input = on_device ? reinterpret_cast<const uint8_t*>(tensors->input()) : nullptr;
    auto* device_output = on_device ? reinterpret_cast<uint8_t*>(tensors->output()) : nullptr;
    endpoints_[rank]->run({.id = call.id,
                           .plan = plan,
                           .links = links,
                           .seed = call.seed,
                           .step = call.step,
                           .device = on_device ? call.device : nullptr,
                           .input = on_device ? device_input : result->input_memory.data(),
                           .output = on_device ? device_output : result->output_memory.data(),
                           .state = result->state.data(),
                           .next = result->next.data(),
                           .report = result->report.data(),
                           .limit_ms = call.limit_ms,
                           .cancel = call.cancel,
                           .done = [=](Status status) {
                             result->status = std::move(status);
                             result->input = floats_of(call.dtype, result->input_memory);
                             result->output = floats_of(call.dtype, result->output_memory);
                             if (tensors != nullptr) tensors->fetch(&result->input, &result->output);
                             promise->set_value(static_cast<Result&&>(*result));
                           }});
    return future;
  }

  // Runs the call on the ranks given (default all), each with its own input; the results are in their order.
  std::vector<Result> run(const Call& call, const std::vector<std::vector<float>>& inputs,
                          std::vector<uint32_t> members = {}) {
    if (members.empty())
      for (uint32_t rank = 0; rank < ranks(); ++rank) members.push_back(rank);
    std::vector<std::future<Result>> futures;
    for (size_t at = 0; at < members.size(); ++at) {
      std::vector<int32_t> links;
      for (const uint32_t other : members) links.push_back(links_[members[at]][other]);
      futures.push_back(post(members[at], call, inputs[at], links));
    }
    std::vector<Result> results;
    for (auto& future : futures) results.push_back(future.get());
    return results;
  }

 private:
  void connect(uint32_t high, uint32_t low) {
    const LinkSecrets secrets = random_secrets(streams_);
    uint32_t accepted = 0, dialed = 0;
    CHECK(static_cast<bool>(endpoints_[low]->expect(reversed(secrets), kPatienceMs, &accepted)));
    const Status status = dial(*endpoints_[high], endpoints_[low]->port(), secrets, &dialed);
    CHECK_THAT(static_cast<bool>(status), status.message());
    const Status ready =
        wait_for([&](auto done) { endpoints_[low]->ready(accepted, kPatienceMs, nullptr, std::move(done)); });
    CHECK_THAT(static_cast<bool>(ready), ready.message());
    links_[high][low] = static_cast<int32_t>(dialed);
    links_[low][high] = static_cast<int32_t>(accepted);
  }

  const uint32_t streams_;
  std::vector<std::shared_ptr<Endpoint>> endpoints_;
  std::vector<std::vector<int32_t>> links_;  // [rank][other]
};

// Values of many magnitudes, so that an order of adding shows in the bits.
inline std::vector<float> random_floats(size_t elements, std::mt19937_64& random) {
  std::vector<float> values(elements);
  for (float& value : values)
    value = std::ldexp(static_cast<float>(static_cast<int64_t>(random() >> 40) - (1 << 23)),
                       static_cast<int>(random() % 20) - 30);
  return values;
}

inline std::vector<std::vector<float>> random_inputs(uint32_t ranks, size_t elements,
                                                     std::mt19937_64& random) {
  std::vector<std::vector<float>> inputs;
  for (uint32_t rank = 0; rank < ranks; ++rank) inputs.push_back(random_floats(elements, random));
  return inputs;
}

inline bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

inline size_t entries(const char* folder) {
  const auto listing = std::filesystem::directory_iterator(folder);
  return static_cast<size_t>(std::distance(begin(listing), end(listing)));
}
inline size_t open_descriptors() { return entries("/proc/self/fd"); }
inline size_t running_threads() { return entries("/proc/self/task"); }

// Waits until the condition holds.
template <class Condition>
bool eventually(Condition&& condition) {
  for (const int64_t deadline = now_ms() + kPatienceMs; now_ms() < deadline;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

}  // namespace group
