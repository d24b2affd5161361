/** A trainer of any model that is an operator graph: one graph for a step, two for its halves, one for evaluations. */
import { canonicalDigest } from "../base/canonical-json.js";
import { GradmeshError } from "../base/errors.js";
import { graphDigest } from "../tensor/description.js";
import type { Graph, GraphBuffers, GraphTransfers, Transfer } from "../tensor/graph.js";
import type { NamedTensor, TensorLayout } from "../tensor/layout.js";
import { evaluationGraph, gradientGraph, type Model, stepGraph, updateGraph } from "./model.js";
import { InnerOptimizer, type OptimizerOptions, optimizerSettings } from "./optimizer.js";
import { GraphStep, type TracedStep } from "./traced-step.js";
import type { Evaluation, StepContext, StepResult, Trainer, TrainerContext } from "./trainer.js";

/** Buffers by the names that the model's forward pass binds, filled anew for each batch. */
export interface Batch {
  readonly buffers: GraphBuffers;
  /** Samples (windows or images) in a batch. */
  readonly size: number;
  /** Tokens or images in a batch, each with a loss of its own. */
  readonly rows: number;
  /** Of a model with classes: the right one of each row. */
  readonly classes?: Int32Array;
}

/** The data of one shard. What it fills depends on the step, or the batch's index, alone. */
export interface TrainingData {
  readonly training: Batch;
  readonly validation: Batch;
  readonly validationBatches: number;
  /** How much the shard has to train on. */
  readonly samples: number;
  /** Where there are several: the validation batches of each follow one another. */
  readonly domains?: readonly string[];
  /** @param draw instead of the run's seed, as StepContext.draw. */
  fillTraining(step: number, draw?: number): void;
  fillValidation(index: number): void;
}

/** What a trainer is made of beside the run's context. */
export interface GraphTrainerParts {
  readonly model: Model;
  readonly data: TrainingData;
  readonly options: OptimizerOptions;
  /** What must be equal on all peers beside the graph, as plain JSON data. */
  readonly identity: unknown;
}

/** A graph that is built when it is first needed: most runs need either whole steps or their halves. */
class LazyGraph {
  readonly #build: () => Graph;
  #graph: Graph | null = null;
  #closed = false;

  constructor(build: () => Graph) {
    this.#build = build;
  }

  get(): Graph {
    if (this.#closed) throw new GradmeshError("ERR_CLOSED", "trainer: it is closed");
    this.#graph ??= this.#build();
    return this.#graph;
  }

  profile(): ReturnType<Graph["profile"]> {
    return this.#graph?.profile() ?? {};
  }

  close(): void {
    this.#closed = true;
    this.#graph?.close();
  }
}

const everyName = (buffers: GraphBuffers, transfer: Transfer): GraphTransfers =>
  Object.fromEntries(Object.keys(buffers).map((name) => [name, transfer]));

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

type Method = "step" | "update";

export class GraphTrainer implements Trainer {
  readonly layout: TensorLayout;
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  readonly innerState: readonly NamedTensor[];
  readonly fingerprint: string;
  readonly samples: number;
  readonly domains?: readonly string[];
  readonly #model: Model;
  readonly #data: TrainingData;
  readonly #optimizer: InnerOptimizer;
  readonly #loss = new Float32Array(1);
  readonly #losses: Float32Array;
  readonly #logits: GraphBuffers;
  readonly #step: LazyGraph;
  readonly #gradient: LazyGraph;
  readonly #update: LazyGraph;
  readonly #traced: () => Graph;
  readonly #evaluation: Graph;
  /** On a GPU: this method's graph mirrors parameters and moments as they are here, or newer. */
  #mirrored: Method | null = null;
  /** The method whose last call was not to be the last of its row: its state may be newer than what is here. */
  #unfinished: Method | null = null;

  constructor({ threads, device }: TrainerContext, { model, data, options, identity }: GraphTrainerParts) {
    this.layout = model.layout;
    this.#model = model;
    this.#data = data;
    this.samples = data.samples;
    if (data.domains !== undefined) this.domains = data.domains;
    this.parameters = new Float32Array(this.layout.elements);
    this.gradients = new Float32Array(this.layout.elements);
    this.#optimizer = new InnerOptimizer(this.layout, options);
    this.innerState = this.#optimizer.state;
    const { training, validation } = data;
    this.#losses = new Float32Array(validation.rows);
    const { classes } = model;
    this.#logits = classes === undefined ? {} : { logits: new Float32Array(validation.rows * classes) };
    const settings = optimizerSettings(options);
    const step = stepGraph(model, training.size, settings);
    this.#step = new LazyGraph(() => step.build(threads, device));
    this.#gradient = new LazyGraph(() => gradientGraph(model, training.size).build(threads, device));
    this.#update = new LazyGraph(() => updateGraph(model, settings).build(threads, device));
    this.#traced = () => step.build(threads);
    this.#evaluation = evaluationGraph(model, validation.size).build(threads, device);
    this.fingerprint = canonicalDigest({ identity, graph: graphDigest(step.describe()) });
  }

  async step({ step, draw, last = true, signal }: StepContext): Promise<StepResult> {
    const graph = this.#step.get();
    const { buffers, rows } = this.#data.training;
    this.#data.fillTraining(step, draw);
    const state = this.#stateTransfers("step", last);
    await this.#change("step", last, step, () =>
      graph.run({ ...this.#updateBuffers(), ...buffers, loss: this.#loss }, signal, {
        ...state,
        gradients: last ? "out" : "kept",
        ...everyName(buffers, "in"),
        loss: "out",
      }),
    );
    return { loss: this.#loss[0]!, tokens: rows };
  }

  async gradient({ step, draw, signal }: StepContext): Promise<StepResult> {
    const graph = this.#gradient.get();
    this.#expectHere("gradient", "step");
    const { buffers, rows } = this.#data.training;
    const { parameters, gradients } = this;
    this.#data.fillTraining(step, draw);
    // The mirrors of the whole step's graph are as current as they were.
    await graph.run({ parameters, gradients, ...buffers, loss: this.#loss }, signal, {
      parameters: "in",
      gradients: "out",
      ...everyName(buffers, "in"),
      loss: "out",
    });
    return { loss: this.#loss[0]!, tokens: rows };
  }

  async update({ step, last = true, signal }: StepContext): Promise<void> {
    const graph = this.#update.get();
    const state = this.#stateTransfers("update", last);
    // The other half's graph has no part in these mirrors: parameters go back and forth, moments stay.
    const parameters = this.#mirrored === "update" ? "out" : "both";
    await this.#change("update", last, step, () =>
      graph.run(this.#updateBuffers(), signal, { ...state, parameters, gradients: "in" }),
    );
  }

  trace({ step, draw }: StepContext): TracedStep {
    this.#expectHere("trace", this.#unfinished ?? "step");
    this.#step.get(); // Throws where the trainer is closed.
    this.#data.fillTraining(step, draw);
    this.#optimizer.setStep(step);
    this.#mirrored = null;
    const { moments, constants } = this.#optimizer;
    const { buffers } = this.#data.training;
    const state = ["parameters", ...Object.keys(moments)];
    return new GraphStep(this.#traced(), {
      buffers: { ...this.#updateBuffers(), ...buffers, loss: this.#loss },
      given: [...state, ...Object.keys(constants), "schedule", ...Object.keys(buffers)],
      state,
    });
  }

  /** Refuses a method while the state may be in the mirrors of the other's graph. */
  #expectHere(method: string, other: Method): void {
    if (this.#unfinished !== other) return;
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `trainer: ${method}() follows ${other}() with last: false, which promised another ${other}()`,
    );
  }

  #updateBuffers(): GraphBuffers {
    const { moments, constants, schedule, clip } = this.#optimizer;
    const { parameters, gradients } = this;
    return { parameters, gradients, ...moments, ...constants, schedule, clip };
  }

  /** What a call copies to and from a GPU: the state goes there once a round, and comes back after the last call. */
  #stateTransfers(method: Method, last: boolean): GraphTransfers {
    this.#expectHere(method, method === "step" ? "update" : "step");
    const mirrored = this.#mirrored === method;
    const input = mirrored ? "kept" : "in";
    const state = last ? (mirrored ? "out" : "both") : input;
    const { moments, constants } = this.#optimizer;
    return {
      parameters: state,
      ...everyName(moments, state),
      ...everyName(constants, input),
      schedule: "in",
      clip: "out",
    };
  }

  /** Runs what changes the state; after a failure nothing is known of it, here or there. */
  async #change(method: Method, last: boolean, step: number, run: () => Promise<void>): Promise<void> {
    this.#optimizer.setStep(step);
    this.#mirrored = null;
    this.#unfinished = null;
    await run();
    this.#mirrored = method;
    if (!last) this.#unfinished = method;
  }

  async evaluate(signal?: AbortSignal): Promise<Evaluation> {
    const { validation, validationBatches } = this.#data;
    let [sum, right] = [0, 0];
    for (let index = 0; index < validationBatches; index++) {
      await this.#evaluateBatch(index, this.#losses, { loss: "out", losses: "kept" }, signal);
      sum += this.#loss[0]!;
      right += this.#right();
    }
    const loss = sum / validationBatches;
    if (validation.classes === undefined) return { loss };
    return { loss, accuracy: right / (validationBatches * validation.rows) };
  }

  async evaluateTokens(signal?: AbortSignal): Promise<Float32Array> {
    const { validation, validationBatches } = this.#data;
    const losses = new Float32Array(validationBatches * validation.rows);
    for (let index = 0; index < validationBatches; index++) {
      const part = losses.subarray(index * validation.rows, (index + 1) * validation.rows);
      await this.#evaluateBatch(index, part, { loss: "kept", losses: "out" }, signal);
    }
    return losses;
  }

  async #evaluateBatch(
    index: number,
    losses: Float32Array,
    outputs: GraphTransfers,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { buffers } = this.#data.validation;
    this.#data.fillValidation(index);
    await this.#evaluation.run(
      { parameters: this.parameters, ...buffers, ...this.#logits, losses, loss: this.#loss },
      signal,
      {
        parameters: index === 0 ? "in" : "kept",
        ...everyName(buffers, "in"),
        ...everyName(this.#logits, "out"),
        ...outputs,
      },
    );
  }

  /** Rows of the batch just evaluated whose largest logit (the first of equals) is the right class's. */
  #right(): number {
    const { classes = 0 } = this.#model;
    const { logits } = this.#logits;
    if (!(logits instanceof Float32Array)) return 0;
    const expected = this.#data.validation.classes;
    const told = Array.from(expected ?? [], (_, row) =>
      argmax(logits.subarray(row * classes, (row + 1) * classes)),
    );
    return told.filter((label, row) => label === expected?.[row]).length;
  }

  parametersChanged(): void {
    this.#mirrored = null;
    this.#unfinished = null;
  }

  /** Nanoseconds and runs of each operator of the training graphs. */
  profile(): ReturnType<Graph["profile"]> {
    const sum: Record<string, { nanoseconds: number; runs: number }> = {};
    for (const graph of [this.#step, this.#gradient, this.#update]) {
      for (const [name, { nanoseconds, runs }] of Object.entries(graph.profile())) {
        const before = sum[name] ?? { nanoseconds: 0, runs: 0 };
        sum[name] = { nanoseconds: before.nanoseconds + nanoseconds, runs: before.runs + runs };
      }
    }
    return sum;
  }

  close(): void {
    for (const graph of [this.#step, this.#gradient, this.#update, this.#evaluation]) graph.close();
  }
}
