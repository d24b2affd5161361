// One training step of a character GPT, operator by operator, beside the peak of fused multiply-adds measured
// in the same run. `bench_ops [steps] [threads] [backend]`; the defaults are the canonical workload: 4
// layers, width 128, 4 heads, context 64, batch 16, vocabulary 85.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/prng.h"
#include "numeric/backend.h"
#include "ops/graph.h"
#include "peak.h"

using namespace gradmesh;
using namespace gradmesh::ops;

namespace {

constexpr int kLayers = 4, kWidth = 128, kHeads = 4, kContext = 64, kBatch = 16, kVocabulary = 85;
constexpr int kRows = kBatch * kContext;

// Of this process, all threads: what the step costs whatever else the machine is doing.
double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

// Builds the numbers of a Description.
struct Builder {
  std::vector<double> tensors, floats;
  std::vector<int32_t> nodes;
  std::vector<uint64_t> bindings;  // elements
  std::map<std::string, double> flops;

  int tensor(double binding, double offset, double elements, double kind = 0) {
    tensors.insert(tensors.end(), {binding, offset, elements, kind});
    return int(tensors.size() / 4) - 1;
  }
  int arena(double elements) { return tensor(-1, 0, elements); }
  int bound(uint64_t elements, double kind = 0) {
    bindings.push_back(elements);
    return tensor(double(bindings.size() - 1), 0, double(elements), kind);
  }
  void node(const char* name, std::vector<int> ids, std::vector<int> integers,
            std::vector<double> numbers = {}, double work = 0) {
    nodes.push_back(int32_t(op_find(name)->id));
    nodes.insert(nodes.end(), ids.begin(), ids.end());
    nodes.insert(nodes.end(), integers.begin(), integers.end());
    floats.insert(floats.end(), numbers.begin(), numbers.end());
    flops[name] += work;
  }
};

// Parameters and their gradients are slices of two flat buffers, as in the trainer.
struct Parameters {
  Builder& b;
  int values, gradients;  // bindings
  uint64_t used = 0;
  struct Slot {
    int value, gradient;
  };
  Slot take(uint64_t elements) {
    const Slot slot = {b.tensor(values, double(used), double(elements)),
                       b.tensor(gradients, double(used), double(elements))};
    used += elements;
    return slot;
  }
};

struct Step {
  Builder b;
  Parameters p{b, 0, 0};
  std::vector<std::function<void()>> backward;  // recorded forward, run in reverse
  int gradient = 0;                             // of the activation that the next backward part starts from

  int linear(int x, int k, int n) {
    const auto w = p.take(uint64_t(k) * n), bias = p.take(n);
    const int y = b.arena(double(kRows) * n);
    const double work = 2.0 * kRows * k * n;
    b.node("matmul", {x, w.value, bias.value, y}, {kRows, k, n, 1}, {}, work);
    backward.push_back([=, this] {
      const int d_x = b.arena(double(kRows) * k);
      b.node("matmul_backward_weight", {x, gradient, w.gradient}, {kRows, k, n}, {}, work);
      b.node("bias_backward", {gradient, bias.gradient}, {kRows, n});
      b.node("matmul_backward_input", {gradient, w.value, d_x}, {kRows, k, n}, {}, work);
      gradient = d_x;
    });
    return y;
  }
  int layernorm(int x) {
    const auto gain = p.take(kWidth), bias = p.take(kWidth);
    const int y = b.arena(kRows * kWidth), mean = b.arena(kRows), rstd = b.arena(kRows);
    b.node("layernorm", {x, gain.value, bias.value, y, mean, rstd}, {kRows, kWidth}, {1e-5});
    backward.push_back([=, this] {
      const int d_x = b.arena(kRows * kWidth);
      b.node("layernorm_backward", {gradient, x, gain.value, mean, rstd, d_x, gain.gradient, bias.gradient},
             {kRows, kWidth});
      gradient = d_x;
    });
    return y;
  }
  int gelu(int x, int n) {
    const int y = b.arena(n);
    b.node("gelu", {x, y}, {n});
    backward.push_back([=, this] {
      const int d_x = b.arena(n);
      b.node("gelu_backward", {x, gradient, d_x}, {n});
      gradient = d_x;
    });
    return y;
  }
  int attention(int qkv) {
    const int out = b.arena(kRows * kWidth),
              probabilities = b.arena(double(kBatch) * kHeads * kContext * kContext);
    const std::vector<int> integers = {kBatch, kContext, kHeads, kWidth};
    const double work = 2.0 * kBatch * kContext * (kContext + 1) * kWidth;  // two causal products
    b.node("attention", {qkv, out, probabilities}, integers, {}, work);
    backward.push_back([=, this] {
      const int d_qkv = b.arena(double(kRows) * 3 * kWidth);
      b.node("attention_backward", {gradient, qkv, probabilities, d_qkv}, integers, {}, 2 * work);
      gradient = d_qkv;
    });
    return out;
  }
  // x + part(x)
  template <class Part>
  int residual(int x, Part part) {
    backward.push_back([this] {
      const int sum = b.arena(kRows * kWidth);
      b.node("add", {kept.back(), gradient, sum}, {kRows * kWidth});
      kept.pop_back();
      gradient = sum;
    });
    const int y = part(x), out = b.arena(kRows * kWidth);
    b.node("add", {x, y, out}, {kRows * kWidth});
    backward.push_back([this] { kept.push_back(gradient); });
    return out;
  }
  std::vector<int> kept;  // gradients of the sums whose residual branch is being differentiated

  void build() {
    constexpr uint64_t room = 1 << 20;
    const int tokens = b.bound(kRows, 1), targets = b.bound(kRows, 1);
    p.values = 2, p.gradients = 3;
    b.bindings.insert(b.bindings.end(), {room, room});
    const auto table = p.take(kVocabulary * kWidth), positions = p.take(kContext * kWidth);
    int x = b.arena(kRows * kWidth);
    b.node("embedding", {tokens, table.value, positions.value, x}, {kRows, kContext, kWidth, kVocabulary});
    for (int layer = 0; layer < kLayers; layer++) {
      x = residual(x, [&](int in) {
        return linear(attention(linear(layernorm(in), kWidth, 3 * kWidth)), kWidth, kWidth);
      });
      x = residual(x, [&](int in) {
        return linear(gelu(linear(layernorm(in), kWidth, 4 * kWidth), kRows * 4 * kWidth), 4 * kWidth,
                      kWidth);
      });
    }
    const int logits = linear(layernorm(x), kWidth, kVocabulary);
    const int losses = b.arena(kRows), probabilities = b.arena(kRows * kVocabulary), loss = b.bound(1);
    gradient = b.arena(kRows * kVocabulary);
    b.node("cross_entropy", {logits, targets, losses, probabilities}, {kRows, kVocabulary});
    b.node("mean", {losses, loss}, {kRows});
    b.node("cross_entropy_backward", {probabilities, targets, gradient}, {kRows, kVocabulary});
    for (auto part = backward.rbegin(); part != backward.rend(); ++part) (*part)();
    b.node("embedding_backward", {tokens, gradient, table.gradient, positions.gradient},
           {kRows, kContext, kWidth, kVocabulary});

    const int n = int(p.used), gradients = b.tensor(p.gradients, 0, n), clip = b.bound(2),
              schedule = b.bound(2);
    const int decay = b.bound(n), values = b.tensor(p.values, 0, n), first = b.bound(n), second = b.bound(n);
    b.node("clip_scale", {gradients, clip}, {n}, {1.0});
    b.node("adamw", {gradients, clip, schedule, decay, values, first, second}, {n}, {0.9, 0.95, 1e-8, 0.1});
  }
};

void fill(const Step& step, std::vector<std::vector<float>>& memory) {
  for (size_t i = 0; i < memory.size(); i++) memory[i].resize(step.b.bindings[i]);
  for (size_t side = 0; side < 2; side++)
    for (size_t i = 0; i < memory[side].size(); i++) {
      const uint32_t token = prng::bits(1, side, i) % kVocabulary;
      std::memcpy(&memory[side][i], &token, 4);
    }
  fill_normal(1, 2, 0, 0.02f, memory[2].data(), memory[2].size());
  memory[6] = {3e-4f, 1.0f};
}

}  // namespace

int main(int argc, char** argv) {
  const int steps = argc > 1 ? std::atoi(argv[1]) : 30;
  const uint32_t threads = argc > 2 ? uint32_t(std::atoi(argv[2])) : 1;
  if (const Status status = backend::force(argc > 3 ? argv[3] : "auto"); !status || steps < 1) {
    std::fprintf(stderr, "%s\nusage: bench_ops [steps] [threads] [backend]\n", status.message().c_str());
    return 2;
  }
  Step step;
  step.build();
  std::vector<std::vector<float>> memory(step.b.bindings.size());
  fill(step, memory);
  std::vector<gm_bytes> bindings;
  for (auto& m : memory) bindings.push_back({reinterpret_cast<uint8_t*>(m.data()), m.size() * 4});

  std::shared_ptr<Graph> graph;
  if (const Status status = Graph::create({step.b.tensors, step.b.nodes, step.b.floats}, threads, &graph);
      !status) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  const double rate = peak::measure();
  std::vector<double> times, cpu_times;
  for (int i = 0; i < steps; i++) {
    const double start = peak::seconds(), cpu_start = cpu_seconds();
    const Status status = graph->run(bindings, nullptr);
    times.push_back(peak::seconds() - start);
    cpu_times.push_back(cpu_seconds() - cpu_start);
    if (!status) {
      std::fprintf(stderr, "%s\n", status.message().c_str());
      return 1;
    }
    memory[6][1] += 1;
  }
  std::sort(times.begin(), times.end());
  std::sort(cpu_times.begin(), cpu_times.end());
  double total = 0;
  for (const auto& [name, work] : step.b.flops) total += work;
  std::printf("%s, %u threads, %llu parameters, loss %.9g after %d steps\n", backend::name(backend::active()),
              threads, (unsigned long long)step.p.used, memory[4][0], steps);
  std::printf("step: best %.2f ms, p50 %.2f ms; CPU time best %.2f ms, p50 %.2f ms\n", times[0] * 1e3,
              times[times.size() / 2] * 1e3, cpu_times[0] * 1e3, cpu_times[times.size() / 2] * 1e3);
  std::printf("%.2f GFLOP in products, %.1f GFLOP/s", total / 1e9, total / times[0] / 1e9);
  if (rate > 0) std::printf("; peak of one thread %.1f GFLOP/s", rate);
  std::printf("\n");

  // One line an operator, from the graph's own counters.
  const std::string json = graph->profile();
  for (const auto& [name, work] : step.b.flops) {
    const size_t at = json.find("\"" + name + "\": ");
    const double nanoseconds = std::atof(json.c_str() + json.find("\"nanoseconds\": ", at) + 15) / steps;
    std::printf("%-24s %8.3f ms", name.c_str(), nanoseconds / 1e6);
    if (work > 0) std::printf("  %7.1f GFLOP/s", work / nanoseconds);
    if (work > 0 && rate > 0) std::printf("  %3.0f %% of the peak", 100 * work / nanoseconds / rate);
    std::printf("\n");
  }
  return 0;
}
