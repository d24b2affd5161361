/** A peer's checks of others' work in a round: what it was drawn for, replayed, committed to, and told once nobody can copy it. */
import { randomBytes } from "node:crypto";
import { secondsSince } from "../../base/clock.js";
import type { LiveView } from "../../group/member.js";
import { type Check, dataSeed } from "../../ledger/draw.js";
import type { Account, Hash, LedgerEvent } from "../../ledger/events.js";
import { accountOfPeerId } from "../../ledger/sign.js";
import type { Trainer } from "../../trainer/trainer.js";
import { Replayer, type RevealedUnit, type Verdict, verdictOf, verdicts } from "../../verify/replay.js";
import { type Opening, verdictCommitmentOf } from "../../verify/unit.js";
import type { EventSink } from "../events.js";
import type { Accusation } from "./dispute-desk.js";
import { type ProofClient, showedNothing } from "./proof-client.js";
import type { RunLedger } from "./run-ledger.js";
import * as standing from "./standing.js";

export interface CheckOptions {
  readonly ledger: RunLedger;
  readonly proofs: Pick<ProofClient, "transition">;
  /** Does work with a trainer of a shard that nobody else uses meanwhile. */
  use<Result>(shard: number, work: (trainer: Trainer) => Promise<Result>): Promise<Result>;
  readonly peerId: string;
  readonly unitSteps: number;
  /** Digest of what the members decode of a round's contribution, from the parameters before and after the inner steps. */
  contributionOf(round: number, shard: number, before: Float32Array, after: Float32Array): Promise<Hash>;
  /** For tests: whether this peer says in a round that what it checks is wrong. */
  accusesFalsely?(round: number): boolean;
  /** This peer found a transition wrong. */
  accuse(accusation: Accusation): void;
  readonly emit: EventSink;
}

/** A verdict on its way to the ledger. */
interface Made {
  readonly verdict: Verdict;
  readonly salt: string;
  committed: boolean;
  revealed: boolean;
}

/** What checking needs of a round, and keeps of it. */
export interface CheckedRound {
  readonly round: number;
  readonly beacon: Hash;
  /** What the round begins with, float32 [n]. */
  parameters(): Float32Array;
  readonly verdicts: Map<string, Made>;
  readonly seconds: { replay: number; wait: number };
}

const nameOf = ({ worker, transition }: Check) => `${worker} ${transition}`;

export class Checks {
  readonly #options: CheckOptions & { say(event: LedgerEvent): Promise<boolean> };

  /** @param options say appends to the ledger; where the rules refuse, it only warns and gives false. */
  constructor(options: CheckOptions & { say(event: LedgerEvent): Promise<boolean> }) {
    this.#options = options;
  }

  /** Replays what was drawn for this peer, and commits to what it found: of each as soon as it is known. */
  async commit(work: CheckedRound, view: LiveView): Promise<void> {
    const checks = standing.checksOf(this.#options.ledger.state, work.round, this.#options.ledger.account);
    await Promise.all(checks.map((check) => this.#checkOne(work, check, view)));
  }

  async #checkOne(work: CheckedRound, check: Check, view: LiveView): Promise<void> {
    const { ledger } = this.#options;
    const { round } = work;
    const known = work.verdicts.get(nameOf(check));
    if (known?.committed === true) return;
    const made = known ?? {
      verdict: await this.#verdict(work, check, view),
      salt: randomBytes(32).toString("hex"),
      committed: false,
      revealed: false,
    };
    work.verdicts.set(nameOf(check), made);
    if (standing.reached(round, "verdictReveal")(ledger.state)) return;
    const { worker, transition } = check;
    const { verdict, salt } = made;
    const content = { worker, transition, verdict: verdicts[verdict.kind], digest: verdict.digest, salt };
    const commitment = verdictCommitmentOf({
      ledgerId: ledger.id,
      round,
      author: this.#options.ledger.account,
      ...content,
    });
    made.committed = await this.#options.say({
      kind: "VerdictCommitted",
      round,
      worker,
      transition,
      commitment,
    });
  }

  async #verdict(work: CheckedRound, check: Check, view: LiveView): Promise<Verdict> {
    const { peerId, emit } = this.#options;
    const { worker, transition } = check;
    const member = view.members.find((one) => accountOfPeerId(one.peerId) === worker);
    const unit = this.#revealed(work, worker);
    const startedAt = performance.now();
    const opening =
      member === undefined ? null : await this.#ask(member, work.round, transition, unit, view.signal);
    work.seconds.wait += secondsSince(startedAt);
    const shard = standing.shardOf(this.#options.ledger.state, work.round, worker) ?? 0;
    let seconds = 0;
    const found = await this.#options.use(shard, async (trainer) => {
      const replayedAt = performance.now();
      const made = await verdictOf(new Replayer(trainer), unit, transition, opening, {
        contributionOf: ({ parameters }) => {
          return this.#options.contributionOf(work.round, shard, work.parameters(), parameters);
        },
        signal: view.signal,
      });
      seconds = secondsSince(replayedAt);
      return made;
    });
    work.seconds.replay += seconds;
    const lies = found.kind === "accept" && this.#options.accusesFalsely?.(work.round) === true;
    const verdict: Verdict = lies
      ? { kind: "hard", digest: work.beacon, reason: "a false accusation" }
      : found;
    const { kind, reason } = verdict;
    if (kind === "hard" && opening !== null)
      this.#options.accuse({
        round: work.round,
        beacon: work.beacon,
        worker,
        transition,
        state: opening.state,
      });
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

  /** Null where the worker refuses, shows something else, or nothing in time. @throws the view's reason; faults of this peer. */
  async #ask(
    member: LiveView["members"][number],
    round: number,
    transition: number,
    { root, steps }: RevealedUnit,
    signal: AbortSignal,
  ): Promise<Opening | null> {
    try {
      return await this.#options.proofs.transition(
        member,
        { round, transition, unit: { root, steps } },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (showedNothing(error)) return null;
      throw error;
    }
  }

  /** What everybody knows of a worker's unit. */
  #revealed({ round, beacon }: CheckedRound, worker: Account): RevealedUnit {
    const { unitSteps, ledger } = this.#options;
    const { root } = standing.unitOf(ledger.state, round, worker)!;
    const drawOf = (step: number) => dataSeed(beacon, worker, step);
    return { root, steps: unitSteps, first: round * unitSteps, drawOf };
  }

  /** Tells the verdicts, now that nobody can copy them any more. */
  async tell(work: CheckedRound): Promise<void> {
    const { round } = work;
    for (const [name, made] of work.verdicts) {
      if (made.revealed || !made.committed) continue;
      const [worker, transition] = name.split(" ") as [Account, string];
      const { verdict, salt } = made;
      made.revealed = await this.#options.say({
        kind: "VerdictRevealed",
        round,
        worker,
        transition: Number(transition),
        verdict: verdicts[verdict.kind],
        digest: verdict.digest,
        salt,
      });
    }
  }
}
