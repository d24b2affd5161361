/** What a referee says: it has the worker show what the one disputed operation needs, checks that, and runs it. */
import { dataSeed } from "../../ledger/draw.js";
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import type { Dispute } from "../../ledger/rules/state.js";
import { peerIdOfAccount } from "../../ledger/sign.js";
import type { Trainer } from "../../trainer/trainer.js";
import { contributionRuling } from "../../verify/contribution.js";
import { type DisputedLeaf, type Ruling, refereeRuling, rulingDigest } from "../../verify/referee.js";
import { sourcePlan } from "../../verify/sources.js";
import { loadState, stateDigest, tensorsOf } from "../../verify/state.js";
import { type Evidence, leavesOf, tracedStep } from "../../verify/trace.js";
import { evidenceSizes, stateFrom, unpackEvidence } from "./evidence.js";
import { type ProofClient, showedNothing } from "./proof-client.js";
import type { RunLedger } from "./run-ledger.js";
import { roundOf, unitOf } from "./standing.js";

export interface RulingOptions {
  readonly ledger: RunLedger;
  readonly proofs: Pick<ProofClient, "evidence">;
  readonly unitSteps: number;
  /**
   * Does work with a trainer of the shard that the worker had in the round, that nobody else uses meanwhile; of its own work, with
   * one that does as it did.
   */
  use<Result>(
    of: { readonly round: number; readonly worker: Account },
    work: (trainer: Trainer) => Promise<Result>,
  ): Promise<Result>;
  /** The digest of what follows from a worker's first and last state of a round, as the members decode it. */
  contributionOf(round: number, worker: Account, before: Float32Array, after: Float32Array): Promise<Hash>;
  /** The digest of the aggregate that this peer came to in a round; null where it was not there, or long ago. */
  resultOf(round: number): Hash | null;
}

type Known = Pick<RulingOptions, "ledger" | "unitSteps">;

/** Of transition H + 1, from the last state to the contribution, which is no step. */
export function isContribution({ unitSteps }: Known, { transition }: Dispute): boolean {
  return transition === unitSteps + 1;
}

/** The disputed step, and what its data is drawn by. */
export function contextOf({ ledger, unitSteps }: Known, { round, worker, transition }: Dispute) {
  const step = round * unitSteps + transition - 1;
  return { step, draw: dataSeed(roundOf(ledger.state, round)!.beacon, worker, step) };
}

export class Rulings {
  readonly #options: RulingOptions;
  readonly #signal: AbortSignal;

  /** @param signal ends the questions under way. */
  constructor(options: RulingOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** What this peer, as the referee, says; null where it cannot know. @throws what keeps it from ruling, such as its own faults. */
  async of(dispute: Dispute): Promise<LedgerEvent | null> {
    const ruling = await this.#rulingOf(dispute);
    if (ruling === null) return null;
    const { winner, operator } = ruling;
    return {
      kind: "Settled",
      dispute: dispute.id,
      winner: winner === "worker" ? 0 : 1,
      operator,
      evidence: rulingDigest(ruling),
    };
  }

  #rulingOf(dispute: Dispute): Promise<Ruling> | Ruling | null {
    if (dispute.transition === 0) return this.#ruleAggregate(dispute);
    return isContribution(this.#options, dispute) ? this.#ruleContribution(dispute) : this.#ruleStep(dispute);
  }

  /** Of a round's aggregate: one operation that every member has done, so that its own result decides. */
  #ruleAggregate({ round }: Dispute): Ruling | null {
    const { ledger, resultOf } = this.#options;
    const said = roundOf(ledger.state, round)?.closed?.result;
    const own = resultOf(round);
    if (said === undefined || own === null) return null;
    const reason = `the round's result is ${own}, the ledger's ${said}`;
    return { winner: own === said ? "worker" : "challenger", operator: 0, reason };
  }

  #ruleStep(dispute: Dispute): Promise<Ruling> {
    return this.#options.use(dispute, async (trainer) => {
      const context = contextOf(this.#options, dispute);
      const leaf = disputedLeaf(dispute);
      const evidence = await this.#evidenceFor(dispute, trainer, leaf);
      return refereeRuling(trainer, context, leaf, evidence);
    });
  }

  /** Null where the worker shows nothing that fits; of a trace of another graph nothing does, and the ruling says so. */
  async #evidenceFor(dispute: Dispute, trainer: Trainer, leaf: DisputedLeaf): Promise<Evidence | null> {
    const traced = tracedStep(trainer, contextOf(this.#options, dispute));
    try {
      const plan = sourcePlan(traced);
      if (leaf.leaves !== leavesOf(plan)) return null;
      const of = [traced, plan, leaf.operator, leaf.leaves, tensorsOf(trainer)] as const;
      const arrays = await this.#ask(dispute, leaf.operator, evidenceSizes(...of));
      return arrays === null ? null : unpackEvidence(arrays, ...of);
    } finally {
      traced.close();
    }
  }

  /** Null where the worker refuses, shows something else, or nothing in time. A fault of this peer's own decides nothing. */
  async #ask(
    { id, worker }: Dispute,
    operator: number,
    sizes: readonly number[],
  ): Promise<readonly Uint8Array[] | null> {
    const question = { dispute: id, operator, sizes };
    try {
      return await this.#options.proofs.evidence({ peerId: peerIdOfAccount(worker) }, question, this.#signal);
    } catch (error) {
      if (showedNothing(error)) return null;
      throw error;
    }
  }

  /** From the first and the last state of the unit, which the worker must show. */
  #ruleContribution(dispute: Dispute): Promise<Ruling> {
    const { worker, round } = dispute;
    const { ledger, unitSteps, use, contributionOf } = this.#options;
    return use(dispute, async (trainer) => {
      const like = tensorsOf(trainer);
      const sizes = [like.parameters, ...like.inner].map(({ byteLength }) => byteLength);
      const arrays = await this.#ask(dispute, 0, [...sizes, ...sizes]);
      const [first, last] = [arrays?.slice(0, sizes.length), arrays?.slice(sizes.length)].map((part) =>
        stateFrom(part ?? []),
      );
      const { step } = contextOf(this.#options, dispute);
      let shown = last ?? null;
      if (first != null) {
        loadState(trainer, first);
        const digest = await stateDigest(trainer, round * unitSteps);
        if (digest !== unitOf(ledger.state, round, worker)?.before) shown = null;
      }
      return contributionRuling(trainer, step, disputedLeaf(dispute), shown, ({ parameters }) =>
        contributionOf(round, worker, first!.parameters, parameters),
      );
    });
  }
}

function disputedLeaf({
  transition,
  before,
  leaf,
  trace,
  leaves,
  operator,
  operatorLeaf,
}: Dispute): DisputedLeaf {
  return {
    transition,
    before: before!,
    leaf: leaf!,
    trace: trace!,
    leaves,
    operator: operator!,
    operatorLeaf: operatorLeaf!,
  };
}
