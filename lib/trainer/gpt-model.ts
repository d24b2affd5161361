/** The GPT as an operator graph: pre-norm transformer decoder in the style of GPT-2, over characters. */
import { GradmeshError } from "../base/errors.js";
import { backward } from "../tensor/backward.js";
import { GraphBuilder } from "../tensor/builder.js";
import type { GraphBinding, GraphTensor } from "../tensor/description.js";
import type { Graph } from "../tensor/graph.js";
import { TensorLayout } from "../tensor/layout.js";
import {
  adamw,
  add,
  attention,
  clipScale,
  crossEntropy,
  embedding,
  gelu,
  layernorm,
  matmul,
  mean,
} from "../tensor/operators.js";

export interface GptShape {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly context: number;
  readonly batch: number;
  /** Characters in the vocabulary. */
  readonly vocabulary: number;
}

export interface OptimizerSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest Euclidean norm of the whole gradient; 0 does not clip. */
  readonly clip: number;
}

const LAYERNORM_EPSILON = 1e-5;
/** The hidden layer of the feed-forward part is this many times as wide as the model. */
const EXPANSION = 4;

/** Names and shapes of all parameters; weights are [inputs, outputs]. */
export function gptLayout({ layers, width, context, vocabulary }: GptShape): TensorLayout {
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

type Parameter = (name: string) => GraphTensor;

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

/** Appends the forward pass from bound tokens to the mean loss, and returns the loss [1]. */
function forward(graph: GraphBuilder, shape: GptShape, of: Parameter): GraphTensor {
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
  return mean(graph, crossEntropy(graph, logits, targets), graph.view(graph.binding("loss", 1), [1]));
}

function parameterViews(
  graph: GraphBuilder,
  binding: GraphBinding,
  layout: TensorLayout,
): Map<string, GraphTensor> {
  return new Map(
    layout.slots.map(({ name, shape, offset }) => [name, graph.view(binding, shape, offset, name)]),
  );
}

function named(views: ReadonlyMap<string, GraphTensor>): Parameter {
  return (name) => {
    const tensor = views.get(name);
    if (tensor === undefined) throw new GradmeshError("ERR_INTERNAL", `gpt: no parameter "${name}"`);
    return tensor;
  };
}

/**
 * Forward, backward, clipping and AdamW in one graph. Bindings: parameters, gradients, first, second, decay (each
 * [n]), tokens, targets (i32 [batch * context]), schedule [learning rate, step from 1], loss [1], clip [factor, norm].
 */
export function trainingGraph(
  shape: GptShape,
  settings: OptimizerSettings,
  threads: number,
  device = "cpu",
): Graph {
  const layout = gptLayout(shape);
  const graph = new GraphBuilder();
  const bucket = (name: string) => graph.binding(name, layout.elements);
  const [parameters, gradients, first, second, decay] = [
    bucket("parameters"),
    bucket("gradients"),
    bucket("first"),
    bucket("second"),
    bucket("decay"),
  ];
  const schedule = graph.view(graph.binding("schedule", 2), [2]);
  const views = parameterViews(graph, parameters, layout);
  for (const { name, shape: extents, offset } of layout.slots) {
    graph.differentiate(named(views)(name), graph.view(gradients, extents, offset, `d.${name}`));
  }
  backward(graph, forward(graph, shape, named(views)));
  graph.scope = "";
  const whole = (binding: GraphBinding) => graph.view(binding, [layout.elements]);
  const clip = graph.view(graph.binding("clip", 2), [2]);
  clipScale(graph, whole(gradients), settings.clip, clip);
  adamw(
    graph,
    { gradients: whole(gradients), clip, schedule, decay: whole(decay) },
    { parameters: whole(parameters), first: whole(first), second: whole(second) },
    settings,
  );
  return graph.build(threads, device);
}

/** Forward alone. Bindings: parameters [n], tokens, targets (i32 [batch * context]), loss [1]. */
export function evaluationGraph(shape: GptShape, threads: number, device = "cpu"): Graph {
  const layout = gptLayout(shape);
  const graph = new GraphBuilder();
  const views = parameterViews(graph, graph.binding("parameters", layout.elements), layout);
  forward(graph, shape, named(views));
  return graph.build(threads, device);
}
