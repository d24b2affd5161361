// A graph on the (emulated) device beside the CPU's: the same bytes step after step, with the state staying
// on the device, and what is refused.
#include "ops/graph.h"

#include <cstring>

#include "../../../cuda/table.h"
#include "base/prng.h"
#include "check.h"
#include "ops/device_graph.h"

extern "C" const gradmesh::DeviceTable* gradmesh_device_table();

using namespace gradmesh;
using namespace gradmesh::ops;

namespace {

using Floats = std::vector<float>;

constexpr int kRows = 8, kInputs = 6, kClasses = 5, kWeights = kInputs * kClasses,
              kParameters = kWeights + kClasses;

enum Place : int32_t {
  parameters,
  gradients,
  first,
  second,
  decay,
  x,
  targets,
  loss,
  clip,
  schedule,
  kPlaces
};

// A linear classifier's training step: product, cross-entropy, gradients, clipping, AdamW.
struct Numbers {
  std::vector<double> tensors, floats;
  std::vector<int32_t> nodes;
  int32_t tensor(double binding, double offset, double elements, double kind = 0) {
    for (const double number : {binding, offset, elements, kind}) tensors.push_back(number);
    return static_cast<int32_t>(tensors.size() / 4) - 1;
  }
  void node(Op op, std::vector<int32_t> numbers) {
    nodes.push_back(static_cast<int32_t>(op));
    nodes.insert(nodes.end(), numbers.begin(), numbers.end());
  }
};

Numbers training_step() {
  Numbers n;
  const int32_t weights = n.tensor(parameters, 0, kWeights), bias = n.tensor(parameters, kWeights, kClasses);
  const int32_t d_weights = n.tensor(gradients, 0, kWeights),
                d_bias = n.tensor(gradients, kWeights, kClasses);
  const int32_t in = n.tensor(x, 0, kRows * kInputs), wanted = n.tensor(targets, 0, kRows, 1);
  const int32_t logits = n.tensor(-1, 0, kRows * kClasses), losses = n.tensor(-1, 0, kRows);
  const int32_t chances = n.tensor(-1, 0, kRows * kClasses), d_logits = n.tensor(-1, 0, kRows * kClasses);
  const int32_t result = n.tensor(loss, 0, 1), factor = n.tensor(clip, 0, 2), rate = n.tensor(schedule, 0, 2);
  n.node(Op::matmul, {in, weights, bias, logits, kRows, kInputs, kClasses, 1});
  n.node(Op::cross_entropy, {logits, wanted, losses, chances, kRows, kClasses});
  n.node(Op::mean, {losses, result, kRows});
  n.node(Op::cross_entropy_backward, {chances, wanted, d_logits, kRows, kClasses});
  n.node(Op::matmul_backward_weight, {in, d_logits, d_weights, kRows, kInputs, kClasses});
  n.node(Op::bias_backward, {d_logits, d_bias, kRows, kClasses});
  const auto whole = [&](Place place) { return n.tensor(place, 0, kParameters); };
  const int32_t all = whole(gradients);
  n.node(Op::clip_scale, {all, factor, kParameters});
  n.node(Op::adamw,
         {all, factor, rate, whole(decay), whole(parameters), whole(first), whole(second), kParameters});
  n.floats = {0.5, 0.9, 0.95, 1e-8, 0.1};
  return n;
}

// A step's buffers; every one is longer than the graph needs.
struct Buffers {
  std::vector<Floats> memory{kPlaces};
  Buffers() {
    for (const int32_t place : {parameters, gradients, first, second, decay})
      memory[place].assign(kParameters + 3, 0.0f);
    memory[x].resize(kRows * kInputs + 1);
    memory[targets].resize(kRows);
    memory[loss].resize(2), memory[clip].resize(2), memory[schedule].resize(2);
    fill_normal(check::seed(), 0, 0, 1.0f, memory[parameters].data(), kParameters);
    for (int i = 0; i < kWeights; i++) memory[decay][size_t(i)] = 1;
  }
  void set_step(int step) {
    fill_normal(check::seed(), 1, uint64_t(step) * 1000, 1.0f, memory[x].data(), kRows * kInputs);
    for (int i = 0; i < kRows; i++) {
      const int32_t target = int32_t(prng::bits(check::seed(), 2, uint64_t(step * kRows + i)) % kClasses);
      std::memcpy(&memory[targets][size_t(i)], &target, 4);
    }
    memory[schedule] = {0.05f, float(step + 1)};
  }
  std::vector<gm_bytes> bindings() {
    std::vector<gm_bytes> all;
    for (Floats& each : memory) all.push_back({reinterpret_cast<uint8_t*>(each.data()), each.size() * 4});
    return all;
  }
};

bool same(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

std::shared_ptr<DeviceGraph> device_graph() {
  static const Numbers n = training_step();
  device::SharedDevice device;
  Status status = device::Device::open(*gradmesh_device_table(), 0, &device);
  std::shared_ptr<DeviceGraph> graph;
  if (status) status = DeviceGraph::create({n.tensors, n.nodes, n.floats}, device, &graph);
  CHECK_THAT(bool(status), status.message());
  return graph;
}
std::shared_ptr<Graph> cpu_graph() {
  const Numbers n = training_step();
  std::shared_ptr<Graph> graph;
  CHECK(bool(Graph::create({n.tensors, n.nodes, n.floats}, 1, &graph)));
  return graph;
}

//                                     p  g  1  2  d  x  t  l  c  s
const std::vector<int32_t> kFirstRun = {1, 0, 1, 1, 1, 1, 1, 2, 2, 1};
const std::vector<int32_t> kResident = {0, 0, 0, 0, 0, 1, 1, 2, 2, 1};
const std::vector<int32_t> kLastRun = {2, 2, 2, 2, 0, 1, 1, 2, 2, 1};

void refused(const Status& status, const std::string& words) {
  CHECK_THAT(status.code() == GM_INVALID_ARGUMENT && status.message().find(words) != std::string::npos,
             status.message());
}

}  // namespace

TEST(
    "graph: steps with the state on the device give the CPU's bytes, and leave the host's buffers alone "
    "meanwhile") {
  constexpr int kSteps = 7;
  Buffers host, mirrored;
  const auto cpu = cpu_graph();
  const auto device = device_graph();
  for (int step = 0; step < kSteps; step++) {
    host.set_step(step), mirrored.set_step(step);
    CHECK(bool(cpu->run(host.bindings(), nullptr)));
    const Floats before = mirrored.memory[parameters];
    const auto& transfers = step == 0 ? kFirstRun : step == kSteps - 1 ? kLastRun : kResident;
    const Status status = device->run(mirrored.bindings(), transfers, nullptr);
    CHECK_THAT(bool(status), status.message());
    CHECK(same(host.memory[loss], mirrored.memory[loss]) && same(host.memory[clip], mirrored.memory[clip]));
    if (step < kSteps - 1) CHECK(same(before, mirrored.memory[parameters]));
    // What lies in a buffer that is kept on the device is never read.
    if (step < kSteps - 1) mirrored.memory[parameters].assign(kParameters + 3, __builtin_nanf(""));
    if (step == kSteps - 2)
      std::fill(mirrored.memory[parameters].begin() + kParameters, mirrored.memory[parameters].end(), 0.0f);
  }
  for (size_t place = 0; place < kPlaces; place++)
    CHECK_THAT(same(host.memory[place], mirrored.memory[place]), std::to_string(place));
}

TEST("graph: without transfers every run works on the host's buffers") {
  Buffers host, mirrored;
  const auto cpu = cpu_graph();
  const auto device = device_graph();
  for (int step = 0; step < 3; step++) {
    host.set_step(step), mirrored.set_step(step);
    CHECK(bool(cpu->run(host.bindings(), nullptr)) && bool(device->run(mirrored.bindings(), {}, nullptr)));
    for (size_t place = 0; place < kPlaces; place++) CHECK(same(host.memory[place], mirrored.memory[place]));
  }
}

TEST("graph: a mirror that holds nothing is not read") {
  Buffers buffers;
  buffers.set_step(0);
  const auto device = device_graph();
  refused(device->run(buffers.bindings(), kResident, nullptr), "binding 0 is read by the graph");
  for (const int32_t place : {parameters, first, second, decay, x, targets, schedule}) {
    std::vector<int32_t> transfers = kFirstRun;
    transfers[size_t(place)] = 0;
    refused(device->run(buffers.bindings(), transfers, nullptr),
            "binding " + std::to_string(place) + " is read");
  }
  refused(device->run(buffers.bindings(), std::vector<int32_t>{3}, nullptr), "transfers holds 1 numbers");
}

TEST("graph: what a cancelled run may have left must be uploaded again") {
  Buffers buffers;
  buffers.set_step(0);
  const auto device = device_graph();
  CHECK(bool(device->run(buffers.bindings(), kFirstRun, nullptr)));
  Cancel cancel;
  cancel.raise();
  CHECK(device->run(buffers.bindings(), kResident, &cancel).code() == GM_ABORTED);
  refused(device->run(buffers.bindings(), kResident, nullptr), "what a failed run has left");
  CHECK(bool(device->run(buffers.bindings(), kFirstRun, nullptr)));
  CHECK(bool(device->run(buffers.bindings(), kResident, nullptr)));
}

TEST("graph: targets and steps are checked where they are uploaded, and a refusal costs nothing") {
  Buffers host, mirrored;
  const auto cpu = cpu_graph();
  const auto device = device_graph();
  host.set_step(0), mirrored.set_step(0);
  CHECK(bool(cpu->run(host.bindings(), nullptr)) &&
        bool(device->run(mirrored.bindings(), kFirstRun, nullptr)));
  host.set_step(1), mirrored.set_step(1);
  const float good = mirrored.memory[targets][3];
  for (const int32_t bad : {-1, kClasses}) {
    std::memcpy(&mirrored.memory[targets][3], &bad, 4);
    refused(device->run(mirrored.bindings(), kResident, nullptr), "holds " + std::to_string(bad) + " at 3");
  }
  mirrored.memory[targets][3] = good;
  mirrored.memory[schedule][1] = 1.5f;
  refused(device->run(mirrored.bindings(), kResident, nullptr), "the step in tensor");
  mirrored.memory[schedule][1] = 2;
  CHECK(bool(cpu->run(host.bindings(), nullptr)) &&
        bool(device->run(mirrored.bindings(), kLastRun, nullptr)));
  CHECK(same(host.memory[parameters], mirrored.memory[parameters]) &&
        same(host.memory[loss], mirrored.memory[loss]));
}

TEST("graph: the profile counts runs, and times from the first look on") {
  Buffers buffers;
  buffers.set_step(0);
  const auto device = device_graph();
  CHECK(device->profile() == "{}");
  CHECK(bool(device->run(buffers.bindings(), {}, nullptr)));
  CHECK(device->profile().find("\"adamw\": {\"runs\": 1, \"nanoseconds\": ") != std::string::npos);
}

TEST("graph: a device is named cpu, cuda or cuda:<index>") {
  const Numbers n = training_step();
  std::shared_ptr<Runner> runner;
  CHECK(bool(create_runner({n.tensors, n.nodes, n.floats}, "cpu", 1, &runner)));
  for (const char* bad : {"", "gpu", "cuda:", "cuda1", "cuda:x", "cuda:1x", "cuda:-1", "CPU"})
    refused(create_runner({n.tensors, n.nodes, n.floats}, bad, 1, &runner),
            "allowed: cpu, cuda, or cuda:<index>");
  const Status status = create_runner({n.tensors, n.nodes, n.floats}, "cuda", 1, &runner);
  CHECK_THAT(status || (status.code() == GM_UNSUPPORTED && status.message().rfind("no GPU: ", 0) == 0),
             status.message());
}
