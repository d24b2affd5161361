/** An inner step as its operators, one after another: for a dispute, which ends at one of them (lib/verify/trace.ts). */
import type { GraphDescription } from "../tensor/description.js";
import type { Graph, GraphBuffers } from "../tensor/graph.js";

/**
 * A step that stands at its beginning: state, data and schedule are in the buffers, no operator has run. Running all of them
 * in order is the step, to the bit.
 */
export interface TracedStep {
  /** The operators. Equal on all peers of a run: the trainer's fingerprint covers it. */
  readonly graph: GraphDescription;
  /** What the graph binds, live: running operators changes the trainer's own state. */
  readonly buffers: GraphBuffers;
  /** Bindings whose values are there before the first operator: the state's, the data's, the schedule's, constants. */
  readonly given: readonly string[];
  /** Of these the state's: the parameters, then the inner state's tensors in the trainer's order. */
  readonly state: readonly string[];
  /** Runs the nodes from begin to before end; gives for each the digests (native.digest) of its outputs. */
  run(begin: number, end: number): Promise<readonly (readonly string[])[]>;
  /** A copy of a tensor as it is now, by its id. @throws ERR_INVALID_ARGUMENT where it does not hold its value any more. */
  read(tensor: number): Promise<Float32Array | Int32Array>;
  /** Frees the graph. */
  close(): void;
}

/** The traced step of a graph that was built for the CPU. */
export class GraphStep implements TracedStep {
  readonly buffers: GraphBuffers;
  readonly given: readonly string[];
  readonly state: readonly string[];
  readonly #graph: Graph;

  constructor(graph: Graph, parts: Pick<TracedStep, "buffers" | "given" | "state">) {
    this.#graph = graph;
    this.buffers = parts.buffers;
    this.given = parts.given;
    this.state = parts.state;
  }

  get graph(): GraphDescription {
    return this.#graph.description;
  }

  run(begin: number, end: number): Promise<readonly (readonly string[])[]> {
    return this.#graph.trace(this.buffers, begin, end);
  }

  async read(tensor: number): Promise<Float32Array | Int32Array> {
    const { bindings, tensors } = this.graph;
    const { binding = -1, offset = 0, elements = 0 } = tensors[tensor] ?? {};
    const buffer = binding < 0 ? undefined : this.buffers[bindings[binding]!.name];
    return buffer === undefined ? this.#graph.read(tensor) : buffer.slice(offset, offset + elements);
  }

  close(): void {
    this.#graph.close();
  }
}
