/**
 * One function for each operator of native/ops/ops.def: it checks shapes, appends the node and returns the outputs.
 * All tensors are float32 and row-major unless said otherwise. An output overlaps no input: what is read and written
 * at once goes through the arena and copy(). Here are a network's layers; elements.ts has operators on whole tensors,
 * optimizers.ts those that update state in place, windows.ts those over images.
 */
import { GradmeshError } from "../base/errors.js";
import type { GraphBuilder } from "./builder.js";
import type { GraphTensor } from "./description.js";
import { expectElements, expectIntegers, expectShape, matrix } from "./operator-checks.js";

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
