/**
 * One function for each operator of native/ops/ops.def: it checks shapes, appends the node and returns the outputs.
 * All tensors are float32 and row-major unless said otherwise; a trailing `out` writes there instead of the arena.
 */
import { GradmeshError } from "../base/errors.js";
import type { OpName } from "../native/abi.gen.js";
import type { GraphBuilder } from "./builder.js";
import type { GraphTensor } from "./description.js";

/** Throws ERR_INVALID_ARGUMENT naming operator and tensor unless the shape is the wanted one (-1: any extent). */
function expectShape(op: OpName, role: string, tensor: GraphTensor, wanted: readonly number[]): void {
  const { shape } = tensor;
  const fits =
    shape.length === wanted.length && wanted.every((extent, i) => extent < 0 || extent === shape[i]);
  if (fits) return;
  const expected = wanted.map((extent) => (extent < 0 ? "any" : extent)).join(",");
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `${op}: ${role} "${tensor.name}" has shape [${shape}], not [${expected}]`,
  );
}

function expectIntegers(op: OpName, role: string, tensor: GraphTensor, elements: number): void {
  expectShape(op, role, tensor, [elements]);
  if (tensor.kind === "i32") return;
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `${op}: ${role} "${tensor.name}" is ${tensor.kind}, not i32`,
  );
}

/** Elementwise operators take any shape, as long as all tensors hold as many elements. */
function expectElements(op: OpName, tensors: readonly GraphTensor[]): number {
  const elements = tensors[0]!.elements;
  const misfit = tensors.find((tensor) => tensor.elements !== elements);
  if (misfit === undefined) return elements;
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `${op}: "${misfit.name}" has shape [${misfit.shape}], "${tensors[0]!.name}" has [${tensors[0]!.shape}]`,
  );
}

function matrix(op: OpName, role: string, tensor: GraphTensor): [rows: number, columns: number] {
  expectShape(op, role, tensor, [-1, -1]);
  return [tensor.shape[0]!, tensor.shape[1]!];
}

/** out[r] = table[tokens[r]] + positions[r mod T]; tokens i32[R], table[V,C], positions[T,C] -> [R,C]. */
export function embedding(
  graph: GraphBuilder,
  tokens: GraphTensor,
  table: GraphTensor,
  positions: GraphTensor,
): GraphTensor {
  const [vocabulary, width] = matrix("embedding", "table", table);
  const [context] = matrix("embedding", "positions", positions);
  expectShape("embedding", "positions", positions, [context, width]);
  const rows = tokens.elements;
  expectIntegers("embedding", "tokens", tokens, rows);
  const out = graph.arena("embedding", [rows, width]);
  graph.node("embedding", [tokens, table, positions], [out], [rows, context, width, vocabulary]);
  return out;
}

export function embeddingBackward(
  graph: GraphBuilder,
  tokens: GraphTensor,
  dOut: GraphTensor,
  dTable: GraphTensor,
  dPositions: GraphTensor,
): void {
  const [rows, width] = matrix("embedding_backward", "d_out", dOut);
  expectIntegers("embedding_backward", "tokens", tokens, rows);
  const [vocabulary] = matrix("embedding_backward", "d_table", dTable);
  const [context] = matrix("embedding_backward", "d_positions", dPositions);
  graph.node("embedding_backward", [tokens, dOut], [dTable, dPositions], [rows, context, width, vocabulary]);
}

/** Each row of x[R,C] to mean 0 and variance 1, times gain[C], plus bias[C]. */
export function layernorm(
  graph: GraphBuilder,
  x: GraphTensor,
  gain: GraphTensor,
  bias: GraphTensor,
  epsilon: number,
): GraphTensor {
  const [rows, width] = matrix("layernorm", "x", x);
  expectShape("layernorm", "gain", gain, [width]);
  expectShape("layernorm", "bias", bias, [width]);
  const y = graph.arena("layernorm", [rows, width]);
  const mean = graph.arena("layernorm.mean", [rows]);
  const rstd = graph.arena("layernorm.rstd", [rows]);
  graph.node("layernorm", [x, gain, bias], [y, mean, rstd], [rows, width], [epsilon]);
  return y;
}

/** inputs: d_y, x, gain, mean, rstd; outputs: d_x, d_gain, d_bias. */
export function layernormBackward(
  graph: GraphBuilder,
  inputs: readonly [dY: GraphTensor, x: GraphTensor, gain: GraphTensor, mean: GraphTensor, rstd: GraphTensor],
  outputs: readonly [dX: GraphTensor, dGain: GraphTensor, dBias: GraphTensor],
): void {
  const [rows, width] = matrix("layernorm_backward", "x", inputs[1]);
  expectShape("layernorm_backward", "d_y", inputs[0], [rows, width]);
  graph.node("layernorm_backward", inputs, outputs, [rows, width]);
}

/** y = x w + bias; x[M,K], w[K,N], bias[N] or none -> [M,N]. */
export function matmul(graph: GraphBuilder, x: GraphTensor, w: GraphTensor, bias?: GraphTensor): GraphTensor {
  const [rows, inner] = matrix("matmul", "x", x);
  expectShape("matmul", "w", w, [inner, -1]);
  const columns = w.shape[1]!;
  if (bias !== undefined) expectShape("matmul", "bias", bias, [columns]);
  const y = graph.arena("matmul", [rows, columns]);
  // Without a bias the weight stands in its place and is not read.
  graph.node("matmul", [x, w, bias ?? w], [y], [rows, inner, columns, bias === undefined ? 0 : 1]);
  return y;
}

/** d_x = d_y w^T; d_y[M,N], w[K,N] -> d_x[M,K]. */
export function matmulBackwardInput(
  graph: GraphBuilder,
  dY: GraphTensor,
  w: GraphTensor,
  dX: GraphTensor,
): void {
  const [rows, columns] = matrix("matmul_backward_input", "d_y", dY);
  expectShape("matmul_backward_input", "w", w, [-1, columns]);
  const inner = w.shape[0]!;
  expectShape("matmul_backward_input", "d_x", dX, [rows, inner]);
  graph.node("matmul_backward_input", [dY, w], [dX], [rows, inner, columns]);
}

/** d_w = x^T d_y; x[M,K], d_y[M,N] -> d_w[K,N]. */
export function matmulBackwardWeight(
  graph: GraphBuilder,
  x: GraphTensor,
  dY: GraphTensor,
  dW: GraphTensor,
): void {
  const [rows, inner] = matrix("matmul_backward_weight", "x", x);
  expectShape("matmul_backward_weight", "d_y", dY, [rows, -1]);
  const columns = dY.shape[1]!;
  expectShape("matmul_backward_weight", "d_w", dW, [inner, columns]);
  graph.node("matmul_backward_weight", [x, dY], [dW], [rows, inner, columns]);
}

/** d_bias[n] = sum over rows of d_y[m,n]. */
export function biasBackward(graph: GraphBuilder, dY: GraphTensor, dBias: GraphTensor): void {
  const [rows, columns] = matrix("bias_backward", "d_y", dY);
  expectShape("bias_backward", "d_bias", dBias, [columns]);
  graph.node("bias_backward", [dY], [dBias], [rows, columns]);
}

/** GELU in its tanh form (arXiv 1606.08415), elementwise. */
export function gelu(graph: GraphBuilder, x: GraphTensor): GraphTensor {
  const y = graph.arena("gelu", x.shape);
  graph.node("gelu", [x], [y], [x.elements]);
  return y;
}

export function geluBackward(graph: GraphBuilder, x: GraphTensor, dY: GraphTensor, dX: GraphTensor): void {
  graph.node("gelu_backward", [x, dY], [dX], [expectElements("gelu_backward", [x, dY, dX])]);
}

/** Causal multi-head attention: qkv[B*T,3C], queries, keys, values side by side -> [B*T,C]. */
export function attention(
  graph: GraphBuilder,
  qkv: GraphTensor,
  { batch, context, heads }: { readonly batch: number; readonly context: number; readonly heads: number },
): GraphTensor {
  const width = Math.floor(matrix("attention", "qkv", qkv)[1] / 3);
  expectShape("attention", "qkv", qkv, [batch * context, 3 * width]);
  if (width % heads !== 0) {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `attention: width ${width} is no multiple of ${heads} heads`,
    );
  }
  const out = graph.arena("attention", [batch * context, width]);
  const probabilities = graph.arena("attention.probabilities", [batch, heads, context, context]);
  graph.node("attention", [qkv], [out, probabilities], [batch, context, heads, width]);
  return out;
}

export function attentionBackward(
  graph: GraphBuilder,
  dOut: GraphTensor,
  qkv: GraphTensor,
  probabilities: GraphTensor,
  dQkv: GraphTensor,
): void {
  const [rows, width] = matrix("attention_backward", "d_out", dOut);
  expectShape("attention_backward", "qkv", qkv, [rows, 3 * width]);
  const [batch, heads, context] = probabilities.shape as [number, number, number];
  graph.node("attention_backward", [dOut, qkv, probabilities], [dQkv], [batch, context, heads, width]);
}

/** out = a + b, elementwise. */
export function add(graph: GraphBuilder, a: GraphTensor, b: GraphTensor, out?: GraphTensor): GraphTensor {
  return elementwise(graph, "add", a, b, out);
}

/** out = a - b, elementwise. */
export function subtract(
  graph: GraphBuilder,
  a: GraphTensor,
  b: GraphTensor,
  out?: GraphTensor,
): GraphTensor {
  return elementwise(graph, "subtract", a, b, out);
}

function elementwise(
  graph: GraphBuilder,
  op: "add" | "subtract",
  a: GraphTensor,
  b: GraphTensor,
  out = graph.arena(op, a.shape),
): GraphTensor {
  graph.node(op, [a, b], [out], [expectElements(op, [a, b, out])]);
  return out;
}

/** out = x. */
export function copy(graph: GraphBuilder, x: GraphTensor, out = graph.arena("copy", x.shape)): GraphTensor {
  graph.node("copy", [x], [out], [expectElements("copy", [x, out])]);
  return out;
}

/** Minus the log-probability of each target, in nats: logits[R,V], targets i32[R] -> losses[R]. */
export function crossEntropy(graph: GraphBuilder, logits: GraphTensor, targets: GraphTensor): GraphTensor {
  const [rows, vocabulary] = matrix("cross_entropy", "logits", logits);
  expectIntegers("cross_entropy", "targets", targets, rows);
  const losses = graph.arena("cross_entropy", [rows]);
  const probabilities = graph.arena("cross_entropy.probabilities", [rows, vocabulary]);
  graph.node("cross_entropy", [logits, targets], [losses, probabilities], [rows, vocabulary]);
  return losses;
}

/** The gradient of the MEAN loss in respect of the logits. */
export function crossEntropyBackward(
  graph: GraphBuilder,
  probabilities: GraphTensor,
  targets: GraphTensor,
  dLogits: GraphTensor,
): void {
  const [rows, vocabulary] = matrix("cross_entropy_backward", "probabilities", probabilities);
  expectIntegers("cross_entropy_backward", "targets", targets, rows);
  expectShape("cross_entropy_backward", "d_logits", dLogits, [rows, vocabulary]);
  graph.node("cross_entropy_backward", [probabilities, targets], [dLogits], [rows, vocabulary]);
}

/** The mean of all elements of x, as [1]. */
export function mean(graph: GraphBuilder, x: GraphTensor, out = graph.arena("mean", [1])): GraphTensor {
  expectShape("mean", "out", out, [1]);
  graph.node("mean", [x], [out], [x.elements]);
  return out;
}

/** out[2] = the factor min(1, limit / norm) and the Euclidean norm of x; limit 0 does not clip. */
export function clipScale(
  graph: GraphBuilder,
  x: GraphTensor,
  limit: number,
  out = graph.arena("clip_scale", [2]),
): GraphTensor {
  expectShape("clip_scale", "out", out, [2]);
  graph.node("clip_scale", [x], [out], [x.elements], [limit]);
  return out;
}

/** One AdamW step (arXiv 1711.05101) on parameters, first and second moments, in place. */
export function adamw(
  graph: GraphBuilder,
  inputs: { gradients: GraphTensor; clip: GraphTensor; schedule: GraphTensor; decay: GraphTensor },
  state: { parameters: GraphTensor; first: GraphTensor; second: GraphTensor },
  settings: { beta1: number; beta2: number; epsilon: number; weightDecay: number },
): void {
  const { gradients, clip, schedule, decay } = inputs;
  const { parameters, first, second } = state;
  expectShape("adamw", "clip", clip, [2]);
  expectShape("adamw", "schedule", schedule, [2]);
  const elements = expectElements("adamw", [gradients, decay, parameters, first, second]);
  const floats = [settings.beta1, settings.beta2, settings.epsilon, settings.weightDecay];
  graph.node("adamw", [gradients, clip, schedule, decay], [parameters, first, second], [elements], floats);
}

/** Nesterov's step in place: b = m b + g, p = p - lr (g + m b); schedule[2] is lr and m. */
export function nesterov(
  graph: GraphBuilder,
  inputs: { gradient: GraphTensor; schedule: GraphTensor },
  state: { parameters: GraphTensor; momentum: GraphTensor },
): void {
  expectShape("nesterov", "schedule", inputs.schedule, [2]);
  const elements = expectElements("nesterov", [inputs.gradient, state.parameters, state.momentum]);
  graph.node("nesterov", [inputs.gradient, inputs.schedule], [state.parameters, state.momentum], [elements]);
}
