/** What the built-in trainers make of a model: graphs of a whole step, of its two halves, and of an evaluation. */
import { GradmeshError } from "../base/errors.js";
import { backward } from "../tensor/backward.js";
import { GraphBuilder } from "../tensor/builder.js";
import type { GraphBinding, GraphTensor } from "../tensor/description.js";
import { copy, mean } from "../tensor/elements.js";
import type { TensorLayout } from "../tensor/layout.js";
import { appendOptimizer, type OptimizerSettings } from "./optimizer.js";

/** A parameter by its name in the layout. */
export type Parameter = (name: string) => GraphTensor;

/** The outputs of a forward pass over R rows (tokens or images). */
export interface Forward {
  /** Of cross_entropy, in nats: [R]. */
  readonly losses: GraphTensor;
  /** [R, classes]. */
  readonly logits: GraphTensor;
}

export interface Model {
  readonly layout: TensorLayout;
  /** Set where the part of right classes is of interest. */
  readonly classes?: number;
  /** Appends the forward pass over a batch of so many samples (windows or images), whose data it binds. */
  forward(graph: GraphBuilder, of: Parameter, batch: number): Forward;
}

function parameterOf(graph: GraphBuilder, binding: GraphBinding, layout: TensorLayout): Parameter {
  const views = new Map(
    layout.slots.map(({ name, shape, offset }) => [name, graph.view(binding, shape, offset, name)]),
  );
  return (name) => {
    const tensor = views.get(name);
    if (tensor === undefined) throw new GradmeshError("ERR_INTERNAL", `model: no parameter "${name}"`);
    return tensor;
  };
}

function appendMean(graph: GraphBuilder, losses: GraphTensor): GraphTensor {
  return mean(graph, losses, graph.view(graph.binding("loss", 1), [1]));
}

/** Appends forward and backward pass, and gives the bound buckets of parameters and gradients. */
function appendGradient(graph: GraphBuilder, model: Model, batch: number) {
  const { layout } = model;
  const parameters = graph.binding("parameters", layout.elements);
  const gradients = graph.binding("gradients", layout.elements);
  const of = parameterOf(graph, parameters, layout);
  for (const { name, shape, offset } of layout.slots) {
    graph.differentiate(of(name), graph.view(gradients, shape, offset, `d.${name}`));
  }
  const { losses } = model.forward(graph, of, batch);
  graph.scope = "";
  backward(graph, appendMean(graph, losses));
  return { parameters, gradients };
}

/**
 * Forward, backward, clipping and the optimizer's step in one graph. Bindings: parameters, gradients (each [n]), the
 * model's data, loss [1], and what appendOptimizer() says.
 */
export function stepGraph(model: Model, batch: number, settings: OptimizerSettings): GraphBuilder {
  const graph = new GraphBuilder();
  const { parameters, gradients } = appendGradient(graph, model, batch);
  appendOptimizer(graph, parameters, gradients, settings);
  return graph;
}

/** The first half of stepGraph. Bindings: parameters, gradients (each [n]), the model's data, loss [1]. */
export function gradientGraph(model: Model, batch: number): GraphBuilder {
  const graph = new GraphBuilder();
  appendGradient(graph, model, batch);
  return graph;
}

/** The second half of stepGraph. Bindings: parameters, gradients (each [n]), and what appendOptimizer() says. */
export function updateGraph({ layout }: Model, settings: OptimizerSettings): GraphBuilder {
  const graph = new GraphBuilder();
  const parameters = graph.binding("parameters", layout.elements);
  appendOptimizer(graph, parameters, graph.binding("gradients", layout.elements), settings);
  return graph;
}

/**
 * Forward alone. Bindings: parameters [n], the model's data of R rows, loss [1], losses [R] and, where the model has
 * classes, logits [R * classes].
 */
export function evaluationGraph(model: Model, batch: number): GraphBuilder {
  const graph = new GraphBuilder();
  const { layout, classes } = model;
  const of = parameterOf(graph, graph.binding("parameters", layout.elements), layout);
  const { losses, logits } = model.forward(graph, of, batch);
  graph.scope = "";
  appendMean(graph, losses);
  const bound = (name: string, { elements }: GraphTensor) =>
    graph.view(graph.binding(name, elements), [elements]);
  copy(graph, losses, bound("losses", losses));
  if (classes !== undefined) copy(graph, logits, bound("logits", logits));
  return graph;
}
