/**
 * What each record does to the ledger's state. First all that can be refused is checked, then the changes are made in place,
 * which cannot fail: so a refused event leaves no trace.
 */
import { GradmeshError } from "../../base/errors.js";
import type { Account, EventBody, EventKind, Hash, LedgerEvent, LedgerRecord } from "../events.js";
import type { Rules } from "../replica.js";
import { stateDigest } from "./digest.js";
import * as disputes from "./disputes.js";
import type { Effect } from "./effect.js";
import { equivocationProven } from "./equivocation.js";
import { forcedErrorCommitted, forcedErrorRevealed } from "./forced.js";
import { accountOf, checkRoom, copyOf, refuse, termsOf, unitsOf } from "./lookup.js";
import { endContest, endPhase } from "./phases.js";
import { mature, rewardClaimed, sharesTransferred } from "./rewards.js";
import {
  ejected,
  manifestPublished,
  roundClosed,
  roundLeft,
  roundOpened,
  roundSkipped,
  sequencerOnly,
} from "./rounds.js";
import type { Change, Rule, Turn } from "./rule.js";
import * as stake from "./stake.js";
import { emptyState, type LedgerState } from "./state.js";
import { runCreated } from "./terms.js";
import { type Alarms, isDue, passTime } from "./time.js";
import { verdictCommitted, verdictRevealed, workCommitted, workRevealed } from "./work.js";

type Table = { readonly [Kind in Exclude<EventKind, "RunCreated">]: Rule<Kind> };

const rules: Table = {
  Deposited: stake.deposited,
  Registered: stake.registeredRule,
  Bonded: stake.bonded,
  UnbondRequested: stake.unbondRequested,
  Rebonded: stake.rebonded,
  Released: stake.released,
  Withdrawn: stake.withdrawn,
  Delegated: stake.delegated,
  Undelegated: stake.undelegated,
  CredentialAdded: stake.credentialAdded,
  RoundOpened: roundOpened,
  RoundSkipped: roundSkipped,
  WorkCommitted: workCommitted,
  WorkRevealed: workRevealed,
  RoundLeft: roundLeft,
  VerdictCommitted: verdictCommitted,
  VerdictRevealed: verdictRevealed,
  DisputeOpened: disputes.disputeOpened,
  Split: disputes.split,
  Picked: disputes.picked,
  TraceOpened: disputes.traceOpened,
  Settled: disputes.settled,
  ForcedErrorCommitted: forcedErrorCommitted,
  ForcedErrorRevealed: forcedErrorRevealed,
  RoundClosed: roundClosed,
  Ejected: ejected,
  EquivocationProven: equivocationProven,
  RewardClaimed: rewardClaimed,
  SharesTransferred: sharesTransferred,
  ManifestPublished: manifestPublished,
  Advanced: sequencerOnly,
  Snapshot: sequencerOnly,
};

const alarms: Alarms = {
  phase(state, { round: number, phase, at }, effects) {
    const round = state.rounds.get(number);
    // A void round is opened again under its number: the timers of the one before are not its own.
    if (round?.phase === phase && round.deadline === at) endPhase(state, round, at, effects);
  },
  contest(state, { round: number, at }, effects) {
    const round = state.rounds.get(number);
    if (round?.contestEnd === at) endContest(state, round, at, effects);
  },
  lock(state, { round: number, at }, effects) {
    const round = state.rounds.get(number);
    if (round !== undefined) for (const unit of unitsOf(round)) mature(state, round, unit, at, effects);
  },
  move(state, { dispute: id, moves, at }, effects) {
    const dispute = state.disputes.get(id);
    if (dispute?.moves === moves) disputes.endMove(state, dispute, at, effects);
  },
};

function changeOf(state: LedgerState, event: LedgerEvent, turn: Turn, ledgerId: Hash): Change {
  if (event.kind === "RunCreated") return runCreated(ledgerId)(state, event, turn);
  termsOf(state);
  const rule = rules[event.kind] as Rule<EventKind>;
  return rule(state, event as EventBody<EventKind>, turn);
}

/** What the event changes, at a time up to which the state has passed. */
function prepare(state: LedgerState, { author, nonce, event, time }: LedgerRecord, ledgerId: Hash): Change {
  const last = nonceOf(state, author);
  // It may leave some out: of an event that was refused its author never signs another, or that would be an equivocation.
  if (nonce <= last)
    refuse(`the nonce is ${nonce}; the last of ${author} is ${last}, and the next is larger`);
  checkRoom(state, author);
  const change = changeOf(state, event, { author, now: time }, ledgerId);
  return (effects) => {
    accountOf(state, author).nonce = nonce;
    change(effects);
  };
}

/** What is refused in here has changed nothing; an error in the changes themselves is no refusal. */
function refusable<Result>({ event, author }: LedgerRecord, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GradmeshError) || error.code === "ERR_INTERNAL") throw error;
    throw new GradmeshError("ERR_LEDGER", `${event.kind} by ${author} is refused: ${error.message}`, {
      cause: error,
    });
  }
}

function checkTime(state: LedgerState, time: number): void {
  if (!Number.isSafeInteger(time) || time < state.time)
    refuse(`its time is ${time}, and that of the record before ${state.time}`);
}

/**
 * Lets time pass to the record's, then does what its event says. Chain and signature are the caller's to check.
 * @throws ERR_LEDGER saying why the record is refused; the state is then as it was.
 */
export function apply(state: LedgerState, record: LedgerRecord, ledgerId: Hash): Effect[] {
  const { time } = record;
  const effects: Effect[] = [];
  if (isDue(state, time)) {
    // Whether the event is taken depends on what the time brings, so both are tried on a copy.
    refusable(record, () => {
      checkTime(state, time);
      const trial = copyOf(state);
      passTime(trial, time, alarms, []);
      prepare(trial, record, ledgerId);
    });
    passTime(state, time, alarms, effects);
  }
  const change = refusable(record, () => {
    checkTime(state, time);
    return prepare(state, record, ledgerId);
  });
  state.time = time;
  change(effects);
  return effects;
}

/** The nonce of the account's last event; 0 before its first. */
export function nonceOf(state: LedgerState, account: Account): bigint {
  return state.accounts.get(account)?.nonce ?? 0n;
}

/** The rules of a run, for a sequencer and its followers. */
export const runRules: Rules<LedgerState, Effect> = { emptyState, apply, nonceOf, stateDigest, isDue };
