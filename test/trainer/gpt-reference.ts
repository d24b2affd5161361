/** The GPT's forward pass in plain doubles, loop by loop: what the graph's gradients are measured against. */
import type { TensorLayout } from "../../lib/tensor/layout.js";
import type { GptShape } from "../../lib/trainer/gpt-model.js";

type Values = Float64Array;

function layernorm(x: Values, gain: Values, bias: Values): Values {
  const width = gain.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    const values = x.subarray(row, row + width);
    const mean = values.reduce((sum, value) => sum + value, 0) / width;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    const rstd = 1 / Math.sqrt(variance + 1e-5);
    for (let c = 0; c < width; c++) y[row + c] = (values[c]! - mean) * rstd * gain[c]! + bias[c]!;
  }
  return y;
}

function matmul(x: Values, w: Values, inner: number, bias?: Values): Values {
  const columns = w.length / inner;
  const rows = x.length / inner;
  const y = new Float64Array(rows * columns);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < columns; n++) {
      let sum = bias?.[n] ?? 0;
      for (let k = 0; k < inner; k++) sum += x[m * inner + k]! * w[k * columns + n]!;
      y[m * columns + n] = sum;
    }
  }
  return y;
}

function gelu(x: Values): Values {
  return x.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))));
}

function softmax(values: readonly number[]): number[] {
  const most = Math.max(...values);
  const exponentials = values.map((value) => Math.exp(value - most));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}

/** One query row of one head: softmax(q k^T / sqrt(d)) v over the rows up to its own. */
function attend(
  qkv: Values,
  first: number,
  row: number,
  head: number,
  size: number,
  width: number,
  out: Values,
): void {
  const at = (r: number, part: number, i: number) => qkv[r * 3 * width + part * width + head * size + i]!;
  const scores: number[] = [];
  for (let key = first; key <= row; key++) {
    let dot = 0;
    for (let i = 0; i < size; i++) dot += at(row, 0, i) * at(key, 1, i);
    scores.push(dot / Math.sqrt(size));
  }
  const probabilities = softmax(scores);
  for (let i = 0; i < size; i++) {
    out[row * width + head * size + i] = probabilities.reduce(
      (sum, p, k) => sum + p * at(first + k, 2, i),
      0,
    );
  }
}

function attention(qkv: Values, { batch, context, heads, width }: GptShape): Values {
  const out = new Float64Array(batch * context * width);
  for (let row = 0; row < batch * context; row++) {
    const first = row - (row % context);
    for (let head = 0; head < heads; head++) attend(qkv, first, row, head, width / heads, width, out);
  }
  return out;
}

/** The mean cross-entropy, in nats, of the model with these parameters (a bucket of doubles). */
export function referenceLoss(
  shape: GptShape,
  layout: TensorLayout,
  bucket: Values,
  tokens: Int32Array,
  targets: Int32Array,
): number {
  const { width, context, layers, vocabulary } = shape;
  const of = (name: string): Values => {
    const { offset, elements } = layout.slot(name);
    return bucket.subarray(offset, offset + elements);
  };
  const plus = (a: Values, b: Values) => a.map((value, i) => value + b[i]!);
  let x: Values = Float64Array.from({ length: tokens.length * width }, (_, i) => {
    const [row, c] = [Math.floor(i / width), i % width];
    return of("token.table")[tokens[row]! * width + c]! + of("position.table")[(row % context) * width + c]!;
  });
  for (let layer = 0; layer < layers; layer++) {
    const part = (name: string) => of(`block${layer}.${name}`);
    const linear = (values: Values, name: string, inner: number) =>
      matmul(values, part(`${name}.weight`), inner, part(`${name}.bias`));
    const qkv = linear(layernorm(x, part("norm1.gain"), part("norm1.bias")), "qkv", width);
    x = plus(x, linear(attention(qkv, shape), "projection", width));
    const hidden = gelu(linear(layernorm(x, part("norm2.gain"), part("norm2.bias")), "up", width));
    x = plus(x, linear(hidden, "down", 4 * width));
  }
  const logits = matmul(layernorm(x, of("norm.gain"), of("norm.bias")), of("head.weight"), width);
  const losses = Array.from(targets, (target, row) => {
    const values = Array.from(logits.subarray(row * vocabulary, (row + 1) * vocabulary));
    return -Math.log(softmax(values)[target]!);
  });
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}
