/** What a verified run's ledger says of its rounds, once the whole ledger was checked: all that a replay of the run needs. */
import { audit } from "../ledger/audit.js";
import type { Account, Hash, LedgerRecord } from "../ledger/events.js";
import { faultOf, withSource } from "../ledger/file.js";
import { runRules } from "../ledger/rules/apply.js";
import type { Effect } from "../ledger/rules/effect.js";
import {
  type LedgerState,
  POOL,
  type RoundState,
  type Terms,
  type Unit,
  type UnitStatus,
} from "../ledger/rules/state.js";
import { verdicts } from "../verify/replay.js";

/** A worker's unit of a round, as it stood when the round was closed. */
export interface LedgerUnit {
  readonly worker: Account;
  readonly shard: number;
  readonly status: UnitStatus;
  /** Null where the worker has revealed nothing. */
  readonly revealed: {
    readonly root: Hash;
    /** Leaves of its tree that are known, by number: of H steps 0, H and H + 1, and those that a verifier came to as well. */
    readonly leaves: ReadonlyMap<number, Hash>;
  } | null;
}

export interface LedgerRound {
  /** From 0. */
  readonly round: number;
  readonly beacon: Hash;
  /** In the order of the round's workers. */
  readonly units: readonly LedgerUnit[];
  /** Whose contributions were aggregated, in the order of their ranks. */
  readonly aggregated: readonly Account[];
  /** Digests of the aggregate, of the parameters after it (null: not told), and of all that peers share then. */
  readonly result: Hash;
  readonly parameters: Hash | null;
  readonly state: Hash;
}

export interface RunHistory {
  readonly ledgerId: Hash;
  readonly records: number;
  readonly terms: Terms;
  /** Those that were closed, in their order. */
  readonly rounds: readonly LedgerRound[];
}

function revealedOf(
  { worker, revealed }: Unit,
  { checks }: RoundState,
  steps: number,
): LedgerUnit["revealed"] {
  if (revealed === null) return null;
  const { root, before, after, contribution } = revealed;
  const leaves = new Map([
    [0, before],
    [steps, after],
    [steps + 1, contribution],
  ]);
  for (const check of checks)
    if (check.worker === worker && check.verdict === verdicts.accept && !leaves.has(check.transition))
      leaves.set(check.transition, check.digest!);
  return { root, leaves };
}

function closedRound(found: RoundState, parameters: Hash, steps: number): LedgerRound {
  const { round, beacon, workers, shards, units, closed } = found;
  return {
    round,
    beacon,
    units: workers.map((worker, index) => {
      const unit = units.get(worker)!;
      const revealed = revealedOf(unit, found, steps);
      return { worker, shard: shards[index]!, status: unit.status, revealed };
    }),
    ...closed!,
    parameters: parameters === POOL ? null : parameters,
  };
}

/**
 * Audits the ledger and gives its rounds.
 * @throws ERR_LEDGER naming the record where it does not hold; ERR_IO; the signal's reason.
 */
export async function readHistory(path: string, signal?: AbortSignal): Promise<RunHistory> {
  const rounds: LedgerRound[] = [];
  const onRecord = ({ event }: LedgerRecord, _effects: readonly Effect[], state: LedgerState) => {
    if (event.kind === "RoundClosed")
      rounds.push(closedRound(state.rounds.get(event.round)!, event.parameters, state.terms!.unitSteps));
  };
  const options = { rules: runRules, onRecord, ...(signal === undefined ? {} : { signal }) };
  const report = await withSource(path, (source) => audit<LedgerState, Effect>(source, options));
  const fault = faultOf(path, report);
  if (fault !== null) throw fault;
  const { ledgerId, count, state } = report;
  return { ledgerId, records: count, terms: state.terms!, rounds };
}
