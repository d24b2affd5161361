/**
 * A worker's unit of a round: the digest of its state before and after each inner step, and of its contribution, as the
 * leaves of a Merkle tree; and how the worker shows any of these states again.
 *
 * Of H steps the leaves are s_0 to s_H and the contribution, H + 2 in all. Transition k, from 1 to H + 1, goes from leaf k - 1
 * to leaf k; the last one is from the last state to the contribution. Every state is kept where that fits KEPT_BYTES; else
 * the first and every c-th, c as small as fits but at most ceil(sqrt(H)), and those between are computed again, at most
 * c - 1 steps from a kept one: for a step is a pure function of state, step number and draw.
 */
import { GradmeshError } from "../base/errors.js";
import type { Trainer } from "../trainer/trainer.js";
import { type Hash, type Tree, treeOf } from "./merkle.js";
import {
  copyState,
  loadState,
  overwriteState,
  partsOf,
  type StateParts,
  type StateTensors,
  stateHash,
  tensorsOf,
} from "./state.js";

export { commitmentOf, verdictCommitmentOf } from "./commitment.js";
export { stateDigest } from "./state.js";

/** What a step's data is drawn by (StepContext.draw); undefined for the run's seed. */
export type DrawOf = (step: number) => number | undefined;

/** A closed unit. Of H steps. */
export interface Unit {
  readonly root: Hash;
  /** Digests of the states s_0 and s_H. */
  readonly before: Hash;
  readonly after: Hash;
  readonly contribution: Hash;
  /** s_0 to s_H, and the contribution. */
  readonly leaves: readonly Hash[];
  readonly tree: Tree;
  /** The step number of s_0. */
  readonly first: number;
  /** What before and after are made of: they show that a unit goes on from where the last one ended. */
  readonly beforeParts: StateParts;
  readonly afterParts: StateParts;
}

/** What a verifier gets to check transition k of a unit by: the state before it, and that both leaves are the unit's. */
export interface Opening {
  readonly transition: number;
  readonly state: StateTensors;
  /** The leaves k - 1 and k with their proofs against the unit's root. */
  readonly leaves: readonly [before: Hash, after: Hash];
  readonly proofs: readonly [before: readonly Hash[], after: readonly Hash[]];
}

/** Bytes of kept states of one unit, as long as that leaves sqrt(H) of them: to copy a state is cheaper than to compute it. */
const KEPT_BYTES = 1 << 29;

/** Kept states of H steps: every how many steps one is kept. */
export function keptEvery(steps: number, stateBytes: number, keptBytes = KEPT_BYTES): number {
  const fit = Math.max(1, Math.floor(keptBytes / Math.max(1, stateBytes)));
  return Math.min(Math.ceil(Math.sqrt(steps)), Math.ceil((steps + 1) / fit));
}

function refuse(message: string): never {
  throw new GradmeshError("ERR_INVALID_ARGUMENT", `unit: ${message}`);
}

/**
 * Records a round's unit as it is worked on: begin(), stepped() after each inner step, close(). Its memory, up to
 * H + 1 copies of the state, is used again by the next begin(); to serve older rounds as well, use several in turn.
 */
export class UnitRecorder {
  /** Inner steps of a unit. */
  readonly steps: number;
  /** Every how many steps a state is kept. */
  readonly every: number;
  readonly #trainer: Trainer;
  readonly #memory: StateTensors[] = [];
  /** Step numbers of the states recorded. */
  #recorded: number[] = [];
  /** Digests of what they are made of, some still being computed: of a kept state while the trainer goes on. */
  #parts: Promise<StateParts>[] = [];
  #drawOf: DrawOf = () => undefined;
  #unit: Unit | null = null;

  /**
   * @param keptBytes of kept states, as long as that leaves sqrt(H) of them.
   * @throws ERR_INVALID_ARGUMENT where `steps` is no positive integer.
   */
  constructor(trainer: Trainer, steps: number, keptBytes = KEPT_BYTES) {
    if (!Number.isSafeInteger(steps) || steps < 1) refuse(`steps is ${steps}, not a positive integer`);
    this.#trainer = trainer;
    this.steps = steps;
    const { parameters, inner } = tensorsOf(trainer);
    const bytes = inner.reduce((sum, { byteLength }) => sum + byteLength, parameters.byteLength);
    this.every = keptEvery(steps, bytes, keptBytes);
  }

  /**
   * Begins a unit at the trainer's state as it is, before inner step `first`; one that was begun before is forgotten. The
   * state may not change until it resolves.
   */
  async begin(first: number, drawOf: DrawOf = () => undefined): Promise<void> {
    // Nothing reads the memory any more; what failed was of the unit that is forgotten.
    await Promise.allSettled(this.#parts);
    this.#unit = null;
    this.#recorded = [];
    this.#parts = [];
    this.#drawOf = drawOf;
    await this.#record(first);
  }

  /** After inner step `step`. The trainer's state must be whole (StepContext.last), and not change until it resolves. */
  async stepped(step: number): Promise<void> {
    const expected = this.first + this.recorded - 1;
    if (this.recorded > this.steps) refuse(`step ${step} is one more than the unit's ${this.steps}`);
    if (step !== expected) refuse(`step ${step} was recorded where ${expected} is next`);
    await this.#record(step + 1);
  }

  /** @param contribution the digest of what the others will decode. @throws ERR_INVALID_ARGUMENT before the last step. */
  async close(contribution: Hash): Promise<Unit> {
    const done = this.recorded - 1;
    if (done !== this.steps) refuse(`it is closed after ${done} of ${this.steps} steps`);
    const parts = await Promise.all(this.#parts);
    const states = parts.map(stateHash);
    const leaves = [...states, contribution];
    const tree = treeOf(leaves);
    this.#unit = {
      root: tree.root,
      before: states[0]!,
      after: states[done]!,
      contribution,
      leaves,
      tree,
      first: this.first,
      beforeParts: parts[0]!,
      afterParts: parts[done]!,
    };
    return this.#unit;
  }

  /** The closed unit. @throws ERR_INVALID_ARGUMENT where it is not closed. */
  get unit(): Unit {
    return this.#unit ?? refuse("it is not closed");
  }

  /** The step number of s_0. @throws ERR_INVALID_ARGUMENT before begin(). */
  get first(): number {
    return this.#recorded[0] ?? refuse("it has not begun");
  }

  /** States recorded so far: 0 before begin(), and H + 1 once all steps are taken. */
  get recorded(): number {
    return this.#recorded.length;
  }

  /** What s_0 is made of. @throws ERR_INVALID_ARGUMENT before begin(). */
  start(): Promise<StateParts> {
    return this.#parts[0] ?? refuse("it has not begun");
  }

  drawOf(step: number): number | undefined {
    return this.#drawOf(step);
  }

  /** The kept state nearest before s_k, or s_k itself: the recorder's own memory. */
  kept(k: number): { readonly index: number; readonly state: StateTensors } {
    const slot = Math.floor(k / this.every);
    const state = k < this.recorded ? this.#memory[slot] : undefined;
    if (state === undefined || k < 0) refuse(`there is no state ${k} among the ${this.recorded} recorded`);
    return { index: slot * this.every, state };
  }

  /** What is kept is hashed from its copy, while the trainer goes on; else the trainer has to wait. */
  async #record(step: number): Promise<void> {
    const live = tensorsOf(this.#trainer);
    const { every } = this;
    const index = this.recorded;
    this.#recorded.push(step);
    const kept = index % every === 0;
    const parts = partsOf(kept ? this.#keep(index / every, live) : live, step);
    // Whoever closes the unit hears of a failure.
    parts.catch(() => {});
    this.#parts.push(parts);
    if (!kept) await parts;
  }

  #keep(slot: number, live: StateTensors): StateTensors {
    const memory = this.#memory[slot];
    if (memory === undefined) this.#memory.push(copyState(live));
    else overwriteState(memory, live);
    return this.#memory[slot]!;
  }
}

/** Gives the states of a recorded unit again, with a second trainer of the same shard, whose state it overwrites. */
export class StateSource {
  readonly #recorder: UnitRecorder;
  readonly #replica: Trainer;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(recorder: UnitRecorder, replica: Trainer) {
    this.#recorder = recorder;
    this.#replica = replica;
  }

  /** A copy of the tensors of s_k, k from 0 to H. Calls follow each other. */
  state(k: number, signal?: AbortSignal): Promise<StateTensors> {
    const work = this.#busy.then(() => this.#compute(k, signal));
    this.#busy = work.catch(() => undefined);
    return work;
  }

  /** What a verifier of transition k needs, k from 1 to H + 1. @throws ERR_INVALID_ARGUMENT for another. */
  async open(k: number, signal?: AbortSignal): Promise<Opening> {
    const { leaves, tree } = this.#recorder.unit;
    if (!Number.isInteger(k) || k < 1 || k >= leaves.length)
      refuse(`there is no transition ${k} among 1 to ${leaves.length - 1}`);
    const state = await this.state(k - 1, signal);
    return {
      transition: k,
      state,
      leaves: [leaves[k - 1]!, leaves[k]!],
      proofs: [tree.proof(k - 1), tree.proof(k)],
    };
  }

  async #compute(k: number, signal: AbortSignal | undefined): Promise<StateTensors> {
    signal?.throwIfAborted();
    const { index, state } = this.#recorder.kept(k);
    if (index === k) return copyState(state);
    loadState(this.#replica, state);
    const begin = this.#recorder.first + index;
    const end = this.#recorder.first + k;
    for (let step = begin; step < end; step++)
      await this.#replica.step({ step, draw: this.#recorder.drawOf(step), last: step === end - 1, signal });
    return copyState(tensorsOf(this.#replica));
  }
}
