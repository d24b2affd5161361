/** The submitter's part in the ledger's rounds, which are the coordinator's: it skips late leaders, and says who left and what closed. */
import type { Clock } from "../../base/clock.js";
import type { ErrorCode } from "../../base/errors.js";
import type { CoordinatorHost } from "../../group/coordinator-host.js";
import type { Account, EventBody, Hash } from "../../ledger/events.js";
import type { Sequencer } from "../../ledger/ledger.js";
import type { Effect } from "../../ledger/rules/effect.js";
import { standing } from "../../ledger/rules/lookup.js";
import { type LedgerState, POOL, type RoundState } from "../../ledger/rules/state.js";
import { accountOfPeerId, peerIdOfAccount } from "../../ledger/sign.js";
import { nothingChecked, nothingInTime } from "./hopeless.js";
import type { OwnEvents } from "./own-events.js";
import { emptyResult, isAccepted, isLost, isOut, isVoid, leaderOf, roundOf, shardBytes } from "./standing.js";

export interface LeadRoundsOptions {
  readonly sequencer: Sequencer<LedgerState, Effect>;
  readonly events: OwnEvents;
  readonly clock: Clock;
  /** Null before the run has one. */
  coordinator(): Pick<CoordinatorHost, "state" | "suspend" | "end"> | null;
  warn(reason: string): void;
}

export class LeadRounds {
  readonly #options: LeadRoundsOptions;
  /** Rounds and accounts that the ledger is being told have parted. */
  readonly #leaving = new Set<string>();
  /** The last round that the ledger is being told is closed, and the number of records when it was told that one is void. */
  #closing = -1;
  #voided = -1;
  #ended = false;
  /** Of the opening with this beacon: who alone can finish the round, and since when it is them alone. */
  #awaited: { readonly beacon: Hash; readonly workers: readonly Account[]; readonly since: number } | null =
    null;
  #applied: { readonly round: number; readonly parameters: Hash } | null = null;

  constructor(options: LeadRoundsOptions) {
    this.#options = options;
  }

  get #state(): LedgerState {
    return this.#options.sequencer.state;
  }

  /** The round that is open, or null. */
  get open(): RoundState | null {
    const round = roundOf(this.#state, this.#state.nextRound - 1);
    return round === null || round.phase === "closed" ? null : round;
  }

  /**
   * What this peer was doing in a round before it was started again is lost: it has no salts and no states of it. What is
   * committed is not: its work is in the aggregate.
   */
  leaveOwn(): void {
    const { open } = this;
    const { sequencer, events } = this.#options;
    const { account } = sequencer;
    const unit = open?.units.get(account);
    if (open === null || unit === undefined || isOut(unit) || this.isCommitted) return;
    events.append({ kind: "RoundLeft", round: open.round, account });
  }

  /** From time to time: what nobody else says. */
  pass(): void {
    const { clock, events } = this.#options;
    const [next] = this.#state.timers;
    if (next !== undefined && next.at <= clock.wall()) events.append({ kind: "Advanced" });
    this.#skipLeader();
    this.#leaveAwaited();
    this.#closeRest();
    // A lead that died before it did so ends the run when it leads again.
    if (this.open === null) this.#endHopeless();
  }

  /** Opens a round whose leader is lost to the run, or late, in its place. */
  #skipLeader(): void {
    const { clock, events } = this.#options;
    const { record, phase } = this.#options.coordinator()?.state ?? {};
    const { nextRound: round, leader, leaderSince, terms } = this.#state;
    if (record === undefined || phase?.name !== "running" || record.round !== round) return;
    if (leaderOf(this.#state, round) === null || leader === null) return;
    const workers = record.members.map(accountOfPeerId);
    const isLate = clock.wall() >= leaderSince + terms!.moveSpan;
    if (!isLate && workers.includes(leader)) return;
    const shards = shardBytes(record.members.map((member) => record.shards.get(member)!));
    events.append({ kind: "RoundSkipped", round, workers, shards });
  }

  /**
   * Only those whose work counts can finish a round, and all others wait for them. Where they are gone or silent they leave it:
   * then it counts for nothing, and goes on with everybody. In time before the run ends, and before their work is paid.
   */
  #leaveAwaited(): void {
    const { clock } = this.#options;
    const coordinator = this.#options.coordinator();
    const { open } = this;
    if (coordinator === null || open?.phase !== "decided" || this.isCommitted) return;
    const { phase, peers, charter } = coordinator.state;
    if (phase.name === "ended") return;
    const { round } = open;
    const units = [...open.units.values()];
    const awaited = units.filter(({ status }) => status === "pending").map(({ worker }) => worker);
    const since = this.#awaitedSince(open, awaited);
    const waiting = units.some((unit) => isLost(unit) && peers.has(peerIdOfAccount(unit.worker)));
    if (!waiting || (phase.name === "running" && phase.votes.size > 0)) return;
    const { verdictSpan, lockSpan } = this.#state.terms!;
    const isPaused = phase.name === "gathering";
    const recoverMs = isPaused ? charter.settings.recoverLimitMs / 2 : Number.POSITIVE_INFINITY;
    const limitMs = Math.min(verdictSpan, lockSpan / 2, recoverMs);
    if (clock.now() - since < limitMs) return;
    const reason = `the others wait for it to end round ${round + 1}, and it did not vote within ${limitMs} ms`;
    for (const account of awaited) {
      const peer = peerIdOfAccount(account);
      // So that it can't vote any more: what is committed would not be what the ledger says.
      if (peers.has(peer)) coordinator.suspend(peer, reason);
      this.#part(round, account);
    }
  }

  /** Each time that some of them go, those who stay have the time anew; nobody has it by going and coming back. */
  #awaitedSince({ beacon }: RoundState, awaited: readonly Account[]): number {
    const { clock, coordinator } = this.#options;
    const { record, phase } = coordinator()!.state;
    const known = this.#awaited?.beacon === beacon ? this.#awaited.workers : [];
    const count = (workers: readonly Account[]) => {
      this.#awaited = { beacon, workers, since: clock.now() };
    };
    if (!known.some((worker) => awaited.includes(worker))) count(awaited);
    else if (phase.name === "running") {
      const here = known.filter((worker) => record.members.includes(peerIdOfAccount(worker)));
      if (here.length > 0 && here.length < known.length) count(here);
    }
    return this.#awaited!.since;
  }

  /** A round that is committed and that the ledger was not told of, or refused; one that everybody is out of: it is opened again. */
  #closeRest(): void {
    const { open } = this;
    const { sequencer, events, coordinator } = this.#options;
    const { record } = coordinator()?.state ?? {};
    if (open === null || record === undefined) return;
    const { round } = open;
    const { commit, stateDigest } = record;
    if (commit?.round === round) {
      // The ledger would open it again, which the members, who have applied it, could not take part in: neither can go on.
      if (isVoid(open))
        this.#end(
          `round ${round + 1} is committed, and on the ledger all who worked in it are out of it (its members voted before it was checked, or all were too late): it can be neither closed nor run again; resume from a checkpoint`,
          "ERR_LEDGER",
        );
      else if (stateDigest !== null && open.phase === "decided")
        this.close(round, commit.contributors, stateDigest);
      return;
    }
    if (!isVoid(open) || this.#voided === sequencer.count) return;
    this.#voided = sequencer.count;
    const { parameters } = this.#state;
    events.append({ kind: "RoundClosed", round, result: POOL, state: POOL, parameters, aggregated: [] });
    const reason = nothingInTime(sequencer, this.#state, round);
    if (reason !== null) this.#end(reason, "ERR_TIMEOUT");
  }

  #end(reason: string, code: ErrorCode): void {
    const coordinator = this.#options.coordinator();
    if (coordinator === null || this.#ended) return;
    this.#ended = true;
    coordinator.end(reason, code);
  }

  /** This peer has applied a round: what the next one begins with. Called before it tells the coordinator. */
  applied(round: number, parameters: Hash): void {
    this.#applied = { round, parameters };
  }

  /** The coordinator's rounds and the ledger's are the same; what is committed is applied. */
  close(round: number, contributors: readonly string[], state: Hash): void {
    if (this.#closing === round) return;
    this.#closing = round;
    const { events, coordinator } = this.#options;
    const result = coordinator()?.state.record.commit?.resultDigest ?? state;
    const isEmpty = result === emptyResult(round);
    events.append(
      () => {
        const found = roundOf(this.#state, round);
        // Before it is decided all of it may come to be too late, and the ledger would open it again: #closeRest closes it, or ends the run.
        if (found !== null && (found.phase !== "decided" || isVoid(found))) {
          this.#closing = -1;
          return null;
        }
        const aggregated = this.#aggregated(round, isEmpty ? [] : contributors);
        const unapplied = isEmpty ? this.#state.parameters : POOL;
        const parameters = this.#applied?.round === round ? this.#applied.parameters : unapplied;
        return { kind: "RoundClosed", round, result, state, parameters, aggregated };
      },
      // What is recorded meanwhile, or a deadline that passes with it, can end a contributor's unit: it is tried again.
      () => {
        this.#closing = -1;
      },
    );
  }

  /** Of the contributors, those whose work counts by now. */
  #aggregated(round: number, contributors: readonly string[]): EventBody<"RoundClosed">["aggregated"] {
    const units = roundOf(this.#state, round)?.units;
    const accounts = contributors.map(accountOfPeerId);
    // Whose dispute was lost between the commit and this is in the aggregate, and can't be said to be.
    const aggregated = accounts.filter((account) => {
      const unit = units?.get(account);
      return unit !== undefined && isAccepted({ status: standing(unit) });
    });
    if (aggregated.length < accounts.length)
      this.#options.warn(
        `round ${round + 1} was committed with work of ${accounts.length} peers, of which ${aggregated.length} count by now`,
      );
    return aggregated;
  }

  /** Workers that are no longer among the members have left the open round, without blame, unless they are accused. */
  leave(members: readonly string[]): void {
    const { open } = this;
    if (open === null || members.length === 0) return;
    const present = new Set(members.map(accountOfPeerId));
    for (const [account, unit] of open.units) {
      if (present.has(account) || open.left.has(account) || isOut(unit) || isAccepted(unit)) continue;
      this.#part(open.round, account);
    }
  }

  /** Says once that the account has left the round. */
  #part(round: number, account: Account): void {
    const name = `${round} ${account}`;
    if (this.#leaving.has(name)) return;
    this.#leaving.add(name);
    this.#options.events.append({ kind: "RoundLeft", round, account });
  }

  /** The open round is committed: who is in its view then has voted. */
  get isCommitted(): boolean {
    return this.#options.coordinator()?.state.record.commit?.round === this.open?.round;
  }

  /** No round is open. */
  over(): void {
    this.#leaving.clear();
    this.#endHopeless();
  }

  /** Ends a run in which nothing can be checked. */
  #endHopeless(): void {
    const reason = nothingChecked(this.#state);
    if (reason !== null) this.#end(reason, "ERR_TIMEOUT");
  }
}
