/**
 * A peer's part in disputes, whichever side it is on: it accuses whom it found wrong, defends its own work, and as the referee
 * runs the one operator that is left. It acts on what the ledger says, so it goes on wherever a restart cut it off.
 */
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import { dataSeed } from "../../ledger/draw.js";
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import type { Dispute } from "../../ledger/rules/state.js";
import { peerIdOfAccount } from "../../ledger/sign.js";
import type { Trainer } from "../../trainer/trainer.js";
import { contributionRuling } from "../../verify/contribution.js";
import { challengerMove, type DisputeView, workerMove } from "../../verify/dispute.js";
import { treeOf } from "../../verify/merkle.js";
import { type DisputedLeaf, type Ruling, refereeRuling, rulingDigest } from "../../verify/referee.js";
import { sourcePlan } from "../../verify/sources.js";
import { loadState, type StateTensors, stateDigest, tensorsOf } from "../../verify/state.js";
import { type Evidence, evidenceOf, leavesOf, type Trace, tracedStep, traceOf } from "../../verify/trace.js";
import { StateSource, type UnitRecorder } from "../../verify/unit.js";
import type { EventSink } from "../events.js";
import { evidenceSizes, packEvidence, unpackEvidence } from "./evidence.js";
import type { ProofClient } from "./proof-client.js";
import type { RunLedger } from "./run-ledger.js";
import { roundOf, unitOf } from "./standing.js";

export interface DisputeDeskOptions {
  readonly ledger: RunLedger;
  readonly proofs: Pick<ProofClient, "evidence" | "transition">;
  readonly unitSteps: number;
  /** Of its own work, as long as its states are kept; else null. */
  recorderOf(round: number): UnitRecorder | null;
  /** Does work with a trainer of the shard that the worker had in the round, that nobody else uses meanwhile; of its own, with one that does as it did. */
  use<Result>(
    of: { readonly round: number; readonly worker: Account },
    work: (trainer: Trainer) => Promise<Result>,
  ): Promise<Result>;
  /** The digest of what follows from a worker's first and last state of a round, as the members decode it. */
  contributionOf(round: number, worker: Account, before: Float32Array, after: Float32Array): Promise<Hash>;
  /** The digest of the aggregate that this peer came to in a round; null where it was not there, or long ago. */
  resultOf(round: number): Hash | null;
  readonly peerId: string;
  readonly emit: EventSink;
}

/** What this peer found wrong: enough to accuse. */
export interface Accusation {
  readonly round: number;
  readonly worker: Account;
  readonly transition: number;
  readonly state: StateTensors;
}

const key = ({ round, worker, transition }: Omit<Accusation, "state">) => `${round} ${worker} ${transition}`;
/** A dispute about older work cannot be opened any more, and one that is open has its trace. */
const ROUNDS_REMEMBERED = 8;
/** Accusations whose states are kept: each holds a copy of the model's state. */
const ACCUSATIONS_MAX = 8;

export class DisputeDesk {
  readonly #options: DisputeDeskOptions;
  readonly #accusations = new Map<string, Accusation>();
  readonly #opened = new Set<string>();
  readonly #traces = new Map<number, Trace>();
  /** Moves that were answered, by dispute. */
  readonly #answered = new Map<number, number>();
  readonly #stopListening: () => void;
  /** What is under way, by dispute: one that stalls holds up no other. */
  readonly #queues = new Map<string, Promise<void>>();
  #closed = false;

  constructor(options: DisputeDeskOptions) {
    this.#options = options;
    this.#stopListening = options.ledger.onEffects((_, effects) => {
      for (const { type, dispute } of effects) if (type === "settled") this.#forget(dispute!);
      if (effects.some(({ type }) => type === "phase" || type === "disputed" || type === "moved"))
        this.#wake();
    });
    this.#wake();
  }

  /** This peer's verdict on a transition is hard; it accuses once all verdicts are known. */
  accuse(accusation: Accusation): void {
    const [oldest] = this.#accusations.keys();
    if (this.#accusations.size >= ACCUSATIONS_MAX) this.#accusations.delete(oldest!);
    this.#accusations.set(key(accusation), accusation);
    this.#wake();
  }

  #wake(): void {
    this.#queue("accusations", () => this.#openAll());
    for (const dispute of this.#options.ledger.state.disputes.values())
      if (dispute.outcome === null) this.#queue(`${dispute.id}`, () => this.#turn(dispute));
  }

  #queue(name: string, work: () => Promise<void>): void {
    const before = this.#queues.get(name) ?? Promise.resolve();
    const done = before.then(() => (this.#closed ? undefined : work()));
    this.#queues.set(name, done);
    void done.then(() => {
      if (this.#queues.get(name) === done) this.#queues.delete(name);
    });
  }

  #forget(dispute: number): void {
    this.#traces.delete(dispute);
    this.#answered.delete(dispute);
  }

  async #openAll(): Promise<void> {
    const { ledger } = this.#options;
    for (const [name, { round, worker, transition }] of this.#accusations) {
      if (round < ledger.state.nextRound - ROUNDS_REMEMBERED) {
        this.#accusations.delete(name);
        this.#opened.delete(name);
        continue;
      }
      const found = roundOf(ledger.state, round);
      const unit = found?.units.get(worker);
      if (found?.phase !== "decided" || unit?.status !== "hard" || this.#opened.has(name)) continue;
      this.#opened.add(name);
      await this.#submit({ kind: "DisputeOpened", round, worker, transition });
    }
  }

  /** What the rules refuse by then is out of date. */
  async #submit(event: LedgerEvent): Promise<void> {
    const { ledger, emit, peerId } = this.#options;
    try {
      await ledger.submit(event);
    } catch (error) {
      const { code, message } = asGradmeshError(error);
      const late = "dispute" in event && ledger.state.disputes.get(event.dispute)?.outcome !== null;
      if (!this.#closed && !late)
        emit({ type: "warning", peer: peerId, round: ledger.state.nextRound, code, reason: message });
    }
  }

  async #turn(dispute: Dispute): Promise<void> {
    const { id, moves, outcome } = dispute;
    if (outcome !== null || this.#answered.get(id) === moves) return;
    try {
      const move = await this.#moveOf(dispute);
      if (move === null) return;
      this.#answered.set(id, moves);
      await this.#submit(move);
    } catch (error) {
      const { emit, peerId } = this.#options;
      const { code, message } = asGradmeshError(error);
      emit({
        type: "warning",
        peer: peerId,
        round: dispute.round,
        code,
        reason: `dispute ${id}: ${message}`,
      });
    }
  }

  async #moveOf(dispute: Dispute): Promise<LedgerEvent | null> {
    const { id, turn, worker, challenger, referee } = dispute;
    const { account } = this.#options.ledger;
    if (dispute.transition === 0) return this.#moveOfAggregate(dispute);
    if (turn === "worker" && worker === account) return this.#defend(dispute);
    if (turn === "challenger" && challenger === account) {
      const move = challengerMove(viewOf(dispute), await this.#traceOfChallenger(dispute));
      return move === null ? null : { ...move, dispute: id };
    }
    return turn === "referee" && referee === account ? this.#rule(dispute) : null;
  }

  /**
   * Of transition 0, a round's aggregate, whose worker is the sequencer: one operation that every member has done, so that the
   * referee compares the result on the ledger with its own.
   */
  #moveOfAggregate({ id, turn, worker, referee, round }: Dispute): LedgerEvent | null {
    const { ledger, resultOf } = this.#options;
    const found = roundOf(ledger.state, round);
    const before = found?.aggregate?.revealed?.before;
    const said = found?.closed?.result;
    if (before === undefined || said === undefined) return null;
    if (turn === "worker" && worker === ledger.account) {
      const { root } = treeOf([said]);
      return { kind: "TraceOpened", dispute: id, before, path: [], trace: root, leaves: 1 };
    }
    const own = resultOf(round);
    if (turn !== "referee" || referee !== ledger.account || own === null) return null;
    const winner = own === said ? "worker" : "challenger";
    const reason = `the round's result is ${own}, the ledger's ${said}`;
    const ruling: Ruling = { winner, operator: 0, reason };
    return {
      kind: "Settled",
      dispute: id,
      winner: own === said ? 0 : 1,
      operator: 0,
      evidence: rulingDigest(ruling),
    };
  }

  /** Of transition H + 1, from the last state to the contribution, which is no step. */
  #isContribution({ transition }: Dispute): boolean {
    return transition === this.#options.unitSteps + 1;
  }

  #contextOf({ round, worker, transition }: Dispute) {
    const { ledger, unitSteps } = this.#options;
    const step = round * unitSteps + transition - 1;
    return { step, draw: dataSeed(roundOf(ledger.state, round)!.beacon, worker, step) };
  }

  async #defend(dispute: Dispute): Promise<LedgerEvent | null> {
    const { id, round, phase, transition } = dispute;
    const recorder = this.#options.recorderOf(round);
    if (recorder === null) return null;
    const { unit } = recorder;
    if (phase === "trace" && this.#isContribution(dispute)) {
      // A trace of one leaf: what is disputed is one operation.
      const { root } = treeOf([unit.contribution]);
      const [before, path] = [unit.leaves[transition - 1]!, unit.tree.proof(transition - 1)];
      return { kind: "TraceOpened", dispute: id, before, path, trace: root, leaves: 1 };
    }
    const trace = phase === "states" ? undefined : await this.#traceOfWorker(dispute, recorder);
    const move = workerMove(viewOf(dispute), { unit, trace });
    return move === null ? null : { ...move, dispute: id };
  }

  #traceOfWorker(dispute: Dispute, recorder: UnitRecorder): Promise<Trace> {
    return this.#options.use(dispute, async (trainer) =>
      this.#traceFrom(
        dispute,
        trainer,
        await new StateSource(recorder, trainer).state(dispute.transition - 1),
      ),
    );
  }

  async #traceOfChallenger(dispute: Dispute): Promise<Trace> {
    const state = this.#accusations.get(key(dispute))?.state ?? (await this.#stateBefore(dispute));
    return this.#options.use(dispute, (trainer) => this.#traceFrom(dispute, trainer, state));
  }

  /** Of a challenger that was started again: asked for once more. */
  async #stateBefore({ round, worker, transition }: Dispute): Promise<StateTensors> {
    const { proofs, ledger, unitSteps } = this.#options;
    const { root } = unitOf(ledger.state, round, worker)!;
    const unit = { root, steps: unitSteps };
    const opening = await proofs.transition({ peerId: peerIdOfAccount(worker) }, { round, transition, unit });
    return opening.state;
  }

  async #traceFrom(dispute: Dispute, trainer: Trainer, state: StateTensors): Promise<Trace> {
    const known = this.#traces.get(dispute.id);
    if (known !== undefined) return known;
    loadState(trainer, state);
    const trace = await traceOf(trainer, this.#contextOf(dispute));
    this.#traces.set(dispute.id, trace);
    return trace;
  }

  /** What a referee asks this peer for. @throws ERR_INVALID_ARGUMENT where it has nothing to show. */
  async evidence(dispute: number, operator: number): Promise<ArrayBufferView[]> {
    const { ledger, recorderOf, use } = this.#options;
    const found = ledger.state.disputes.get(dispute);
    const recorder = found === undefined ? null : recorderOf(found.round);
    if (found === undefined || recorder === null || found.worker !== ledger.account)
      throw new GradmeshError("ERR_INVALID_ARGUMENT", `this peer has nothing to show in dispute ${dispute}`);
    return use(found, async (trainer) => {
      const states = new StateSource(recorder, trainer);
      const state = await states.state(found.transition - 1);
      if (this.#isContribution(found)) {
        const first = await states.state(0);
        return [first.parameters, ...first.inner, state.parameters, ...state.inner];
      }
      const trace = await this.#traceFrom(found, trainer, state);
      loadState(trainer, state);
      return packEvidence(await evidenceOf(trainer, this.#contextOf(found), trace, operator));
    });
  }

  async #rule(dispute: Dispute): Promise<LedgerEvent> {
    const ruling = await (this.#isContribution(dispute)
      ? this.#ruleContribution(dispute)
      : this.#ruleStep(dispute));
    const { winner, operator } = ruling;
    return {
      kind: "Settled",
      dispute: dispute.id,
      winner: winner === "worker" ? 0 : 1,
      operator,
      evidence: rulingDigest(ruling),
    };
  }

  #ruleStep(dispute: Dispute): Promise<Ruling> {
    return this.#options.use(dispute, async (trainer) => {
      const context = this.#contextOf(dispute);
      const leaf = disputedLeaf(dispute);
      const evidence = await this.#evidenceFor(dispute, trainer, leaf);
      return refereeRuling(trainer, context, leaf, evidence);
    });
  }

  /** Null where the worker shows nothing that fits; of a trace of another graph nothing does, and the ruling says so. */
  async #evidenceFor(dispute: Dispute, trainer: Trainer, leaf: DisputedLeaf): Promise<Evidence | null> {
    const traced = tracedStep(trainer, this.#contextOf(dispute));
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

  /** Null where the worker shows nothing in time. */
  #ask(
    { id, worker }: Dispute,
    operator: number,
    sizes: readonly number[],
  ): Promise<readonly Uint8Array[] | null> {
    const question = { dispute: id, operator, sizes };
    return this.#options.proofs.evidence({ peerId: peerIdOfAccount(worker) }, question).catch(() => null);
  }

  /** From the first and the last state of the unit, which the worker must show. */
  #ruleContribution(dispute: Dispute): Promise<Ruling> {
    const { worker, round } = dispute;
    const { ledger, unitSteps, use, contributionOf } = this.#options;
    return use(dispute, async (trainer) => {
      const like = tensorsOf(trainer);
      const sizes = [like.parameters, ...like.inner].map(({ byteLength }) => byteLength);
      const arrays = await this.#ask(dispute, 0, [...sizes, ...sizes]);
      const [first, last] = [arrays?.slice(0, sizes.length), arrays?.slice(sizes.length)].map(stateOf);
      const { step } = this.#contextOf(dispute);
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

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    await Promise.all(this.#queues.values());
  }
}

/** A state's tensors from their bytes, in a unit's order; null of none. */
function stateOf(arrays: readonly Uint8Array[] | undefined): StateTensors | null {
  const [parameters, ...inner] = (arrays ?? []).map((bytes) => new Float32Array(bytes.slice().buffer));
  return parameters === undefined ? null : { parameters, inner };
}

const viewOf = ({ phase, turn, transition, level, index, children, leaves }: Dispute): DisputeView => ({
  phase,
  turn,
  transition,
  level,
  index,
  children,
  leaves,
});

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
