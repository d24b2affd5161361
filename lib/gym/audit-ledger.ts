/** What a verified run's ledger says of its rounds, once the whole ledger was checked: all that a replay of the run needs. */
import { audit } from "../ledger/audit.js";
import type { Account, Hash, LedgerEvent, LedgerRecord } from "../ledger/events.js";
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
  /** Whether a verifier found it wrong. */
  readonly accused: boolean;
  /** Null where the worker has revealed nothing. */
  readonly revealed: RevealedUnit | null;
}

/** What is known of a unit's tree; its leaves by number. */
export interface RevealedUnit {
  readonly root: Hash;
  /** The worker's own words: of H steps the leaves 0, H and H + 1. */
  readonly said: ReadonlyMap<number, Hash>;
  /** Of other leaves, what a verifier says that it came to and accepted: a liar's word may be among them. */
  readonly told: ReadonlyMap<number, Hash>;
}

/** One opening of a round: who was to do which work. */
export interface LedgerOpening {
  readonly beacon: Hash;
  /** In the order of the round's workers. */
  readonly units: readonly LedgerUnit[];
}

export interface LedgerRound extends LedgerOpening {
  /** From 0. */
  readonly round: number;
  /** Openings of the round before this one, in their order, to which all workers were lost; the inner states of those who had revealed by then have moved on. */
  readonly voided: readonly LedgerOpening[];
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
  /** Those that were closed, in their order; a void one is part of the round that it was opened again as. */
  readonly rounds: readonly LedgerRound[];
}

/** @param steps of a unit, H. */
export function revealedOf(
  { worker, revealed }: Unit,
  { checks }: RoundState,
  steps: number,
): RevealedUnit | null {
  if (revealed === null) return null;
  const { root, before, after, contribution } = revealed;
  const said = new Map([
    [0, before],
    [steps, after],
    [steps + 1, contribution],
  ]);
  const told = new Map<number, Hash>();
  for (const check of checks)
    if (check.worker === worker && check.verdict === verdicts.accept && !said.has(check.transition))
      told.set(check.transition, check.digest!);
  return { root, said, told };
}

function openingOf(found: RoundState, steps: number): LedgerOpening {
  const { beacon, workers, shards, units } = found;
  return {
    beacon,
    units: workers.map((worker, index) => {
      const unit = units.get(worker)!;
      return {
        worker,
        shard: shards[index]!,
        status: unit.status,
        accused: found.checks.some((check) => check.worker === worker && check.verdict === verdicts.hard),
        revealed: revealedOf(unit, found, steps),
      };
    }),
  };
}

/** Gathers rounds from records as they are applied. */
class RoundReader {
  readonly rounds: LedgerRound[] = [];
  /** The last that was opened: the rules forget a void round as it is closed. */
  #open: RoundState | null = null;
  #voided: LedgerOpening[] = [];

  /** @param state after the event. */
  take(event: LedgerEvent, { rounds, nextRound, terms }: LedgerState): void {
    if (event.kind === "RoundOpened" || event.kind === "RoundSkipped") this.#open = rounds.get(event.round)!;
    if (event.kind !== "RoundClosed") return;
    const { round, parameters } = event;
    const open = this.#open!;
    const opening = openingOf(open, terms!.unitSteps);
    if (nextRound === round) {
      this.#voided.push(opening);
      return;
    }
    this.rounds.push({
      ...opening,
      round,
      voided: this.#voided,
      ...open.closed!,
      parameters: parameters === POOL ? null : parameters,
    });
    this.#voided = [];
  }
}

/**
 * Audits the ledger and gives its rounds.
 * @throws ERR_LEDGER naming the record where it does not hold; ERR_IO; the signal's reason.
 */
export async function readHistory(path: string, signal?: AbortSignal): Promise<RunHistory> {
  const reader = new RoundReader();
  const onRecord = ({ event }: LedgerRecord, _effects: readonly Effect[], state: LedgerState) =>
    reader.take(event, state);
  const options = { rules: runRules, onRecord, ...(signal === undefined ? {} : { signal }) };
  const report = await withSource(path, (source) => audit<LedgerState, Effect>(source, options));
  const fault = faultOf(path, report);
  if (fault !== null) throw fault;
  const { ledgerId, count, state } = report;
  return { ledgerId, records: count, terms: state.terms!, rounds: reader.rounds };
}
