/** Building graphs: shape checks, and graphs as data. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { GraphBuilder } from "../../lib/tensor/builder.js";
import { graphDigest, printGraph } from "../../lib/tensor/description.js";
import { add, axpby, dot, gather, scaleBy, scatter } from "../../lib/tensor/elements.js";
import { attention, crossEntropy, embedding, gelu, layernorm, matmul } from "../../lib/tensor/operators.js";
import { adaptive, signStep } from "../../lib/tensor/optimizers.js";

const invalid = (pattern: RegExp) => (error: GradmeshError) =>
  error.code === "ERR_INVALID_ARGUMENT" && pattern.test(error.message);

function tensors() {
  const graph = new GraphBuilder();
  const tensor = (name: string, shape: number[], kind: "f32" | "i32" = "f32") =>
    graph.view(
      graph.binding(
        name,
        shape.reduce((product, extent) => product * extent, 1),
        kind,
      ),
      shape,
    );
  return { graph, tensor };
}

test("a misfit shape is an error that names operator, tensor and shapes", () => {
  const { graph, tensor } = tensors();
  const x = tensor("x", [2, 5]);
  const w = tensor("w", [3, 4]);
  const square = tensor("square", [5, 5]);
  const short = tensor("short", [4]);
  const tokens = tensor("tokens", [2], "i32");
  assert.throws(() => matmul(graph, x, w), invalid(/matmul: w "w" has shape \[3,4\], not \[5,any\]/));
  assert.throws(() => matmul(graph, x, square, short), invalid(/matmul: bias "short"/));
  assert.throws(() => layernorm(graph, x, short, short, 1e-5), invalid(/layernorm: gain "short"/));
  assert.throws(() => add(graph, x, short), invalid(/add: "short" has shape \[4\]/));
  assert.throws(() => crossEntropy(graph, x, short), invalid(/cross_entropy: targets "short"/));
  assert.throws(() => embedding(graph, short, w, w), invalid(/embedding: tokens "short" is f32, not i32/));
  assert.throws(() => embedding(graph, tokens, w, x), invalid(/embedding: positions "x"/));
  assert.throws(
    () => attention(graph, tensor("qkv", [4, 9]), { batch: 2, context: 2, heads: 2 }),
    invalid(/3 is no multiple of 2/),
  );
  assert.throws(() => graph.node("copy", [x], [x], []), invalid(/copy takes .*\[1,1,1,0\], not \[1,1,0,0\]/));
  assert.throws(() => gelu(graph, graph.arena("empty", [3])), invalid(/reads "empty" before it is written/));
  assert.throws(() => graph.view(graph.binding("b", 4), [5]), invalid(/lies outside "b" of 4/));
  assert.throws(() => graph.binding("b", 4), invalid(/"b" is declared twice/));
});

test("operators on whole tensors name what does not fit", () => {
  const { graph, tensor } = tensors();
  const x = tensor("x", [2, 3]);
  const flat = tensor("flat", [6]);
  const two = tensor("two", [2]);
  const index = tensor("index", [2], "i32");
  assert.throws(() => axpby(graph, x, two, two), invalid(/axpby: "two" has shape \[2\], "x" has \[2,3\]/));
  assert.throws(
    () => axpby(graph, x, flat, x),
    invalid(/axpby: coefficients "x" has shape \[2,3\], not \[2\]/),
  );
  assert.throws(() => scaleBy(graph, x, two), invalid(/scale_by: factor "two" has shape \[2\], not \[1\]/));
  assert.throws(() => dot(graph, x, two), invalid(/dot: "two"/));
  assert.throws(() => gather(graph, x, two), invalid(/gather: indices "two" is f32, not i32/));
  assert.throws(
    () => gather(graph, x, index, flat),
    invalid(/gather: out "flat" has shape \[6\], not \[2\]/),
  );
  assert.throws(
    () => scatter(graph, flat, index, x),
    invalid(/scatter: indices "index" has shape \[2\], not \[6\]/),
  );
  const state = { parameters: x, first: flat, second: two };
  const settings = { kind: "yogi", beta1: 0.9, beta2: 0.99, epsilon: 1e-3 } as const;
  const inputs = { gradient: flat, schedule: two };
  assert.throws(() => adaptive(graph, inputs, state, settings), invalid(/adaptive: schedule "two"/));
  assert.throws(() => signStep(graph, { gradient: two, schedule: two }, state), invalid(/sign_step: "x"/));
  assert.is(axpby(graph, flat, x, two, x).id, x.id);
  assert.equal(scaleBy(graph, x, graph.part(two, [1], 1)).shape, [2, 3]);
  assert.throws(() => graph.part(two, [1], 2), invalid(/\[1\] at 2 is no part of "two" \[2\]/));
});

test("equal graphs print and hash the same, different ones do not", () => {
  const build = (extra: boolean) => {
    const { graph, tensor } = tensors();
    const y = matmul(graph, tensor("x", [2, 3]), tensor("w", [3, 4]), tensor("b", [4]));
    if (extra) gelu(graph, y);
    return graph.describe();
  };
  assert.is(printGraph(build(false)), "0000 matmul(x, w, b) -> (matmul) [2,3,4,1]\n");
  assert.is(graphDigest(build(true)), graphDigest(build(true)));
  assert.is.not(graphDigest(build(true)), graphDigest(build(false)));
  assert.equal(JSON.parse(JSON.stringify(build(true))), build(true));
});

test.run();
