/** Replay: a verifier runs one step of a worker's unit again, on its own machine, and compares the digests. */
import { GradmeshError } from "../base/errors.js";
import type { Trainer } from "../trainer/trainer.js";
import { type Hash, verifyProof } from "./merkle.js";
import { fits, loadState, type StateTensors, stateDigest } from "./state.js";
import type { DrawOf, Opening } from "./unit.js";

/** 0: the transition is right. 1: it could not be checked. 2: it is wrong. As VerdictRevealed has them. */
export const verdicts = { accept: 0, soft: 1, hard: 2 } as const;
export type VerdictKind = keyof typeof verdicts;

export interface Verdict {
  readonly kind: VerdictKind;
  /** What the verifier computed for the leaf after the transition; zeros where it could not. */
  readonly digest: Hash;
  /** In words, for logs and reports. */
  readonly reason: string;
}

/** What everybody knows of a worker's unit once it is revealed. */
export interface RevealedUnit {
  readonly root: Hash;
  /** Inner steps, H. */
  readonly steps: number;
  /** The step number of s_0. */
  readonly first: number;
  readonly drawOf: DrawOf;
}

/** The digest of the contribution that follows from the last state. */
export type ContributionOf = (last: StateTensors, signal?: AbortSignal) => Promise<Hash>;

const NOTHING: Hash = "0".repeat(64);

/** Runs single steps from given states with a trainer of the worker's shard, whose state it overwrites. */
export class Replayer {
  readonly #trainer: Trainer;

  constructor(trainer: Trainer) {
    this.#trainer = trainer;
  }

  /** The digest of these tensors as the state before inner step `step`. @throws ERR_PROOF for tensors of other lengths. */
  async load(state: StateTensors, step: number): Promise<Hash> {
    if (!fits(this.#trainer, state))
      throw new GradmeshError("ERR_PROOF", "replay: the state's tensors have not the lengths of the model's");
    loadState(this.#trainer, state);
    return stateDigest(this.#trainer, step);
  }

  /** The digest after inner step `step` from the state that is loaded. */
  async step(step: number, draw: number | undefined, signal?: AbortSignal): Promise<Hash> {
    await this.#trainer.step({ step, draw, signal });
    return stateDigest(this.#trainer, step + 1);
  }
}

const soft = (reason: string): Verdict => ({ kind: "soft", digest: NOTHING, reason });

/** Why an opening shows nothing of this unit; null where its leaves are the unit's. */
function unproven({ root, steps }: RevealedUnit, k: number, opening: Opening): string | null {
  if (opening.transition !== k) return `it was asked for transition ${k} and gave ${opening.transition}`;
  for (const [which, leaf] of opening.leaves.entries())
    if (!verifyProof(root, steps + 2, k - 1 + which, leaf, opening.proofs[which]!))
      return `leaf ${k - 1 + which} is not proved against the unit's root`;
  return null;
}

/**
 * Checks transition k of a unit, from 1 to H + 1. Only what is proved wrong is a hard reject: an opening is no record of the
 * ledger, so who sends none, or one that shows nothing, could not be checked.
 * @param opening what the worker served; null: nothing in time.
 * @param contributionOf for transition H + 1; where it is absent that one is a soft reject.
 */
export async function verdictOf(
  replayer: Replayer,
  unit: RevealedUnit,
  k: number,
  opening: Opening | null,
  { contributionOf, signal }: { contributionOf?: ContributionOf | undefined; signal?: AbortSignal } = {},
): Promise<Verdict> {
  if (opening === null) return soft("the worker served no state");
  const fault = unproven(unit, k, opening);
  if (fault !== null) return soft(fault);
  const [before, after] = opening.leaves;
  const step = unit.first + k - 1;
  const loaded = await replayer.load(opening.state, step).catch((error: unknown) => {
    if (error instanceof GradmeshError && error.code === "ERR_PROOF") return null;
    throw error;
  });
  if (loaded !== before) return soft(`the state served is not the one of leaf ${k - 1}`);
  const last = k === unit.steps + 1;
  if (last && contributionOf === undefined)
    return soft("contributions of this kind cannot be computed again");
  const digest =
    last && contributionOf !== undefined
      ? await contributionOf(opening.state, signal)
      : await replayer.step(step, unit.drawOf(step), signal);
  if (digest === after) return { kind: "accept", digest, reason: `transition ${k} is right` };
  return {
    kind: "hard",
    digest,
    reason: `transition ${k} leads to ${digest}, the worker's leaf is ${after}`,
  };
}
