/**
 * A round of a verified run, as a peer goes through it before its contribution is exchanged: data drawn by the beacon, a
 * commitment to every state of its inner steps, and checks of others' steps. So a wrong step that is found never counts.
 */
import { randomBytes } from "node:crypto";
import { type Clock, secondsSince, withLimit } from "../../base/clock.js";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Gathered } from "../../engine/communicator.js";
import type { StepWatcher } from "../../engine/engine.js";
import type { LiveView } from "../../group/member.js";
import { dataSeed } from "../../ledger/draw.js";
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import type { RoundState } from "../../ledger/rules/state.js";
import { accountOfPeerId } from "../../ledger/sign.js";
import { native } from "../../native/load.js";
import type { Trainer } from "../../trainer/trainer.js";
import { commitmentOf, type Unit, UnitRecorder } from "../../verify/unit.js";
import type { Replica } from "../replica.js";
import { type CheckedRound, type CheckOptions, Checks } from "./checks.js";
import * as standing from "./standing.js";

export interface VerifiedRoundOptions extends CheckOptions {
  readonly clock: Clock;
  /** Puts the inner state of a fresh trainer into the one that trains. */
  freshen(): Promise<void>;
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

/** Before a leader whose opening was refused tries again, where the ledger says nothing new. */
const OPENING_RETRY_MS = 1000;

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

  /** One whose memory nobody needs any more, or a new one. */
  #freeRecorder(round: number): UnitRecorder {
    const { ledger, unitSteps } = this.#options;
    const disputed = [...ledger.state.disputes.values()]
      .filter(({ worker, outcome }) => worker === this.#account && outcome === null)
      .map((dispute) => dispute.round);
    const kept = new Set([round - 1, ...disputed]);
    const free = this.#recorders.find(
      ({ recorded, first }) => recorded === 0 || !kept.has(first / unitSteps),
    );
    if (free !== undefined) return free;
    const made = new UnitRecorder(this.#trainer!, unitSteps);
    this.#recorders.push(made);
    return made;
  }

  /**
   * Before the view's inner steps: the round is open on the ledger, its beacon known. A round that began before goes on.
   * @throws the view's reason when it is void.
   */
  async open({ round, members, signal }: LiveView): Promise<void> {
    if (this.#work?.round === round) return;
    const startedAt = performance.now();
    const { beacon } = await this.#opened(round, members, signal);
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
    if (!this.#continues((await recorder.start()).inner)) {
      await this.#options.freshen();
      await recorder.begin(first, drawOf);
    }
    this.#work.seconds.commit += secondsSince(hashedAt);
  }

  /** Whether the ledger takes a unit that begins with this inner state; after work that was never revealed it does not. */
  #continues(inner: Hash): boolean {
    const { terms, accounts, nextRound } = this.#options.ledger.state;
    const last = accounts.get(this.#account)?.inner ?? null;
    const { firstRound, inner: fresh } = terms!;
    const resumed = last === null && firstRound > 0 && nextRound === firstRound + 1;
    return resumed || inner === last || inner === fresh;
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
      const { code, message } = asGradmeshError(error);
      if (code !== "ERR_LEDGER") throw error;
      emit({ type: "warning", peer: peerId, round: ledger.state.nextRound, code, reason: message });
      return false;
    }
  }

  /** Waits until the round is open; opens it where and when this peer is its leader. */
  async #opened(round: number, members: LiveView["members"], signal: AbortSignal): Promise<RoundState> {
    const { ledger, clock } = this.#options;
    for (;;) {
      const found = await ledger.until((state) => {
        const leads = standing.leaderOf(state, round) === this.#account;
        return standing.roundOf(state, round) ?? (leads ? "mine" : null);
      }, signal);
      if (found !== "mine") return found;
      const proof = ledger.prove(standing.beaconInputOf(ledger.state, ledger.id, round));
      const workers = standing.accountsOf(members);
      const shards = standing.shardBytes(members.map(({ shard }) => shard));
      const basis = standing.openingBasis(ledger.state);
      if (await this.#say({ kind: "RoundOpened", round, proof, workers, shards })) continue;
      const what = "a change of who can work";
      await withLimit(clock, OPENING_RETRY_MS, what, signal, (limited) =>
        ledger.until((state) => (standing.openingBasis(state) === basis ? null : true), limited),
      ).catch(() => signal.throwIfAborted());
    }
  }

  /**
   * After the inner steps, before the exchange: commits, reveals, checks what was drawn for this peer, and waits until every
   * unit of the view's members is accepted. Members whose units are not are taken out by the coordinator, which voids the view.
   * @throws the view's reason when it is void.
   */
  async clear(view: LiveView, replica: Replica): Promise<void> {
    const { signal } = view;
    const work = this.#at();
    const members = standing.accountsOf(view.members);
    await this.#commit(work, replica);
    await this.#wait(standing.reached(work.round, "reveal"), signal);
    await this.#reveal(work);
    await this.#wait(standing.reached(work.round, "verdictCommit"), signal);
    await this.#checks.commit(work, view);
    await this.#wait(standing.reached(work.round, "verdictReveal"), signal);
    await this.#checks.tell(work);
    await this.#wait(standing.allAccepted(work.round, members), signal);
    const { peerId, emit } = this.#options;
    emit({
      type: "verified",
      peer: peerId,
      round: work.round,
      checks: work.verdicts.size,
      seconds: { ...work.seconds },
    });
  }

  async #wait(condition: standing.Condition, signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    await this.#options.ledger.until((state) => (condition(state) ? true : null), signal);
    this.#at().seconds.wait += secondsSince(startedAt);
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
    work.unit ??= await this.#recorder.close(await this.#ownContribution(work, replica));
    work.seconds.commit += secondsSince(startedAt);
    const { root, before, after, contribution } = work.unit;
    const { round, salt } = work;
    const author = this.#account;
    const content = { round, author, root, before, after, contribution, salt };
    const commitment = commitmentOf({ ledgerId: ledger.id, ...content });
    work.committed = await this.#say({ kind: "WorkCommitted", round, commitment });
  }

  #ownContribution({ round }: Work, { shard, engine }: Replica): Promise<Hash> {
    const { state } = this.#recorder.kept(0);
    return this.#options.contributionOf(round, shard, state.parameters, engine.trainer.parameters);
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
