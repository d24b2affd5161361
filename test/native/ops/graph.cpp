// Graphs: what a description may say, what a run refuses, reuse of the arena, cancellation, concurrency.
#include "ops/graph.h"

#include <cfenv>
#include <thread>

#include "check.h"
#include "numeric/backend.h"
#include "numeric/exact.h"

using namespace gradmesh;
using namespace gradmesh::ops;

namespace {

// Numbers of a description, ready to be spoilt one by one.
struct Numbers {
  std::vector<double> tensors;
  std::vector<int32_t> nodes;
  std::vector<double> floats;
  Status create(std::shared_ptr<Graph>* graph, uint32_t threads = 1) const {
    return Graph::create({tensors, nodes, floats}, threads, graph);
  }
};

constexpr int32_t id(Op op) { return static_cast<int32_t>(op); }

// y = layernorm(gelu(x)): x[6] is bound, y too; gelu's result and the row statistics live in the arena.
Numbers small_graph() {
  Numbers n;
  n.tensors = {0, 0, 6, 0, 1, 0, 3, 0, 1, 3, 3, 0, -1, 0, 6, 0, 2, 1, 6, 0, -1, 0, 2, 0, -1, 0, 2, 0};
  n.nodes = {id(Op::gelu), 0, 3, 6, id(Op::layernorm), 3, 1, 2, 4, 5, 6, 2, 3};
  n.floats = {1e-5};
  return n;
}

template <class Element>
gm_bytes bytes_of(std::vector<Element>& values) {
  return {reinterpret_cast<uint8_t*>(values.data()), values.size() * sizeof(Element)};
}

struct SmallBuffers {
  std::vector<float> x = {1, 2, 3, 4, 5, 7}, affine = {1, 1, 1, 0, 0, 0}, y = std::vector<float>(7);
  std::vector<gm_bytes> bindings = {bytes_of(x), bytes_of(affine), bytes_of(y)};
};

void check_refused(const Numbers& numbers, const std::string& why, uint32_t threads = 1) {
  std::shared_ptr<Graph> graph;
  const Status status = numbers.create(&graph, threads);
  CHECK_THAT(status.code() == GM_INVALID_ARGUMENT && status.message().find(why) != std::string::npos,
             "expected \"" + why + "\", got \"" + status.message() + "\"");
  CHECK(graph == nullptr);
}

// Loss of two logits rows; the targets are bound as i32.
Numbers loss_graph() {
  Numbers n;
  n.tensors = {0, 0, 6, 0, 1, 0, 2, 1, 2, 0, 2, 0, -1, 0, 6, 0};
  n.nodes = {id(Op::cross_entropy), 0, 1, 2, 3, 2, 3};
  return n;
}

}  // namespace

TEST("graph: runs, writes what is bound and nothing beside it") {
  std::shared_ptr<Graph> graph;
  const Status status = small_graph().create(&graph);
  CHECK_THAT(bool(status), status.message());
  SmallBuffers buffers;
  CHECK(bool(graph->run(buffers.bindings, nullptr)));
  CHECK(buffers.y[0] == 0 && buffers.y[1] < -1.1f && buffers.y[3] > 1.1f);
  CHECK(graph->profile().find("\"gelu\": {\"runs\": 1, ") != std::string::npos);
}

TEST("graph: a description that makes no sense is refused, naming node and tensor") {
  const auto spoil = [](auto change) {
    Numbers n = small_graph();
    change(n);
    return n;
  };
  check_refused(spoil([](Numbers& n) { n.tensors.pop_back(); }), "tensors holds 27 numbers");
  check_refused(spoil([](Numbers& n) { n.tensors[0] = -2; }), "tensor 0: binding");
  check_refused(spoil([](Numbers& n) { n.tensors[0] = 0.5; }), "tensor 0: binding");
  check_refused(spoil([](Numbers& n) { n.tensors[0] = 1e9; }), "tensor 0: binding");
  check_refused(spoil([](Numbers& n) { n.tensors[5] = -1; }), "tensor 1: offset");
  check_refused(spoil([](Numbers& n) { n.tensors[13] = 4; }), "tensor 3: offset");
  check_refused(spoil([](Numbers& n) { n.tensors[6] = 0; }), "tensor 1: elements");
  check_refused(spoil([](Numbers& n) { n.tensors[6] = 1e300; }), "tensor 1: elements");
  check_refused(spoil([](Numbers& n) { n.tensors[6] = __builtin_nan(""); }), "tensor 1: elements");
  check_refused(spoil([](Numbers& n) { n.tensors[7] = 2; }), "tensor 1: kind");
  check_refused(spoil([](Numbers& n) { n.tensors[15] = 1; }), "tensor 3: kind");
  check_refused(spoil([](Numbers& n) { n.nodes[0] = 34; }), "node 0: operator is 34");
  check_refused(spoil([](Numbers& n) { n.nodes[0] = -1; }), "node 0: operator is -1");
  check_refused(spoil([](Numbers& n) { n.nodes[1] = 7; }), "node 0 (gelu): tensor 7");
  check_refused(spoil([](Numbers& n) { n.nodes[1] = -1; }), "node 0 (gelu): tensor -1");
  check_refused(spoil([](Numbers& n) { n.nodes[3] = 0; }), "integer 0 is 0");
  check_refused(spoil([](Numbers& n) { n.nodes[3] = 5; }),
                "node 0 (gelu): input 0 (tensor 0) has 6 elements");
  check_refused(spoil([](Numbers& n) { n.nodes[11] = 0x7fffffff, n.nodes[12] = 0x7fffffff; }), "2^40");
  check_refused(spoil([](Numbers& n) { n.nodes.pop_back(); }), "node 1 (layernorm): the description ends");
  check_refused(spoil([](Numbers& n) { n.floats.clear(); }), "node 1 (layernorm): the description ends");
  check_refused(spoil([](Numbers& n) { n.floats.push_back(1); }), "floats holds 2");
  check_refused(spoil([](Numbers& n) { n.floats[0] = -1; }), "float 0");
  check_refused(spoil([](Numbers& n) { n.nodes[8] = 3; }),
                "node 1 (layernorm): output 0 (tensor 3) overlaps tensor 3");
  check_refused(spoil([](Numbers& n) { n.tensors[16] = 1, n.tensors[17] = 2; }),
                "output 0 (tensor 4) overlaps tensor 1");
  check_refused(spoil([](Numbers& n) { n.nodes[9] = n.nodes[10]; }), "overlaps");
  check_refused(spoil([](Numbers& n) { n.nodes.erase(n.nodes.begin(), n.nodes.begin() + 4); }),
                "node 0 (layernorm): input 0 (tensor 3) is read before");
  check_refused(small_graph(), "threads is 0", 0);
  check_refused(small_graph(), "threads is 257", 257);
  Numbers kinds = loss_graph();
  kinds.tensors[7] = 0;
  check_refused(kinds, "input 1 (tensor 1) is f32; it must be i32");
  Numbers updated;
  updated.tensors = {0, 0, 2, 0, 1, 0, 2, 0, -1, 0, 2, 0, 2, 0, 2, 0};
  updated.nodes = {id(Op::nesterov), 0, 1, 2, 3, 2};
  check_refused(updated, "node 0 (nesterov): output 0 (tensor 2) is updated in place");
  Numbers heads;
  heads.tensors = {0, 0, 30, 0, 1, 0, 10, 0, 2, 0, 3, 0};
  heads.nodes = {id(Op::attention), 0, 1, 2, 1, 1, 3, 10};
  check_refused(heads, "no multiple of H");
}

TEST("graph: integers that make no sense of an operator are refused by name") {
  const auto refused = [](Op op, std::vector<int32_t> integers, std::vector<double> floats, const char* why) {
    Shape shape;
    const Status status = op_shape(op, integers, floats, &shape);
    CHECK_THAT(status.code() == GM_INVALID_ARGUMENT && status.message().find(why) != std::string::npos,
               "expected \"" + std::string(why) + "\", got \"" + status.message() + "\"");
  };
  refused(Op::matmul, {1, 1, 1, 2}, {}, "matmul: integer 3 is 2, allowed: 0 to 1");
  refused(Op::adaptive, {5, 3}, {0.9, 0.9, 0}, "adaptive: integer 1 is 3, allowed: 0 to 2");
  refused(Op::adaptive, {5, -1}, {0.9, 0.9, 0}, "adaptive: integer 1 is -1");
  refused(Op::adaptive, {5, 0}, {0.9, 1, 0}, "adaptive: float 1 is 1.000000, allowed: 0 up to but not 1");
  refused(Op::scatter, {3, 4}, {}, "scatter: k is 4, more than the n = 3");
  refused(Op::gather, {3, 0}, {}, "gather: integer 1 is 0, allowed: 1 to 2147483647");
  refused(Op::im2col, {1, 5, 5, 1, 3, 1, -1}, {}, "im2col: integer 6 is -1, allowed: 0 to 2147483647");
  refused(Op::im2col, {1, 5, 5, 1, 3, 1, 3}, {}, "im2col: P is 3, allowed: less than K, which is 3");
  refused(Op::col2im, {1, 5, 2, 1, 5, 1, 1}, {}, "col2im: K is 5, more than the 4 pixels of a padded side");
  refused(Op::col2im, {1 << 20, 1 << 10, 1 << 10, 1, 1, 1, 0}, {}, "more than 2^31 - 1 pixels");
  refused(Op::im2col, {1, 1 << 17, 1 << 17, 1, 1 << 17, 1 << 17, (1 << 17) - 1}, {}, "rows or columns");
}

TEST("graph: a scatter's indices ascend, each once, and a gather's come as they like") {
  std::shared_ptr<Graph> graph;
  for (const Op op : {Op::scatter, Op::gather}) {
    Numbers n;
    n.tensors = {0, 0, 3, 0, 1, 0, 3, 1, 2, 0, 3, 0};
    n.nodes = {id(op), 0, 1, 2, 3, 3};
    CHECK(bool(n.create(&graph)));
    for (std::vector<int32_t> index : {std::vector<int32_t>{0, 2, 1}, {0, 1, 1}, {0, 1, 3}, {-1, 0, 1}}) {
      std::vector<float> from = {1, 2, 3}, to = {7, 7, 7};
      const Status status = graph->run(std::vector{bytes_of(from), bytes_of(index), bytes_of(to)}, nullptr);
      const bool inside = index[0] >= 0 && index[2] < 3;
      const std::string why = inside ? "tensor 1 holds 1 at 2, after " + std::to_string(index[1]) +
                                           "; allowed: ascending numbers, each once"
                                     : "allowed: 0 to 2";
      const bool allowed = op == Op::gather && inside;
      CHECK_THAT(allowed == bool(status) && (to[0] == 7) == !allowed, status.message());
      CHECK_THAT(allowed || status.message().find(why) != std::string::npos, status.message());
    }
  }
}

// Whatever numbers come: an error or a graph, never a crash. Under the sanitizers this is the real test.
TEST("graph: random descriptions and runs are refused or run") {
  std::mt19937_64 random(check::seed());
  int created = 0;
  for (int round = 0; round < 20000; round++) {
    Numbers n = round % 2 ? small_graph() : loss_graph();
    for (uint64_t changes = random() % 3; changes < 3; changes++) {
      const double odd[] = {-1, 0, 1, 2, 3, 6, 7, 1e6, 4294967296.0, 0.5};
      if (random() % 2)
        n.tensors[random() % n.tensors.size()] = odd[random() % 9];
      else
        n.nodes[random() % n.nodes.size()] = int32_t(odd[random() % 8]);
    }
    std::shared_ptr<Graph> graph;
    if (!n.create(&graph)) continue;
    created++;
    SmallBuffers buffers;
    std::vector<int32_t> indices = {1, 2};
    std::vector<gm_bytes> bindings =
        round % 2 ? buffers.bindings
                  : std::vector<gm_bytes>{bytes_of(buffers.x), bytes_of(indices), bytes_of(buffers.y)};
    const Status status = graph->run(bindings, nullptr);
    CHECK(status || status.code() == GM_INVALID_ARGUMENT);
  }
  CHECK(created > 100);
}

TEST("graph: a run refuses buffers that don't fit, before it writes") {
  std::shared_ptr<Graph> graph;
  CHECK(bool(small_graph().create(&graph)));
  SmallBuffers b;
  const auto refused = [&](std::vector<gm_bytes> bindings, const char* why) {
    const Status status = graph->run(bindings, nullptr);
    CHECK_THAT(status.code() == GM_INVALID_ARGUMENT && status.message().find(why) != std::string::npos,
               status.message());
  };
  refused({b.bindings[0], b.bindings[1]}, "bindings holds 2 buffers");
  refused({b.bindings[0], b.bindings[1], {b.bindings[2].data, 27}},
          "binding 2 has 27 bytes; the graph needs at least 28");
  refused({b.bindings[0], b.bindings[1], {nullptr, 0}}, "binding 2 has 0 bytes");
  refused({{b.bindings[0].data + 1, 24}, b.bindings[1], b.bindings[2]}, "binding 0 does not start");
  std::vector<float> one(20);
  refused({{bytes_of(one).data, 24}, b.bindings[1], {bytes_of(one).data + 20, 28}},
          "binding 2 is written by the graph and overlaps binding 0");
  for (const float y : b.y) CHECK(y == 0);
}

TEST("graph: tokens and targets out of range, and impossible steps, are refused before anything is written") {
  std::shared_ptr<Graph> graph;
  CHECK(bool(loss_graph().create(&graph)));
  std::vector<float> logits(6, 1), losses(2);
  for (const int32_t bad : {3, -1, 0x7fffffff, -0x7fffffff}) {
    std::vector<int32_t> targets = {0, bad};
    const Status status =
        graph->run(std::vector{bytes_of(logits), bytes_of(targets), bytes_of(losses)}, nullptr);
    CHECK(status.code() == GM_INVALID_ARGUMENT);
    CHECK_THAT(status.message().find("tensor 1 holds " + std::to_string(bad) + " at 1, allowed: 0 to 2") !=
                   std::string::npos,
               status.message());
    CHECK(losses[0] == 0);
  }
  Numbers n;
  n.tensors = {0, 0, 1, 0, 1, 0, 2, 0, 2, 0, 2, 0, 3, 0, 1, 0, 4, 0, 1, 0, 5, 0, 1, 0, 6, 0, 1, 0};
  n.nodes = {id(Op::adamw), 0, 1, 2, 3, 4, 5, 6, 1};
  n.floats = {0.9, 0.999, 1e-8, 0};
  CHECK(bool(n.create(&graph)));
  for (const float step : {0.0f, -1.0f, 1.5f, 3e7f, __builtin_nanf("")}) {
    std::vector<float> g = {1}, clip = {1, 1}, schedule = {0.1f, step}, decay = {1}, p = {5}, m = {0},
                       v = {0};
    const Status status = graph->run(std::vector{bytes_of(g), bytes_of(clip), bytes_of(schedule),
                                                 bytes_of(decay), bytes_of(p), bytes_of(m), bytes_of(v)},
                                     nullptr);
    CHECK(status.code() == GM_INVALID_ARGUMENT &&
          status.message().find("the step in tensor 2") != std::string::npos && p[0] == 5);
  }
}

TEST("graph: intermediate tensors share memory, yet none is overwritten while it is needed") {
  // x -> copy -> copy ... -> y, and at the end the sum of the first and the last copy.
  Numbers n;
  constexpr int kCopies = 20, kSize = 1000;
  n.tensors = {0, 0, kSize, 0};
  for (int i = 0; i < kCopies; i++) n.tensors.insert(n.tensors.end(), {-1, 0, kSize, 0});
  n.tensors.insert(n.tensors.end(), {1, 0, kSize, 0});
  for (int i = 0; i < kCopies; i++) n.nodes.insert(n.nodes.end(), {id(Op::copy), i, i + 1, kSize});
  n.nodes.insert(n.nodes.end(), {id(Op::add), 1, kCopies, kCopies + 1, kSize});
  Plan plan;
  CHECK(bool(make_plan({n.tensors, n.nodes, n.floats}, &plan)));
  CHECK(plan.arena == 3 * 1008);  // the first copy, and two that take turns
  std::shared_ptr<Graph> graph;
  CHECK(bool(n.create(&graph, 2)));
  std::vector<float> x(kSize), y(kSize);
  for (int i = 0; i < kSize; i++) x[size_t(i)] = float(i);
  CHECK(bool(graph->run(std::vector{bytes_of(x), bytes_of(y)}, nullptr)));
  for (int i = 0; i < kSize; i++) CHECK(y[size_t(i)] == 2 * float(i));
}

TEST("graph: a raised flag ends the run between two nodes") {
  std::shared_ptr<Graph> graph;
  CHECK(bool(small_graph().create(&graph)));
  SmallBuffers buffers;
  Cancel cancel;
  CHECK(bool(graph->run(buffers.bindings, &cancel)));
  cancel.raise();
  CHECK(graph->run(buffers.bindings, &cancel).code() == GM_ABORTED);
}

TEST("graph: runs of one graph from several threads follow each other") {
  std::shared_ptr<Graph> graph;
  CHECK(bool(small_graph().create(&graph, 2)));
  SmallBuffers expected;
  CHECK(bool(graph->run(expected.bindings, nullptr)));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&, kept = graph] {
      for (int i = 0; i < 50; i++) {
        SmallBuffers own;
        if (!kept->run(own.bindings, nullptr) || std::memcmp(own.y.data(), expected.y.data(), 28) != 0)
          wrong++;
      }
    });
  graph.reset();  // closed while it runs: the runs keep it alive
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

#if defined(GM_X86)
TEST("graph: a thread with another rounding mode is refused") {
  std::shared_ptr<Graph> graph;
  CHECK(bool(small_graph().create(&graph)));
  SmallBuffers buffers;
  std::fesetround(FE_UPWARD);
  const Status status = graph->run(buffers.bindings, nullptr);
  std::fesetround(FE_TONEAREST);
  CHECK(status.code() == GM_INVALID_ARGUMENT && status.message().find("MXCSR") != std::string::npos);
}
#endif
