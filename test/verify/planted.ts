/** A trainer with one planted fault: at one step one element of one operator's output is off by one in its last bit. */
import { native } from "../../lib/native/load.js";
import { Graph } from "../../lib/tensor/graph.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import type { TracedStep } from "../../lib/trainer/traced-step.js";
import type { StepContext, Trainer } from "../../lib/trainer/trainer.js";

export interface Plant {
  readonly step: number;
  readonly node: number;
  readonly output: number;
  readonly element: number;
}

/** The honest step with the fault put in right after its operator. */
class PlantedStep implements TracedStep {
  readonly #honest: TracedStep;
  readonly #own: Graph;
  readonly #plant: Plant;

  constructor(honest: TracedStep, plant: Plant) {
    this.#honest = honest;
    this.#own = new Graph(honest.graph, 1);
    this.#plant = plant;
  }

  get graph() {
    return this.#honest.graph;
  }
  get buffers() {
    return this.#honest.buffers;
  }
  get given() {
    return this.#honest.given;
  }
  get state() {
    return this.#honest.state;
  }

  async run(begin: number, end: number): Promise<readonly (readonly string[])[]> {
    const { node } = this.#plant;
    const run = (from: number, to: number) => this.#own.trace(this.buffers, from, to);
    if (node < begin || node >= end) return run(begin, end);
    const digests = await run(begin, node + 1);
    digests[node - begin]![this.#plant.output] = await this.#flip();
    return [...digests, ...(await run(node + 1, end))];
  }

  read(tensor: number) {
    const { binding } = this.graph.tensors[tensor]!;
    return binding < 0 ? this.#own.read(tensor) : this.#honest.read(tensor);
  }

  close(): void {
    this.#own.close();
    this.#honest.close();
  }

  async #flip(): Promise<string> {
    const { node, output, element } = this.#plant;
    const id = this.graph.nodes[node]!.outputs[output]!;
    const { binding, offset } = this.graph.tensors[id]!;
    const values = (await this.read(id)) as Float32Array;
    new Uint32Array(values.buffer)[element]! ^= 1;
    if (binding < 0) await this.#own.write(id, 0, values);
    else this.buffers[this.graph.bindings[binding]!.name]!.set(values, offset);
    return native.digest([values]);
  }
}

/** A trainer that makes this fault in its steps and in the traces of them. */
export function planted(honest: GraphTrainer, plant: Plant): Trainer {
  const trace = (context: StepContext): TracedStep => {
    const step = honest.trace(context);
    return context.step === plant.step ? new PlantedStep(step, plant) : step;
  };
  return {
    layout: honest.layout,
    parameters: honest.parameters,
    innerState: honest.innerState,
    fingerprint: honest.fingerprint,
    evaluate: (signal) => honest.evaluate(signal),
    parametersChanged: () => honest.parametersChanged(),
    close: () => honest.close(),
    trace,
    async step(context) {
      if (context.step !== plant.step) return honest.step({ ...context, last: true });
      const traced = trace(context);
      await traced.run(0, traced.graph.nodes.length);
      traced.close();
      honest.parametersChanged();
      return { loss: Number.NaN, tokens: 1 };
    },
  };
}
