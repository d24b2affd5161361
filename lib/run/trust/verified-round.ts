/**
 * A round of a verified run, as a peer goes through it before its contribution is exchanged: data drawn by the beacon, a
 * commitment to every state of its inner steps, and checks of others' steps. So a wrong step that is found never counts.
 */
import { randomBytes } from "node:crypto";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Gathered } from "../../engine/communicator.js";
import type { StepWatcher } from "../../engine/engine.js";
import type { LiveView } from "../../group/member.js";
import { type Check, dataSeed } from "../../ledger/draw.js";
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import type { RoundState } from "../../ledger/rules/state.js";
import { accountOfPeerId } from "../../ledger/sign.js";
import { native } from "../../native/load.js";
import type { Trainer } from "../../trainer/trainer.js";
import { Replayer, type RevealedUnit, type Verdict, verdictOf, verdicts } from "../../verify/replay.js";
import { commitmentOf, type Unit, UnitRecorder, verdictCommitmentOf } from "../../verify/unit.js";
import type { EventSink } from "../events.js";
import type { Replica } from "../replica.js";
import type { Accusation } from "./dispute-desk.js";
import type { ProofClient } from "./proof-client.js";
import type { RunLedger } from "./run-ledger.js";
import * as standing from "./standing.js";

export interface VerifiedRoundOptions {
  readonly ledger: RunLedger;
  readonly proofs: Pick<ProofClient, "transition">;
  /** Does work with a trainer of a shard that nobody else uses meanwhile. */
  use<Result>(shard: number, work: (trainer: Trainer) => Promise<Result>): Promise<Result>;
  readonly peerId: string;
  readonly unitSteps: number;
  /** Digest of what the members decode of a round's contribution, from the parameters before and after the inner steps. */
  contributionOf(round: number, shard: number, before: Float32Array, after: Float32Array): Promise<Hash>;
  /** Puts the inner state of a fresh trainer into the one that trains. */
  freshen(): Promise<void>;
  /** This peer found a transition wrong. */
  accuse(accusation: Accusation): void;
  readonly emit: EventSink;
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
interface Work {
  readonly round: number;
  readonly beacon: Hash;
  /** What this peer's data of the round is drawn by. */
  readonly drawOf: (step: number) => number;
  readonly salt: string;
  unit: Unit | null;
  committed: boolean;
  revealed: boolean;
  readonly verdicts: Map<string, { verdict: Verdict; salt: string; committed: boolean; revealed: boolean }>;
  readonly seconds: VerifiedSeconds;
}

const nameOf = ({ worker, transition }: Check) => `${worker} ${transition}`;
const secondsSince = (at: number) => (performance.now() - at) / 1000;

export class VerifiedRounds implements StepWatcher {
  readonly #options: VerifiedRoundOptions;
  readonly #account: Account;
  /** Of the round at hand and of the one before: a dispute may still ask for its states. */
  #recorders: UnitRecorder[] = [];
  #work: Work | null = null;

  constructor(options: VerifiedRoundOptions) {
    this.#options = options;
    this.#account = accountOfPeerId(options.peerId);
  }

  /** Watches the replica's inner steps from now on; called again for another replica. */
  attach({ engine }: Replica): void {
    const { unitSteps } = this.#options;
    this.#recorders = [
      new UnitRecorder(engine.trainer, unitSteps),
      new UnitRecorder(engine.trainer, unitSteps),
    ];
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
    return this.#recorders[this.#at().round % 2]!;
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
      salt: randomBytes(32).toString("hex"),
      unit: null,
      committed: false,
      revealed: false,
      verdicts: new Map(),
      seconds: { commit: 0, serve: 0, replay: 0, wait: secondsSince(startedAt) },
    };
    const hashedAt = performance.now();
    const first = round * this.#options.unitSteps;
    await this.#recorder.begin(first, drawOf);
    if (!this.#continues((await this.#recorder.start()).inner)) {
      await this.#options.freshen();
      await this.#recorder.begin(first, drawOf);
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

  /** Appends; what the rules refuse by then came too late, and the coordinator goes on without this peer's work. */
  async #say(event: LedgerEvent): Promise<void> {
    const { ledger, emit, peerId } = this.#options;
    try {
      await ledger.submit(event);
    } catch (error) {
      const { code, message } = asGradmeshError(error);
      if (code !== "ERR_LEDGER") throw error;
      emit({ type: "warning", peer: peerId, round: ledger.state.nextRound, code, reason: message });
    }
  }

  /** Waits until the round is open; opens it where and when this peer is its leader. */
  async #opened(round: number, members: LiveView["members"], signal: AbortSignal): Promise<RoundState> {
    const { ledger } = this.#options;
    for (;;) {
      const found = await ledger.until((state) => {
        const leads = standing.leaderOf(state, round) === this.#account;
        return standing.roundOf(state, round) ?? (leads ? "mine" : null);
      }, signal);
      if (found !== "mine") return found;
      const proof = ledger.prove(standing.beaconInputOf(ledger.state, ledger.id, round));
      const workers = standing.accountsOf(members);
      const shards = standing.shardBytes(members.map(({ shard }) => shard));
      await this.#say({ kind: "RoundOpened", round, proof, workers, shards });
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
    await this.#check(work, view);
    await this.#wait(standing.reached(work.round, "verdictReveal"), signal);
    await this.#tell(work);
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
    standing.expectShard(ledger.state, work.round, this.#account, replica.shard);
    const startedAt = performance.now();
    work.unit ??= await this.#recorder.close(await this.#ownContribution(work, replica));
    work.seconds.commit += secondsSince(startedAt);
    const { root, before, after, contribution } = work.unit;
    const { round, salt } = work;
    const author = this.#account;
    const commitment = commitmentOf({
      ledgerId: ledger.id,
      round,
      author,
      root,
      before,
      after,
      contribution,
      salt,
    });
    await this.#say({ kind: "WorkCommitted", round, commitment });
    work.committed = true;
  }

  #ownContribution({ round }: Work, { shard, engine }: Replica): Promise<Hash> {
    const { state } = this.#recorder.kept(0);
    return this.#options.contributionOf(round, shard, state.parameters, engine.trainer.parameters);
  }

  async #reveal(work: Work): Promise<void> {
    if (work.revealed) return;
    const { root, before, after, contribution, beforeParts, afterParts } = work.unit!;
    const { round, salt } = work;
    const parts = {
      inner: beforeParts.inner,
      parametersAfter: afterParts.parameters,
      innerAfter: afterParts.inner,
    };
    await this.#say({ kind: "WorkRevealed", round, root, before, after, ...parts, contribution, salt });
    work.revealed = true;
  }

  /** Replays what was drawn for this peer, and commits to what it found. */
  async #check(work: Work, view: LiveView): Promise<void> {
    const { ledger } = this.#options;
    const { round } = work;
    for (const check of standing.checksOf(ledger.state, round, this.#account)) {
      if (work.verdicts.get(nameOf(check))?.committed === true) continue;
      const verdict = await this.#verdict(check, view);
      const made = { verdict, salt: randomBytes(32).toString("hex"), committed: false, revealed: false };
      work.verdicts.set(nameOf(check), made);
      const { worker, transition } = check;
      const commitment = verdictCommitmentOf({
        ledgerId: ledger.id,
        round,
        author: this.#account,
        worker,
        transition,
        verdict: verdicts[verdict.kind],
        digest: verdict.digest,
        salt: made.salt,
      });
      await this.#say({ kind: "VerdictCommitted", round, worker, transition, commitment });
      made.committed = true;
    }
  }

  async #verdict(check: Check, view: LiveView): Promise<Verdict> {
    const { proofs, peerId, emit } = this.#options;
    const work = this.#at();
    const { worker, transition } = check;
    const member = view.members.find((one) => accountOfPeerId(one.peerId) === worker);
    const unit = this.#revealed(work, worker);
    const startedAt = performance.now();
    const opening =
      member === undefined
        ? null
        : await proofs
            .transition(
              member,
              { round: work.round, transition, unit: { root: unit.root, steps: unit.steps } },
              view.signal,
            )
            .catch(() => null);
    view.signal.throwIfAborted();
    work.seconds.wait += secondsSince(startedAt);
    const shard = standing.shardOf(this.#options.ledger.state, work.round, worker) ?? 0;
    let seconds = 0;
    const verdict = await this.#options.use(shard, async (trainer) => {
      const replayedAt = performance.now();
      const found = await verdictOf(new Replayer(trainer), unit, transition, opening, {
        contributionOf: ({ parameters }) => {
          const { state } = this.#recorder.kept(0);
          return this.#options.contributionOf(work.round, shard, state.parameters, parameters);
        },
        signal: view.signal,
      });
      seconds = secondsSince(replayedAt);
      return found;
    });
    work.seconds.replay += seconds;
    const { kind, reason } = verdict;
    if (kind === "hard" && opening !== null)
      this.#options.accuse({ round: work.round, worker, transition, state: opening.state });
    emit({
      type: "checked",
      peer: peerId,
      round: work.round,
      worker: member?.peerId ?? worker,
      transition,
      verdict: kind,
      reason,
      seconds,
    });
    return verdict;
  }

  /** What everybody knows of a worker's unit. */
  #revealed({ round, beacon }: Work, worker: Account): RevealedUnit {
    const { unitSteps, ledger } = this.#options;
    const { root } = standing.unitOf(ledger.state, round, worker)!;
    const drawOf = (step: number) => dataSeed(beacon, worker, step);
    return { root, steps: unitSteps, first: round * unitSteps, drawOf };
  }

  /** Tells the verdicts, now that nobody can copy them any more. */
  async #tell(work: Work): Promise<void> {
    const { round } = work;
    for (const [name, made] of work.verdicts) {
      if (made.revealed) continue;
      const [worker, transition] = name.split(" ") as [Account, string];
      const { verdict, salt } = made;
      await this.#say({
        kind: "VerdictRevealed",
        round,
        worker,
        transition: Number(transition),
        verdict: verdicts[verdict.kind],
        digest: verdict.digest,
        salt,
      });
      made.revealed = true;
    }
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
      {
        detail: { peers },
      },
    );
  }
}
