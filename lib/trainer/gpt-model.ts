/** The GPT as an operator graph: pre-norm transformer decoder in the style of GPT-2, over characters. */
import type { GraphBuilder } from "../tensor/builder.js";
import type { GraphTensor } from "../tensor/description.js";
import { add } from "../tensor/elements.js";
import { TensorLayout } from "../tensor/layout.js";
import { attention, crossEntropy, embedding, gelu, layernorm, matmul } from "../tensor/operators.js";
import type { Forward, Model, Parameter } from "./model.js";

export interface GptShape {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly context: number;
  readonly batch: number;
  /** Characters in the vocabulary. */
  readonly vocabulary: number;
}

const LAYERNORM_EPSILON = 1e-5;
/** The hidden layer of the feed-forward part is this many times as wide as the model. */
const EXPANSION = 4;

/** Names and shapes of all parameters; weights are [inputs, outputs]. */
export function gptLayout({
  layers,
  width,
  context,
  vocabulary,
}: Pick<GptShape, "layers" | "width" | "context" | "vocabulary">): TensorLayout {
  const block = (prefix: string) => [
    { name: `${prefix}.norm1.gain`, shape: [width] },
    { name: `${prefix}.norm1.bias`, shape: [width] },
    { name: `${prefix}.qkv.weight`, shape: [width, 3 * width] },
    { name: `${prefix}.qkv.bias`, shape: [3 * width] },
    { name: `${prefix}.projection.weight`, shape: [width, width] },
    { name: `${prefix}.projection.bias`, shape: [width] },
    { name: `${prefix}.norm2.gain`, shape: [width] },
    { name: `${prefix}.norm2.bias`, shape: [width] },
    { name: `${prefix}.up.weight`, shape: [width, EXPANSION * width] },
    { name: `${prefix}.up.bias`, shape: [EXPANSION * width] },
    { name: `${prefix}.down.weight`, shape: [EXPANSION * width, width] },
    { name: `${prefix}.down.bias`, shape: [width] },
  ];
  return new TensorLayout([
    { name: "token.table", shape: [vocabulary, width] },
    { name: "position.table", shape: [context, width] },
    ...Array.from({ length: layers }, (_, layer) => block(`block${layer}`)).flat(),
    { name: "norm.gain", shape: [width] },
    { name: "norm.bias", shape: [width] },
    { name: "head.weight", shape: [width, vocabulary] },
  ]);
}

function attentionPart(graph: GraphBuilder, x: GraphTensor, prefix: string, of: Parameter, shape: GptShape) {
  const norm = layernorm(graph, x, of(`${prefix}.norm1.gain`), of(`${prefix}.norm1.bias`), LAYERNORM_EPSILON);
  const qkv = matmul(graph, norm, of(`${prefix}.qkv.weight`), of(`${prefix}.qkv.bias`));
  const mixed = attention(graph, qkv, shape);
  return matmul(graph, mixed, of(`${prefix}.projection.weight`), of(`${prefix}.projection.bias`));
}

function feedForwardPart(graph: GraphBuilder, x: GraphTensor, prefix: string, of: Parameter) {
  const norm = layernorm(graph, x, of(`${prefix}.norm2.gain`), of(`${prefix}.norm2.bias`), LAYERNORM_EPSILON);
  const hidden = gelu(graph, matmul(graph, norm, of(`${prefix}.up.weight`), of(`${prefix}.up.bias`)));
  return matmul(graph, hidden, of(`${prefix}.down.weight`), of(`${prefix}.down.bias`));
}

/** The GPT over bound tokens and targets, i32 [batch * context] each: a row of the losses is a token. */
export function gptModel(shape: Omit<GptShape, "batch">): Model {
  return {
    layout: gptLayout(shape),
    forward: (graph, of, batch) => forward(graph, { ...shape, batch }, of),
  };
}

function forward(graph: GraphBuilder, shape: GptShape, of: Parameter): Forward {
  const rows = shape.batch * shape.context;
  const tokens = graph.view(graph.binding("tokens", rows, "i32"), [rows]);
  const targets = graph.view(graph.binding("targets", rows, "i32"), [rows]);
  let x = embedding(graph, tokens, of("token.table"), of("position.table"));
  for (let layer = 0; layer < shape.layers; layer++) {
    const prefix = `block${layer}`;
    graph.scope = `${prefix}.attention.`;
    x = add(graph, x, attentionPart(graph, x, prefix, of, shape));
    graph.scope = `${prefix}.feed-forward.`;
    x = add(graph, x, feedForwardPart(graph, x, prefix, of));
  }
  graph.scope = "head.";
  const norm = layernorm(graph, x, of("norm.gain"), of("norm.bias"), LAYERNORM_EPSILON);
  const logits = matmul(graph, norm, of("head.weight"));
  return { losses: crossEntropy(graph, logits, targets), logits };
}
