/** Differentiation: which nodes it appends, in which order, and what it refuses. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { backward } from "../../lib/tensor/backward.js";
import { GraphBuilder } from "../../lib/tensor/builder.js";
import type { GraphTensor } from "../../lib/tensor/description.js";
import { add, axpby, mean, scaleBy, subtract } from "../../lib/tensor/elements.js";
import { crossEntropy, matmul } from "../../lib/tensor/operators.js";

const invalid = (pattern: RegExp) => (error: GradmeshError) =>
  error.code === "ERR_INVALID_ARGUMENT" && pattern.test(error.message);

/** A graph with a weight [3,3] whose gradient is asked for, an input [4,3] and targets. */
function weighted() {
  const graph = new GraphBuilder();
  const w = graph.view(graph.binding("w", 9), [3, 3]);
  const x = graph.view(graph.binding("x", 12), [4, 3]);
  const targets = graph.view(graph.binding("targets", 4, "i32"), [4]);
  graph.differentiate(w, graph.view(graph.binding("dW", 9), [3, 3]));
  const lossOf = (logits: GraphTensor) => mean(graph, crossEntropy(graph, logits, targets));
  return { graph, w, x, lossOf };
}

const opsOf = (graph: GraphBuilder) => graph.nodes.map((node) => node.op).join(" ");

test("only wanted gradients are computed, straight into their place", () => {
  const { graph, w, x, lossOf } = weighted();
  backward(graph, lossOf(matmul(graph, x, w)));
  assert.is(opsOf(graph), "matmul cross_entropy mean cross_entropy_backward matmul_backward_weight");
  assert.is(graph.tensor(graph.nodes.at(-1)!.outputs[0]!).name, "dW");
});

test("a tensor used twice gets the sum of its gradients, the later use's first", () => {
  const { graph, w, x, lossOf } = weighted();
  backward(graph, lossOf(matmul(graph, matmul(graph, x, w), w)));
  const tail =
    "cross_entropy_backward matmul_backward_input matmul_backward_weight matmul_backward_weight add";
  assert.is(opsOf(graph), `matmul matmul cross_entropy mean ${tail}`);
  const [later, earlier, sum] = graph.nodes.slice(-3);
  assert.equal(sum!.inputs, [later!.outputs[0], earlier!.outputs[0]]);
  assert.is(graph.tensor(sum!.outputs[0]!).name, "dW");
});

test("a residual hands its gradient on without a node; a leaf of a sum gets a copy", () => {
  const { graph, w, x, lossOf } = weighted();
  const b = graph.view(graph.binding("b", 12), [4, 3]);
  graph.differentiate(b, graph.view(graph.binding("dB", 12), [4, 3]));
  backward(graph, lossOf(add(graph, matmul(graph, x, w), b)));
  assert.is(opsOf(graph), "matmul add cross_entropy mean cross_entropy_backward copy matmul_backward_weight");
});

test("linear operators hand the gradient on times their coefficients", () => {
  const { graph, w, x, lossOf } = weighted();
  const b = graph.view(graph.binding("b", 12), [4, 3]);
  graph.differentiate(b, graph.view(graph.binding("dB", 12), [4, 3]));
  const coefficients = graph.view(graph.binding("coefficients", 3), [2], 1);
  const factor = graph.view(graph.binding("factor", 1), [1]);
  const logits = axpby(graph, scaleBy(graph, matmul(graph, x, w), factor), b, coefficients);
  backward(graph, lossOf(logits));
  assert.is(
    opsOf(graph),
    "matmul scale_by axpby cross_entropy mean cross_entropy_backward scale_by scale_by scale_by matmul_backward_weight",
  );
  const [ofScaled, ofB, ofProduct] = graph.nodes.slice(6, 9).map(({ inputs, outputs }) => ({
    factor: graph.tensor(inputs[1]!),
    out: graph.tensor(outputs[0]!).name,
  }));
  assert.equal([ofScaled!.factor.offset, ofB!.factor.offset, ofB!.out], [1, 2, "dB"]);
  assert.is(ofProduct!.factor.name, "factor");
});

test("the gradient of a coefficient is none, and one in the graph's memory is refused", () => {
  const first = weighted();
  const c = first.graph.view(first.graph.binding("c", 2), [2]);
  first.graph.differentiate(c, first.graph.view(first.graph.binding("dC", 2), [2]));
  const y = matmul(first.graph, first.x, first.w);
  assert.throws(
    () => backward(first.graph, first.lossOf(axpby(first.graph, y, y, c))),
    invalid(/"c" has no part in "mean"/),
  );
  const second = weighted();
  const made = scaleBy(
    second.graph,
    second.graph.view(second.graph.binding("c", 2), [2]),
    second.graph.view(second.graph.binding("one", 1), [1]),
  );
  const z = matmul(second.graph, second.x, second.w);
  assert.throws(
    () => backward(second.graph, second.lossOf(axpby(second.graph, z, z, made))),
    invalid(/is no part of "scale_by" \[2\], which is in the graph's own memory/),
  );
});

test("what cannot be differentiated is refused by name", () => {
  const first = weighted();
  assert.throws(
    () => backward(first.graph, mean(first.graph, first.w)),
    invalid(/"mean" is not the mean of a cross_entropy/),
  );
  const second = weighted();
  const logits = matmul(second.graph, second.x, second.w);
  const loss = second.lossOf(subtract(second.graph, logits, second.x));
  assert.throws(() => backward(second.graph, loss), invalid(/subtract has no backward rule/));
  const third = weighted();
  const unrelated = third.lossOf(third.x);
  assert.throws(() => backward(third.graph, unrelated), invalid(/"w" has no part in "mean"/));
});

test.run();
