// Every operator's kernels on a GPU at the sizes of a GPT-2 small, beside the card's copies of memory
// measured in the same run and its fp32 peak by the driver's clock. Needs no Node.
//
//   bench_device_ops [--device N] [--turns N] [--small] [part of an operator's name]
//
// The plugin is the one beside this program, or of GRADMESH_CUDA_PLUGIN.
//
// A line an operator: the median of the turns, what it reads and writes at least as a part of the copies'
// bandwidth, and for products fused multiply-adds as a part of the peak. --small takes sizes that an emulated
// device runs in seconds; the results are then compared with the CPU's by bytes.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/prng.h"
#include "device/device.h"
#include "numeric/exact.h"
#include "ops/graph.h"

using namespace gradmesh;
using namespace gradmesh::ops;

namespace {

constexpr int kWarmUps = 3;
constexpr double kLanesPerMultiprocessor =
    128;  // fp32 units of every card from sm_86 on, and of sm_90; sm_80 has 64
constexpr size_t kCopyBytes = size_t{1} << 30;

struct Options {
  uint32_t device = 0;
  int turns = 20;
  bool small = false;
  std::string name;
};

struct Case {
  Op op;
  std::vector<int32_t> integers;
  std::vector<double> floats;
  double fused = 0;  // multiply-adds
};

// Batch and context, width, heads, vocabulary, parameters.
struct Sizes {
  int32_t batch, context, width, heads, vocabulary, parameters;
};
constexpr Sizes kModel = {8, 1024, 768, 12, 50304, 124'439'808}, kSmall = {2, 24, 32, 2, 68, 5000};

std::vector<Case> cases_of(const Sizes& s) {
  const int32_t rows = s.batch * s.context, c = s.width;
  const auto product = [&](Op op, int32_t k, int32_t n) {
    Case result = {op, {rows, k, n}, {}, double(rows) * k * n};
    if (op == Op::matmul) result.integers.push_back(1);
    return result;
  };
  const double causal = double(rows) * (s.context + 1) * c;  // of two triangular products
  std::vector<Case> cases;
  for (const Op op : {Op::matmul, Op::matmul_backward_input, Op::matmul_backward_weight})
    for (const auto& [k, n] : {std::pair{c, 4 * c}, {4 * c, c}, {c, c}, {c, s.vocabulary}})
      cases.push_back(product(op, k, n));
  const std::vector<int32_t> heads = {s.batch, s.context, s.heads, c},
                             lookup = {rows, s.context, c, s.vocabulary};
  const int32_t hidden = 4 * rows * c;
  cases.insert(cases.end(), {{Op::attention, heads, {}, causal},
                             {Op::attention_backward, heads, {}, 2 * causal},
                             {Op::embedding, lookup, {}},
                             {Op::embedding_backward, lookup, {}},
                             {Op::layernorm, {rows, c}, {1e-5}},
                             {Op::layernorm_backward, {rows, c}, {}},
                             {Op::bias_backward, {rows, 4 * c}, {}},
                             {Op::gelu, {hidden}, {}},
                             {Op::gelu_backward, {hidden}, {}},
                             {Op::add, {rows * c}, {}},
                             {Op::subtract, {s.parameters}, {}},
                             {Op::copy, {s.parameters}, {}},
                             {Op::cross_entropy, {rows, s.vocabulary}, {}},
                             {Op::cross_entropy_backward, {rows, s.vocabulary}, {}},
                             {Op::mean, {rows}, {}},
                             {Op::clip_scale, {s.parameters}, {1.0}},
                             {Op::adamw, {s.parameters}, {0.9, 0.95, 1e-8, 0.1}},
                             {Op::nesterov, {s.parameters}, {}},
                             {Op::axpby, {s.parameters}, {}},
                             {Op::scale_by, {s.parameters}, {}},
                             {Op::sign_step, {s.parameters}, {}},
                             {Op::adaptive, {s.parameters, 1}, {0.9, 0.99, 1e-3}},
                             {Op::gather, {s.parameters, s.parameters / 100}, {}},
                             {Op::scatter, {s.parameters, s.parameters / 100}, {}},
                             {Op::dot, {s.parameters}, {}},
                             {Op::im2col, {s.batch, s.context, 32, 16, 3, 1, 1}, {}},
                             {Op::col2im, {s.batch, s.context, 32, 16, 3, 1, 1}, {}}});
  return cases;
}

void require(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

const OpRow& row_of(const Case& c) { return *op_find(static_cast<uint32_t>(c.op)); }

std::string describe(const Case& c) {
  std::string text = row_of(c).name;
  for (const int32_t integer : c.integers) text += " " + std::to_string(integer);
  return text;
}

// Any rows, or ascending ones where the operator wants that.
std::vector<float> make_indices(const Shape& shape, size_t tensor, uint64_t elements) {
  std::vector<float> values(elements);
  const uint64_t share = shape.index_ascends ? shape.index_rows / elements : shape.index_rows;
  for (uint64_t i = 0; i < elements; i++) {
    const uint64_t index = (shape.index_ascends ? i * share : 0) + prng::bits(3, tensor, i) % share;
    values[i] = exact::from_bits(static_cast<uint32_t>(index));
  }
  return values;
}

// Random, plausible to the operator, and repeating, as making gigabytes would take longer than timing them.
std::vector<float> make_tensor(const Case& c, const Shape& shape, size_t tensor, uint64_t elements) {
  constexpr uint64_t kPeriod = 1 << 20;
  if (shape.index_input == static_cast<int>(tensor)) return make_indices(shape, tensor, elements);
  std::vector<float> values(std::min(elements, kPeriod));
  fill_normal(3, tensor, 0, 1.0f, values.data(), values.size());
  if (c.op == Op::adamw && tensor == 1) values = {0.5f, 2.0f};
  if (c.op == Op::adamw && tensor == 2) values = {0.001f, 7.0f};
  if ((c.op == Op::adamw && tensor == 6) || (c.op == Op::adaptive && tensor == 4) ||
      (c.op == Op::layernorm_backward && tensor == 4))
    for (float& value : values) value = exact::magnitude(value);
  const uint64_t period = values.size();
  values.resize(elements);
  for (uint64_t i = period; i < elements; i++) values[i] = values[i - period];
  return values;
}

// A case's tensors on the device.
struct Work {
  const Case& c;
  Shape shape;
  std::vector<device::Memory> tensors;
  device::Memory scratch;
  Arguments arguments = {};
  double moved = 0;  // bytes, at least

  Work(const Case& c_, const device::Stream& stream) : c(c_) {
    require(op_shape(c.op, c.integers, c.floats, &shape));
    require(device::Memory::allocate(stream.device(), device::Memory::Kind::device, shape.device_scratch * 4,
                                     &scratch));
    const OpRow& row = row_of(c);
    for (size_t t = 0; t < row.inputs + row.outputs; t++) {
      const bool output = t >= row.inputs;
      const std::vector<float> values = make_tensor(c, shape, t, size_of(t));
      device::Memory memory;
      require(device::Memory::allocate(stream.device(), device::Memory::Kind::device, values.size() * 4,
                                       &memory));
      require(stream.copy(memory.data(), values.data(), values.size() * 4));
      require(stream.synchronize());
      (output ? arguments.outputs[t - row.inputs] : const_cast<void*&>(arguments.inputs[t])) =
          memory.data<void>();
      moved += double(values.size()) * 4 * (output && shape.in_place ? 2 : 1);
      tensors.push_back(std::move(memory));
    }
    // Of a table, or what is chosen from, only what indices name is read or written.
    const double chosen = double(c.integers.back()), all = double(c.integers[0]);
    if (c.op == Op::gather) moved += 4 * (chosen - all);
    if (c.op == Op::scatter) moved += 4 * (chosen - 2 * all);
    if (c.op == Op::embedding) moved += 4.0 * c.integers[2] * (c.integers[0] - c.integers[3]);
    arguments.integers = c.integers.data();
    arguments.floats = c.floats.data();
    arguments.scratch = scratch.data<float>();
  }
  uint64_t size_of(size_t tensor) const {
    const OpRow& row = row_of(c);
    return tensor < row.inputs ? shape.inputs[tensor] : shape.outputs[tensor - row.inputs];
  }
  void launch(const device::Stream& stream) const {
    const device::Device& device = *stream.device();
    const int error = device.table().operation[static_cast<uint32_t>(c.op)](arguments, stream.handle());
    require(device.check(error, row_of(c).name));
  }
};

// The median of the turns, in seconds by the device's clock.
template <class Launch>
double median(const device::Stream& stream, int turns, Launch launch) {
  device::Event begin, end;
  require(device::Event::create(stream.device(), &begin));
  require(device::Event::create(stream.device(), &end));
  std::vector<float> milliseconds;
  for (int turn = -kWarmUps; turn < turns; turn++) {
    require(begin.record(stream));
    launch();
    require(end.record(stream));
    require(end.synchronize());
    float elapsed = 0;
    require(end.elapsed_since(begin, &elapsed));
    if (turn >= 0) milliseconds.push_back(elapsed);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  return double(milliseconds[milliseconds.size() / 2]) / 1e3;
}

// Bytes read and written a second by the driver's own copies within the card.
double copy_bandwidth(const device::Stream& stream, const Options& options) {
  const size_t bytes = options.small ? kCopyBytes >> 10 : kCopyBytes;
  device::Memory source, target;
  for (device::Memory* each : {&source, &target})
    require(device::Memory::allocate(stream.device(), device::Memory::Kind::device, bytes, each));
  const double seconds =
      median(stream, options.turns, [&] { require(stream.copy(target.data(), source.data(), bytes)); });
  return 2.0 * double(bytes) / seconds;
}

// Runs the case once on the device and on the CPU. NaN stands nowhere in these inputs' results.
bool same_as_cpu(const Case& c, const device::Stream& stream) {
  Work work(c, stream);
  work.launch(stream);
  const OpRow& row = row_of(c);
  std::vector<std::vector<float>> cpu;
  std::vector<double> tensors;
  std::vector<int32_t> nodes = {static_cast<int32_t>(c.op)};
  std::vector<gm_bytes> bindings;
  for (size_t t = 0; t < row.inputs + row.outputs; t++) {
    cpu.push_back(make_tensor(c, work.shape, t, work.size_of(t)));
    const bool index = work.shape.index_input == static_cast<int>(t);
    for (const double number : {double(t), 0.0, double(cpu[t].size()), index ? 1.0 : 0.0})
      tensors.push_back(number);
    nodes.push_back(static_cast<int32_t>(t));
  }
  for (auto& each : cpu) bindings.push_back({reinterpret_cast<uint8_t*>(each.data()), each.size() * 4});
  nodes.insert(nodes.end(), c.integers.begin(), c.integers.end());
  std::shared_ptr<Graph> graph;
  require(Graph::create({tensors, nodes, c.floats}, 1, &graph));
  require(graph->run(bindings, nullptr));
  for (size_t t = row.inputs; t < cpu.size(); t++) {
    std::vector<float> found(cpu[t].size());
    require(stream.copy(found.data(), work.tensors[t].data(), found.size() * 4));
    require(stream.synchronize());
    if (std::memcmp(found.data(), cpu[t].data(), found.size() * 4) != 0) return false;
  }
  return true;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    const bool more = i + 1 < argc;
    if (argument == "--small")
      options.small = true;
    else if (argument == "--device" && more)
      options.device = static_cast<uint32_t>(std::atoi(argv[++i]));
    else if (argument == "--turns" && more)
      options.turns = std::max(1, std::atoi(argv[++i]));
    else
      options.name = argument;
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  device::SharedDevice device;
  require(device::Device::open(options.device, &device));
  device::Stream stream;
  require(device::Stream::create(device, &stream));
  const DeviceProperties& card = device->properties();
  const double bandwidth = copy_bandwidth(stream, options);
  const double lanes =
      card.major == 8 && card.minor == 0 ? kLanesPerMultiprocessor / 2 : kLanesPerMultiprocessor;
  const double peak = card.multiprocessors * lanes * 2 * card.clock_khz * 1e3;
  std::printf(
      "%s, %u multiprocessors, at most %u MHz; built by %s; copies %.0f GB/s read and written; fp32 peak "
      "%.1f TFLOP/s\n",
      card.name, card.multiprocessors, card.clock_khz / 1000, device->table().build, bandwidth / 1e9,
      peak / 1e12);
  bool right = true;
  for (const Case& c : cases_of(options.small ? kSmall : kModel)) {
    if (describe(c).find(options.name) == std::string::npos) continue;
    if (options.small && !same_as_cpu(c, stream)) {
      std::printf("%-42s differs from the CPU\n", describe(c).c_str());
      right = false;
    }
    const Work work(c, stream);
    const double seconds = median(stream, options.turns, [&] { work.launch(stream); });
    std::printf("%-42s %9.3f ms  %7.1f GB/s, %3.0f %% of the copies", describe(c).c_str(), seconds * 1e3,
                work.moved / seconds / 1e9, 100 * work.moved / seconds / bandwidth);
    if (c.fused > 0) std::printf("  %6.2f TFLOP/s", 2 * c.fused / seconds / 1e12);
    if (c.fused > 0 && peak > 0) std::printf(", %3.0f %% of the peak", 200 * c.fused / seconds / peak);
    std::printf("\n");
  }
  return right ? 0 : 1;
}
