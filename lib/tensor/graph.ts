/** A built operator graph: owns the native handle and runs all nodes in one native call, on the CPU or a GPU. */
import { GradmeshError } from "../base/errors.js";
import { ops } from "../native/abi.gen.js";
import { native, withCancel } from "../native/load.js";
import type { GraphBinding, GraphDescription } from "./description.js";

/** The buffers of one run, by the names of the graph's bindings. */
export type GraphBuffers = Readonly<Record<string, Float32Array | Int32Array>>;

/** Nanoseconds and runs of each operator since the graph was built. */
export type GraphProfile = Readonly<Record<string, { readonly nanoseconds: number; readonly runs: number }>>;

/**
 * What a run on a GPU copies between a buffer and its mirror in the GPU's memory: "in" before the first node, "out"
 * (what the nodes have written) after the last, "both", or "kept": nothing, the mirror goes on from the last run.
 */
export type Transfer = "kept" | "in" | "out" | "both";

/** By the names of bindings; one that is not named is copied both ways. Without a GPU nothing is ever copied. */
export type GraphTransfers = Readonly<Record<string, Transfer>>;

const transferCodes: Readonly<Record<Transfer, number>> = { kept: 0, in: 1, out: 2, both: 3 };

/** Of a BLAKE3 digest. */
const DIGEST_BYTES = 32;

export class Graph {
  readonly description: GraphDescription;
  #handle: number | null;
  #running = false;
  /** A graph that runs is freed by the run's end. */
  #closed = false;

  /**
   * @param device "cpu", "cuda" (the first GPU) or "cuda:<index>"; like threads, it changes no bit.
   * @throws ERR_UNSUPPORTED where there is no such GPU, with the reason.
   */
  constructor(description: GraphDescription, threads: number, device = "cpu") {
    if (!Number.isSafeInteger(threads) || threads < 1) {
      throw new GradmeshError("ERR_INVALID_ARGUMENT", `graph: threads is ${threads}, not a positive integer`);
    }
    this.description = description;
    const { tensors, nodes } = description;
    this.#handle = native.graphCreate(
      Float64Array.from(
        tensors.flatMap(({ binding, offset, elements, kind }) => [
          binding,
          offset,
          elements,
          kind === "f32" ? 0 : 1,
        ]),
      ),
      Int32Array.from(
        nodes.flatMap(({ op, inputs, outputs, integers }) => [
          ops[op].id,
          ...inputs,
          ...outputs,
          ...integers,
        ]),
      ),
      Float64Array.from(nodes.flatMap((node) => node.floats)),
      threads,
      device,
    );
  }

  /**
   * Runs every node in order. A graph has one arena, so it does one run at a time.
   * @throws ERR_INVALID_ARGUMENT for a missing, unknown or misfit buffer, or a second run meanwhile; ERR_CLOSED
   * after close(); ERR_ABORTED when the signal aborts (the buffers then hold what the nodes so far wrote, and what was
   * kept on a GPU must be copied in again).
   */
  async run(buffers: GraphBuffers, signal?: AbortSignal, transfers: GraphTransfers = {}): Promise<void> {
    const handle = this.#open();
    const bound = this.#bind(buffers);
    const codes = this.#transferCodes(transfers);
    await this.#alone(() => withCancel(signal, (cancel) => native.graphRun(handle, bound, codes, cancel)));
  }

  /**
   * Runs the nodes from begin to before end on the buffers and the graph's own memory as they are: a step in parts, or one
   * operator of it. On the CPU only. Returns for each node the BLAKE3 of each of its outputs, taken right after it.
   * @throws ERR_INVALID_ARGUMENT as run(), for a range that is none, and where a node's inputs are not in the graph's memory
   * (any more); ERR_UNSUPPORTED on a GPU, whose bytes are the same.
   */
  async trace(buffers: GraphBuffers, begin: number, end: number): Promise<string[][]> {
    const handle = this.#open();
    const bound = this.#bind(buffers);
    const counts = this.description.nodes.slice(begin, end).map(({ outputs }) => outputs.length);
    const digests = Buffer.alloc(counts.reduce((sum, count) => sum + count, 0) * DIGEST_BYTES);
    await this.#alone(() => native.graphTrace(handle, bound, begin, end, digests));
    let at = 0;
    const next = () => {
      at += DIGEST_BYTES;
      return digests.toString("hex", at - DIGEST_BYTES, at);
    };
    return counts.map((count) => Array.from({ length: count }, next));
  }

  /**
   * A copy of a tensor of the graph's own memory, by its id. Tensors share that memory one after the other.
   * @throws ERR_INVALID_ARGUMENT where it does not hold its value now; ERR_UNSUPPORTED on a GPU.
   */
  async read(tensor: number): Promise<Float32Array> {
    const handle = this.#open();
    const values = new Float32Array(this.description.tensors[tensor]?.elements ?? 0);
    await this.#alone(() => native.graphRead(handle, tensor, 0, values));
    return values;
  }

  /** Writes values into such a tensor, from element `offset` on. @throws as read(). */
  async write(tensor: number, offset: number, values: Float32Array): Promise<void> {
    const handle = this.#open();
    await this.#alone(() => native.graphWrite(handle, tensor, offset, values));
  }

  /** @throws ERR_CLOSED after close(). */
  profile(): GraphProfile {
    return JSON.parse(native.graphProfile(this.#open())) as GraphProfile;
  }

  /** Frees the graph once a run in progress has ended. May be called again. */
  close(): void {
    this.#closed = true;
    if (!this.#running) this.#free();
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#running) throw new GradmeshError("ERR_INVALID_ARGUMENT", "graph: it is running already");
    this.#running = true;
    try {
      await work();
    } finally {
      this.#running = false;
      if (this.#closed) this.#free();
    }
  }

  #free(): void {
    if (this.#handle === null) return;
    native.graphClose(this.#handle);
    this.#handle = null;
  }

  #open(): number {
    if (this.#closed || this.#handle === null) throw new GradmeshError("ERR_CLOSED", "graph: it is closed");
    return this.#handle;
  }

  #bind(buffers: GraphBuffers): (Float32Array | Int32Array)[] {
    this.#checkNames(buffers);
    return this.description.bindings.map((binding) => fittingBuffer(binding, buffers[binding.name]));
  }

  #transferCodes(transfers: GraphTransfers): Int32Array {
    this.#checkNames(transfers);
    return Int32Array.from(
      this.description.bindings.map(({ name }) => transferCodes[transfers[name] ?? "both"]),
    );
  }

  #checkNames(byName: Readonly<Record<string, unknown>>): void {
    const { bindings } = this.description;
    const unknown = Object.keys(byName).find((name) => !bindings.some((binding) => binding.name === name));
    if (unknown === undefined) return;
    const names = bindings.map((binding) => binding.name).join(", ");
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `graph: no binding "${unknown}"; there are: ${names}`);
  }
}

function fittingBuffer(
  { name, elements, kind }: GraphBinding,
  buffer: Float32Array | Int32Array | undefined,
): Float32Array | Int32Array {
  const fits = kind === "f32" ? buffer instanceof Float32Array : buffer instanceof Int32Array;
  if (buffer === undefined || !fits || buffer.length !== elements) {
    const given = buffer === undefined ? "nothing" : `${buffer.constructor.name} of ${buffer.length}`;
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `graph: binding "${name}" wants ${elements} ${kind} elements, given ${given}`,
    );
  }
  return buffer;
}
