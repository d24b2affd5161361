// Parts of a graph: digests of every output, one operator alone from inputs written by hand, and the refusals
// where memory does not hold what it is asked for.
#include "base/crypto.h"
#include "check.h"
#include "numeric/exact.h"
#include "ops/graph.h"
#include "state/digest.h"

using namespace gradmesh;
using namespace gradmesh::ops;

namespace {

constexpr int32_t kSize = 3000, kNodes = 8;
constexpr int32_t id(Op op) { return static_cast<int32_t>(op); }

// x -> gelu -> copy -> gelu -> copy ... -> y: tensor 0 is x, 1 to 7 are in the arena, where they take turns
// in two places, 8 is y.
struct Chain {
  std::vector<double> tensors = {0, 0, kSize, 0};
  std::vector<int32_t> nodes;
  std::vector<float> x = std::vector<float>(kSize), y = std::vector<float>(kSize);
  std::vector<gm_bytes> bindings = {{reinterpret_cast<uint8_t*>(x.data()), kSize * 4},
                                    {reinterpret_cast<uint8_t*>(y.data()), kSize * 4}};
  std::shared_ptr<Graph> graph;

  explicit Chain(uint32_t threads = 1) {
    for (int32_t i = 0; i < kNodes; i++) {
      tensors.insert(tensors.end(), {i == kNodes - 1 ? 1.0 : -1.0, 0, kSize, 0});
      nodes.insert(nodes.end(), {id(i % 2 ? Op::copy : Op::gelu), i, i + 1, kSize});
    }
    for (int32_t i = 0; i < kSize; i++) x[size_t(i)] = float(i % 97) * 0.125f;
    CHECK(bool(Graph::create({tensors, nodes, {}}, threads, &graph)));
  }
  std::vector<uint8_t> trace(uint32_t begin, uint32_t end) {
    std::vector<uint8_t> digests((end - begin) * 32);
    const Status status = graph->trace(bindings, begin, end, digests);
    CHECK_THAT(bool(status), status.message());
    return digests;
  }
  std::vector<float> read(uint32_t tensor) {
    std::vector<float> values(kSize);
    const Status status = graph->read(tensor, 0, values);
    CHECK_THAT(bool(status), status.message());
    return values;
  }
};

std::string digest_of(const std::vector<float>& values) {
  const Bytes bytes(reinterpret_cast<const uint8_t*>(values.data()), values.size() * 4);
  return crypto::hex(state_digest({&bytes, 1}, nullptr));
}

void refused(const Status& status, const std::string& why) {
  CHECK_THAT(status.code() == GM_INVALID_ARGUMENT && status.message().find(why) != std::string::npos,
             "expected \"" + why + "\", got \"" + status.message() + "\"");
}

}  // namespace

TEST("trace: a digest for each output, the same for any parts and threads, and the run's own bytes") {
  Chain whole, parts(2), plain;
  const std::vector<uint8_t> all = whole.trace(0, kNodes);
  std::vector<uint8_t> joined;
  for (const auto& [begin, end] : {std::pair<uint32_t, uint32_t>{0, 3}, {3, 3}, {3, 4}, {4, 8}}) {
    const auto digests = parts.trace(begin, end);
    joined.insert(joined.end(), digests.begin(), digests.end());
    if (end < kNodes) CHECK(digest_of(parts.read(end)) == crypto::hex(std::span(joined).last(32)));
  }
  CHECK(all == joined);
  CHECK(bool(plain.graph->run(plain.bindings, nullptr)));
  CHECK(whole.y == plain.y && parts.y == plain.y);
  CHECK(digest_of(plain.y) == crypto::hex(std::span(all).last(32)));
  CHECK(std::vector(all.begin(), all.begin() + 32) ==
        std::vector(all.begin() + 32, all.begin() + 64));  // a copy
}

TEST("trace: one operator runs alone on inputs that were written, with the bytes it has within the graph") {
  Chain whole, alone;
  const std::vector<uint8_t> all = whole.trace(0, 4);
  const std::vector<float> input = whole.read(4);
  const std::vector<uint8_t> expected = whole.trace(4, 5);
  refused(alone.graph->trace(alone.bindings, 4, 5, {}), "node 4 (gelu) would read tensor 4");
  CHECK(bool(alone.graph->write(4, 0, input)));
  CHECK(alone.trace(4, 5) == expected);
}

TEST("trace: one changed bit of an intermediate tensor changes every digest after it and none before") {
  Chain honest, faulty;
  const std::vector<uint8_t> due = honest.trace(0, kNodes);
  std::vector<uint8_t> found = faulty.trace(0, 4);
  std::vector<float> element(1);
  CHECK(bool(faulty.graph->read(4, 1234, element)));
  element[0] = exact::from_bits(exact::bits(element[0]) ^ 1u);
  CHECK(bool(faulty.graph->write(4, 1234, element)));
  const auto rest = faulty.trace(4, kNodes);
  CHECK(std::equal(found.begin(), found.end(), due.begin()));
  for (size_t n = 4; n < kNodes; n++)
    CHECK(!std::equal(rest.begin() + long(n - 4) * 32, rest.begin() + long(n - 3) * 32,
                      due.begin() + long(n) * 32));
}

TEST("trace: what a tensor held is refused once its place was taken, and after a run that failed") {
  Chain chain;
  std::vector<float> values(kSize);
  refused(chain.graph->read(1, 0, values), "tensor 1 does not hold its value now");
  CHECK(bool(chain.graph->run(chain.bindings, nullptr)));
  refused(chain.graph->read(1, 0, values), "tensor 1 does not hold its value now");
  CHECK(bool(chain.graph->read(7, 0, values)) && values == chain.y);
  chain.trace(0, 1);
  CHECK(bool(chain.graph->read(1, 0, values)));
  refused(chain.graph->write(3, 1, std::span(values).first(5)), "tensor 3 does not hold its value now");
  Cancel cancel;
  cancel.raise();
  CHECK(chain.graph->run(chain.bindings, &cancel).code() == GM_ABORTED);
  refused(chain.graph->read(1, 0, values), "tensor 1 does not hold its value now");
  refused(chain.graph->trace(chain.bindings, 1, 2, {}), "node 1 (copy) would read tensor 1");
}

TEST("trace: arguments that make no sense are refused by name, before anything is written") {
  Chain chain;
  std::vector<uint8_t> digests(64);
  std::vector<float> values(kSize);
  refused(chain.graph->trace(chain.bindings, 2, 1, {}), "begin is 2 and end is 1");
  refused(chain.graph->trace(chain.bindings, 0, 9, {}), "end is 9; allowed: 0 <= begin <= end <= 8");
  refused(chain.graph->trace(chain.bindings, 0, 1, digests), "digests has 64 bytes");
  refused(chain.graph->trace(std::span(chain.bindings).first(1), 0, 1, {}), "bindings holds 1");
  refused(chain.graph->trace(chain.bindings, 7, 8, {}), "node 7 (copy) would read tensor 7");
  refused(chain.graph->read(9, 0, values), "tensor is 9, allowed: 0 to 8");
  refused(chain.graph->read(0, 0, values), "tensor 0 is part of binding 0");
  refused(chain.graph->write(8, 0, values), "tensor 8 is part of binding 1");
  CHECK(bool(chain.graph->write(1, 0, values)));
  refused(chain.graph->read(1, 1, values), "tensor 1 has 3000");
  refused(chain.graph->read(1, ~uint64_t{0}, values), "tensor 1 has 3000");
  CHECK(bool(chain.graph->read(1, kSize, {})));
  for (const float y : chain.y) CHECK(y == 0);
}
