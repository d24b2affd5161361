/**
 * A round of a verified run, as a peer goes through it before its contribution is exchanged: data drawn by the beacon, a
 * commitment to every state of its inner steps, and checks of others' steps. So a wrong step that is found never counts.
 */
import { randomBytes } from "node:crypto";
import { type Clock, secondsSince } from "../../base/clock.js";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Gathered } from "../../engine/communicator.js";
import type { StepWatcher } from "../../engine/engine.js";
import type { LiveView } from "../../group/member.js";
import { dataSeed } from "../../ledger/draw.js";
import type { Account, LedgerEvent } from "../../ledger/events.js";
import { isRefusal } from "../../ledger/replica.js";
import type { LedgerState } from "../../ledger/rules/state.js";
import { accountOfPeerId } from "../../ledger/sign.js";
import { native } from "../../native/load.js";
import type { Trainer } from "../../trainer/trainer.js";
import { commitmentOf, type Unit, UnitRecorder } from "../../verify/unit.js";
import type { Replica } from "../replica.js";
import { type CheckedRound, type CheckOptions, Checks } from "./checks.js";
import { openingOf } from "./opening.js";
import * as standing from "./standing.js";

export interface VerifiedRoundOptions extends CheckOptions {
  readonly clock: Clock;
  /** Puts the inner state of a fresh trainer into the one that trains. */
  freshen(): Promise<void>;
  /** Puts what all peers share back to what the round began with, so that its inner steps can be taken again. */
  restart(): Promise<void>;
  /** For tests: whose data this peer trains on in a round, where not its own. */
  draws?(round: number): Account | null;
}

/** Seconds that verification took of a round. */
export interface VerifiedSeconds {
  /** Hashing and keeping the states of its own inner steps. */
  commit: number;
  /** Computing states that verifiers ask for. */
  serve: number;
  /** Replaying others' steps. */
  replay: number;
  /** Waiting for others' commitments, reveals and verdicts, and for states to arrive. */
  wait: number;
}

/** What this peer has done in the round at hand. */
interface Work extends CheckedRound {
  /** What this peer's data of the round is drawn by. */
  readonly drawOf: (step: number) => number;
  readonly salt: string;
  unit: Unit | null;
  committed: boolean;
  revealed: boolean;
  readonly seconds: VerifiedSeconds;
}

/** accepted: everybody's work counts. none: nobody's does, and the state stays as it is. void: the round is opened again. */
export type Cleared = "accepted" | "none" | "void";

export class VerifiedRounds implements StepWatcher {
  readonly #options: VerifiedRoundOptions;
  readonly #account: Account;
  readonly #checks: Checks;
  /** Of the round at hand, of the one before, and of those that are disputed: their states may be asked for. */
  #recorders: UnitRecorder[] = [];
  #trainer: Trainer | null = null;
  #work: Work | null = null;

  constructor(options: VerifiedRoundOptions) {
    this.#options = options;
    this.#account = accountOfPeerId(options.peerId);
    this.#checks = new Checks({ ...options, say: (event) => this.#say(event) });
  }

  /** Watches the replica's inner steps from now on; called again for another replica. */
  attach({ engine }: Replica): void {
    this.#recorders = [];
    this.#trainer = engine.trainer;
    this.#work = null;
    engine.watch(this);
  }

  /** The recorder of a round, as long as its states are kept; else null. */
  recorderOf(round: number): UnitRecorder | null {
    return (
      this.#recorders.find(
        (recorder) => recorder.recorded > 0 && recorder.first === round * this.#options.unitSteps,
      ) ?? null
    );
  }

  /** Of the round at hand. */
  get seconds(): VerifiedSeconds {
    return this.#work?.seconds ?? { commit: 0, serve: 0, replay: 0, wait: 0 };
  }

  draw(step: number): number {
    return this.#at().drawOf(step);
  }

  async stepped(step: number): Promise<void> {
    const startedAt = performance.now();
    await this.#recorder.stepped(step);
    this.#at().seconds.commit += secondsSince(startedAt);
  }

  #at(): Work {
    if (this.#work === null) throw new GradmeshError("ERR_INTERNAL", "no verified round is open");
    return this.#work;
  }

  get #recorder(): UnitRecorder {
    return this.recorderOf(this.#at().round)!;
  }

  /** That of an opening of the round which was void; one whose memory nobody needs any more; or a new one. */
  #freeRecorder(round: number): UnitRecorder {
    const { ledger, unitSteps } = this.#options;
    const disputed = [...ledger.state.disputes.values()]
      .filter(({ worker, outcome }) => worker === this.#account && outcome === null)
      .map((dispute) => dispute.round);
    const kept = new Set([round - 1, ...disputed]);
    const isFree = ({ recorded, first }: UnitRecorder) => recorded === 0 || !kept.has(first / unitSteps);
    const free = this.recorderOf(round) ?? this.#recorders.find(isFree);
    if (free !== undefined) return free;
    const made = new UnitRecorder(this.#trainer!, unitSteps);
    this.#recorders.push(made);
    return made;
  }

  /**
   * Before the view's inner steps: the round is open on the ledger, its beacon known. A round that began before goes on; one
   * that was void, and was opened again, begins anew.
   * @throws the view's reason when it is void.
   */
  async open(view: LiveView): Promise<void> {
    const { round } = view;
    const startedAt = performance.now();
    const say = (event: LedgerEvent) => this.#say(event);
    const { beacon } = await openingOf({ ...this.#options, say }, view);
    const again = this.#work?.round === round;
    if (again && this.#work?.beacon === beacon) return;
    if (again) await this.#options.restart();
    const drawn = this.#options.draws?.(round) ?? this.#account;
    const drawOf = (step: number) => dataSeed(beacon, drawn, step);
    this.#work = {
      round,
      beacon,
      drawOf,
      parameters: () => this.#recorder.kept(0).state.parameters,
      salt: randomBytes(32).toString("hex"),
      unit: null,
      committed: false,
      revealed: false,
      verdicts: new Map(),
      seconds: { commit: 0, serve: 0, replay: 0, wait: secondsSince(startedAt) },
    };
    const hashedAt = performance.now();
    const first = round * this.#options.unitSteps;
    const recorder = this.#freeRecorder(round);
    await recorder.begin(first, drawOf);
    const { inner } = await recorder.start();
    if (!standing.continuesWith(this.#options.ledger.state, this.#account, inner)) {
      await this.#options.freshen();
      await recorder.begin(first, drawOf);
    }
    this.#work.seconds.commit += secondsSince(hashedAt);
  }

  /**
   * Appends; whether it is recorded. What the rules refuse by then came too late, and the coordinator goes on without this
   * peer's work.
   */
  async #say(event: LedgerEvent): Promise<boolean> {
    const { ledger, emit, peerId } = this.#options;
    try {
      await ledger.submit(event);
      return true;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const { code, message } = asGradmeshError(error);
      emit({ type: "warning", peer: peerId, round: ledger.state.nextRound, code, reason: message });
      return false;
    }
  }

  /**
   * After the inner steps, before the exchange: commits, reveals, checks what was drawn for this peer, and waits until every
   * unit of the view's members is accepted, or none is. Where some are, the coordinator takes out the others, which voids the view.
   * @throws the view's reason when it is void.
   */
  async clear(view: LiveView, replica: Replica): Promise<Cleared> {
    const { signal } = view;
    const work = this.#at();
    const { round } = work;
    const members = standing.accountsOf(view.members);
    const none = standing.noneAccepted(round, members);
    const parts = [
      [() => true, () => this.#commit(work, replica)],
      [standing.reached(round, "reveal"), () => this.#reveal(work)],
      [standing.reached(round, "verdictCommit"), () => this.#checks.commit(work, view)],
      [standing.reached(round, "verdictReveal"), () => this.#checks.tell(work)],
      [standing.allAccepted(round, members), async () => this.#tellVerified(work)],
    ] as const;
    for (const [condition, part] of parts) {
      const found = await this.#wait(work, signal, (state) =>
        none(state) ? "none" : condition(state) ? "accepted" : null,
      );
      if (found !== "accepted") return found;
      await part();
    }
    return "accepted";
  }

  #tellVerified(work: Work): void {
    const { peerId, emit } = this.#options;
    emit({
      type: "verified",
      peer: peerId,
      round: work.round,
      checks: work.verdicts.size,
      seconds: { ...work.seconds },
    });
  }

  /** What `find` finds first; "void" where the opening that the work is of does not exist any more. */
  async #wait(
    { round, beacon, seconds }: Work,
    signal: AbortSignal,
    find: (state: LedgerState) => Cleared | null,
  ): Promise<Cleared> {
    const startedAt = performance.now();
    const isThere = (state: LedgerState) => standing.roundOf(state, round)?.beacon === beacon;
    const found = await this.#options.ledger.until(
      (state) => (isThere(state) ? find(state) : "void"),
      signal,
    );
    seconds.wait += secondsSince(startedAt);
    return found;
  }

  async #commit(work: Work, replica: Replica): Promise<void> {
    if (work.committed) return;
    const { ledger } = this.#options;
    const said = standing.shardOf(ledger.state, work.round, this.#account);
    if (said !== replica.shard) {
      // Work on other data could be replayed by nobody: it commits to nothing, and the round goes on without it.
      const reason = `round ${work.round + 1} was opened with shard ${said} for this peer, which has worked on shard ${replica.shard}`;
      const { peerId: peer, emit } = this.#options;
      emit({ type: "warning", peer, round: work.round, code: "ERR_LEDGER", reason });
      return;
    }
    const startedAt = performance.now();
    if (work.unit === null) {
      const { state } = this.#recorder.kept(0);
      const after = replica.engine.trainer.parameters;
      const own = await this.#options.contributionOf(work.round, replica.shard, state.parameters, after);
      work.unit = await this.#recorder.close(own);
    }
    work.seconds.commit += secondsSince(startedAt);
    const { root, before, after, contribution } = work.unit;
    const { round, salt } = work;
    const author = this.#account;
    const content = { round, author, root, before, after, contribution, salt };
    const commitment = commitmentOf({ ledgerId: ledger.id, ...content });
    work.committed = await this.#say({ kind: "WorkCommitted", round, commitment });
  }

  async #reveal(work: Work): Promise<void> {
    if (work.revealed || !work.committed) return;
    const { root, before, after, contribution, beforeParts, afterParts } = work.unit!;
    const { round, salt } = work;
    const { inner } = beforeParts;
    const { parameters: parametersAfter, inner: innerAfter } = afterParts;
    const content = { root, before, after, inner, parametersAfter, innerAfter, contribution, salt };
    work.revealed = await this.#say({ kind: "WorkRevealed", round, ...content });
  }

  /** Compares what every member sent with what it had committed to. @throws ERR_PROOF naming those who sent something else. */
  async inspect(view: LiveView, { contributions }: Gathered): Promise<void> {
    const { ledger } = this.#options;
    const { round } = this.#at();
    const digests = await Promise.all(contributions.map((one) => native.digest([one])));
    const peers = view.members
      .filter(
        ({ peerId }, rank) =>
          standing.unitOf(ledger.state, round, accountOfPeerId(peerId))?.contribution !== digests[rank],
      )
      .map(({ peerId }) => peerId);
    if (peers.length === 0) return;
    throw new GradmeshError(
      "ERR_PROOF",
      `round ${round}: ${peers.join(", ")} sent another contribution than was committed to`,
      { detail: { peers } },
    );
  }
}
