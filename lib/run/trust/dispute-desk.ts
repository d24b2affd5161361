/**
 * A peer's part in disputes, whichever side it is on: it accuses whom it found wrong, defends its own work, and rules where it
 * is the referee (rulings.ts). It acts on what the ledger says, as far as it still has what a move takes: states, accusations and
 * salts are in memory, so a process that was started again can rule, and defend nothing.
 */
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import { isAnswered, standing } from "../../ledger/rules/lookup.js";
import type { Dispute } from "../../ledger/rules/state.js";
import { peerIdOfAccount } from "../../ledger/sign.js";
import type { Trainer } from "../../trainer/trainer.js";
import { challengerMove, type DisputeView, workerMove } from "../../verify/dispute.js";
import { treeOf } from "../../verify/merkle.js";
import { loadState, type StateTensors } from "../../verify/state.js";
import { evidenceOf, type Trace, traceOf } from "../../verify/trace.js";
import { StateSource, type UnitRecorder } from "../../verify/unit.js";
import type { EventSink } from "../events.js";
import { packEvidence } from "./evidence.js";
import type { ProofClient } from "./proof-client.js";
import { contextOf, isContribution, type RulingOptions, Rulings } from "./rulings.js";
import { roundOf, unitOf } from "./standing.js";

export interface DisputeDeskOptions extends RulingOptions {
  readonly proofs: Pick<ProofClient, "evidence" | "transition">;
  /** Of its own work, as long as its states are kept; else null. */
  recorderOf(round: number): UnitRecorder | null;
  readonly peerId: string;
  readonly emit: EventSink;
}

/** What this peer found wrong: enough to accuse. */
export interface Accusation {
  readonly round: number;
  /** Of the round's opening that the work is of: one that was void is opened again under another. */
  readonly beacon: Hash;
  readonly worker: Account;
  readonly transition: number;
  readonly state: StateTensors;
}

const key = ({ beacon, worker, transition }: Pick<Accusation, "beacon" | "worker" | "transition">) =>
  `${beacon} ${worker} ${transition}`;
/** A dispute about older work cannot be opened any more, and one that is open has its trace. */
const ROUNDS_REMEMBERED = 8;
/** Accusations whose states are kept: each holds a copy of the model's state. */
const ACCUSATIONS_MAX = 8;

export class DisputeDesk {
  readonly #options: DisputeDeskOptions;
  readonly #rulings: Rulings;
  readonly #accusations = new Map<string, Accusation>();
  readonly #opened = new Set<string>();
  readonly #traces = new Map<number, Trace>();
  /** Moves that were answered, by dispute. */
  readonly #answered = new Map<number, number>();
  readonly #stopListening: () => void;
  /** What is under way, by dispute: one that stalls holds up no other. */
  readonly #queues = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: DisputeDeskOptions) {
    this.#options = options;
    this.#rulings = new Rulings(options, this.#stop.signal);
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
    if (this.#accusations.size >= ACCUSATIONS_MAX) this.#drop(oldest!);
    this.#accusations.set(key(accusation), accusation);
    this.#wake();
  }

  #drop(name: string): void {
    this.#accusations.delete(name);
    this.#opened.delete(name);
  }

  get #closed(): boolean {
    return this.#stop.signal.aborted;
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
    for (const [name, { round, beacon, worker, transition }] of this.#accusations) {
      const found = roundOf(ledger.state, round);
      // Work of an opening that was void does not exist any more: who disputed it would lose its bond.
      if (found?.beacon !== beacon || round < ledger.state.nextRound - ROUNDS_REMEMBERED) {
        this.#drop(name);
        continue;
      }
      // A closed round's too: a peer that was away may hear at once that a round is decided and closed.
      const unit = found.units.get(worker);
      if (unit === undefined || standing(unit) !== "hard" || this.#opened.has(name)) continue;
      if (isAnswered(ledger.state, round, { worker, transition, verifier: ledger.account })) continue;
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
      if (this.#closed) return;
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
    if (turn === "referee" && referee === account) return this.#rulings.of(dispute);
    if (turn === "worker" && worker === account)
      return dispute.transition === 0 ? this.#defendAggregate(dispute) : this.#defend(dispute);
    if (turn === "challenger" && challenger === account && dispute.transition > 0) {
      const move = challengerMove(viewOf(dispute), await this.#traceOfChallenger(dispute));
      return move === null ? null : { ...move, dispute: id };
    }
    return null;
  }

  /** Of transition 0, a round's aggregate, whose worker is the sequencer. */
  #defendAggregate({ id, round }: Dispute): LedgerEvent | null {
    const found = roundOf(this.#options.ledger.state, round);
    const before = found?.aggregate?.revealed?.before;
    const said = found?.closed?.result;
    if (before === undefined || said === undefined) return null;
    return { kind: "TraceOpened", dispute: id, before, path: [], trace: treeOf([said]).root, leaves: 1 };
  }

  async #defend(dispute: Dispute): Promise<LedgerEvent | null> {
    const { id, round, phase, transition } = dispute;
    const recorder = this.#options.recorderOf(round);
    if (recorder === null) return null;
    const { unit } = recorder;
    if (phase === "trace" && isContribution(this.#options, dispute)) {
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
    const { beacon } = roundOf(this.#options.ledger.state, dispute.round)!;
    const known = this.#accusations.get(key({ ...dispute, beacon }))?.state;
    const state = known ?? (await this.#stateBefore(dispute));
    return this.#options.use(dispute, (trainer) => this.#traceFrom(dispute, trainer, state));
  }

  /** Of a challenger that was started again: asked for once more. */
  async #stateBefore({ round, worker, transition }: Dispute): Promise<StateTensors> {
    const { proofs, ledger, unitSteps } = this.#options;
    const { root } = unitOf(ledger.state, round, worker)!;
    const unit = { root, steps: unitSteps };
    const asked = { round, transition, unit };
    const opening = await proofs.transition({ peerId: peerIdOfAccount(worker) }, asked, this.#stop.signal);
    return opening.state;
  }

  async #traceFrom(dispute: Dispute, trainer: Trainer, state: StateTensors): Promise<Trace> {
    const known = this.#traces.get(dispute.id);
    if (known !== undefined) return known;
    loadState(trainer, state);
    const trace = await traceOf(trainer, contextOf(this.#options, dispute));
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
      if (isContribution(this.#options, found)) {
        const first = await states.state(0);
        return [first.parameters, ...first.inner, state.parameters, ...state.inner];
      }
      const trace = await this.#traceFrom(found, trainer, state);
      loadState(trainer, state);
      return packEvidence(await evidenceOf(trainer, contextOf(this.#options, found), trace, operator));
    });
  }

  async close(): Promise<void> {
    this.#stop.abort(new GradmeshError("ERR_CLOSED", "the peer is closing"));
    this.#stopListening();
    await Promise.all(this.#queues.values());
  }
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
