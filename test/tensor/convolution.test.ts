/** Convolutions made of im2col and matrix products: their gradients, against plain loops in double precision. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { normal } from "../../lib/base/random.js";
import { backward } from "../../lib/tensor/backward.js";
import { GraphBuilder } from "../../lib/tensor/builder.js";
import { reshape } from "../../lib/tensor/description.js";
import { mean, scaleBy } from "../../lib/tensor/elements.js";
import { crossEntropy, gelu, matmul } from "../../lib/tensor/operators.js";
import { im2col } from "../../lib/tensor/windows.js";

const SEED = 20260301;
const BATCH = 2;
const SIDE = 6;
const CLASSES = 3;
const first = { kernel: 3, stride: 1, padding: 1, channels: 2, filters: 3 }; // 6 x 6 x 2 -> 6 x 6 x 3
const second = { kernel: 3, stride: 2, padding: 0, channels: 3, filters: 4 }; // -> 2 x 2 x 4
const SCALE = 0.5;

const sizes = { w1: 3 * 3 * 2 * 3, b1: 3, w2: 3 * 3 * 3 * 4, w3: 2 * 2 * 4 * CLASSES };
type Name = keyof typeof sizes;

const draw = (stream: number, elements: number) =>
  Float32Array.from({ length: elements }, (_, i) => normal(SEED, stream, i, 0.4));

/** y[b, i, j, f] = the sum of x[b, i S + k - P, j S + l - P, c] w[k, l, c, f]. */
function convolve(x: number[], side: number, w: number[], window: typeof first): number[] {
  const { kernel, stride, padding, channels, filters } = window;
  const places = Math.floor((side + 2 * padding - kernel) / stride) + 1;
  const y = new Array<number>(BATCH * places * places * filters).fill(0);
  y.forEach((_, at) => {
    const filter = at % filters;
    const [j, i, b] = [
      Math.floor(at / filters) % places,
      Math.floor(at / filters / places) % places,
      Math.floor(at / filters / places / places),
    ];
    for (let k = 0; k < kernel; k++)
      for (let l = 0; l < kernel; l++)
        for (let c = 0; c < channels; c++) {
          const [row, column] = [i * stride + k - padding, j * stride + l - padding];
          if (row < 0 || row >= side || column < 0 || column >= side) continue;
          const pixel = x[((b * side + row) * side + column) * channels + c] as number;
          y[at]! += pixel * (w[((k * kernel + l) * channels + c) * filters + filter] as number);
        }
  });
  return y;
}

function lossOf(p: Record<Name, number[]>, x: number[], targets: Int32Array): number {
  const bend = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
  const h1 = convolve(x, SIDE, p.w1, first).map((v, i) => bend(v + (p.b1[i % first.filters] as number)));
  const h2 = convolve(h1, SIDE, p.w2, second).map((v) => SCALE * v);
  const inputs = h2.length / BATCH;
  let loss = 0;
  for (let b = 0; b < BATCH; b++) {
    const logits = Array.from({ length: CLASSES }, (_, c) =>
      h2.slice(b * inputs, (b + 1) * inputs).reduce((sum, v, i) => sum + v * p.w3[i * CLASSES + c]!, 0),
    );
    const total = Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0));
    loss += (total - logits[targets[b]!]!) / BATCH;
  }
  return loss;
}

function network() {
  const graph = new GraphBuilder();
  const parameter = (name: Name, shape: number[]) => {
    const tensor = graph.view(graph.binding(name, sizes[name]), shape);
    graph.differentiate(tensor, graph.view(graph.binding(`d_${name}`, sizes[name]), shape));
    return tensor;
  };
  const x = graph.view(graph.binding("x", BATCH * SIDE * SIDE * 2), [BATCH, SIDE, SIDE, 2]);
  const targets = graph.view(graph.binding("targets", BATCH, "i32"), [BATCH]);
  const factor = graph.view(graph.binding("factor", 1), [1]);
  const y1 = matmul(graph, im2col(graph, x, first), parameter("w1", [18, 3]), parameter("b1", [3]));
  const h1 = reshape(gelu(graph, y1), [BATCH, SIDE, SIDE, 3]);
  const y2 = matmul(graph, im2col(graph, h1, second), parameter("w2", [27, 4]));
  const h2 = reshape(scaleBy(graph, y2, factor), [BATCH, 16]);
  const logits = matmul(graph, h2, parameter("w3", [16, CLASSES]));
  const loss = mean(graph, crossEntropy(graph, logits, targets), graph.view(graph.binding("loss", 1), [1]));
  backward(graph, loss);
  return graph;
}

test("a network of two convolutions has the loss and the gradients of its definition", async () => {
  const builder = network();
  const backwards = builder.nodes.filter(({ op }) => op === "col2im").length;
  assert.is(backwards, 1, "nobody asked for the gradient of the images");
  const graph = builder.build(1);
  const names = Object.keys(sizes) as Name[];
  const values = Object.fromEntries(names.map((name, stream) => [name, draw(stream, sizes[name])]));
  const gradients = Object.fromEntries(names.map((name) => [`d_${name}`, new Float32Array(sizes[name])]));
  const x = draw(9, BATCH * SIDE * SIDE * 2);
  const targets = Int32Array.of(2, 0);
  const loss = new Float32Array(1);
  await graph.run({ ...values, ...gradients, x, targets, loss, factor: Float32Array.of(SCALE) });
  graph.close();
  const plain = Object.fromEntries(names.map((name) => [name, [...values[name]!]])) as Record<Name, number[]>;
  const at = () => lossOf(plain, [...x], targets);
  assert.ok(Math.abs(loss[0]! - at()) < 1e-5, `loss ${loss[0]}, not ${at()}`);
  for (const name of names)
    plain[name].forEach((value, i) => {
      const step = 1e-5;
      plain[name][i] = value + step;
      const above = at();
      plain[name][i] = value - step;
      const slope = (above - at()) / (2 * step);
      plain[name][i] = value;
      const got = gradients[`d_${name}`]![i]!;
      assert.ok(Math.abs(got - slope) < 1e-5, `d_${name}[${i}] is ${got}, not ${slope}`);
    });
});

test("a window that does not fit, and a shape of other elements, are refused by name", () => {
  const graph = new GraphBuilder();
  const x = graph.view(graph.binding("x", 60), [1, 4, 5, 3]);
  const invalid = (pattern: RegExp) => (error: GradmeshError) =>
    error.code === "ERR_INVALID_ARGUMENT" && pattern.test(error.message);
  for (const [kernel, stride, padding] of [
    [5, 1, 0],
    [3, 0, 0],
    [3, 1, 3],
    [3, 1, -1],
    [0, 1, 0],
    [2.5, 1, 0],
  ] as const)
    assert.throws(
      () => im2col(graph, x, { kernel, stride, padding }),
      invalid(/^im2col: a window of kernel .* does not fit "x" \[1,4,5,3\]/),
    );
  const flat = graph.view(graph.binding("flat", 60), [60]);
  assert.throws(
    () => im2col(graph, flat, first),
    invalid(/im2col: images "flat" has shape \[60\], not \[any,any,any,any\]/),
  );
  assert.throws(() => reshape(x, [61]), invalid(/reshape: "x" has shape \[1,4,5,3\], .* become \[61\]/));
});

test.run();
