/** What must hold of a cell, from what was observed: pure. */
import type { Ended } from "./peer.js";
import type { Plan } from "./plan.js";
import type { Cell } from "./table.js";

/** What slow scheduling may add to a stated bound before a test fails. */
export const SLACK_MS = 2000;

export interface Observed {
  /** When the fault struck, in nanoseconds; null where it did not. */
  readonly struckAt: number | null;
  /** Undisturbed, of all ranks in order. */
  readonly whole: readonly Ended[];
  /** Undisturbed, of the survivors alone; absent in mode salvage, whose result is no such one. */
  readonly alone?: readonly Ended[];
  /** The operation in which the fault struck, of the survivors; `victim` of one that lived to tell. */
  readonly survivors: readonly Ended[];
  readonly victim?: Ended | undefined;
  /** The next operation, of the survivors. */
  readonly next: readonly Ended[];
  /** With everybody again. */
  readonly again?: readonly Ended[];
  /** Mode salvage: the share of the elements that holds the result of all ranks. */
  readonly kept?: number;
  /** What was wrong while it ran and when all was closed: leaks, and parts that were salvaged wrongly. */
  readonly problems: readonly string[];
}

/** failed: all with the same error; well: all with the same bytes; split: some so, some so (Fault.ofLink). */
export type Outcome = "failed" | "well" | "split";

export interface Verdict {
  readonly outcome: Outcome;
  /** From the fault until the last survivor had its error; null where none had. */
  readonly seenMs: number | null;
  /** From there until the last survivor had the next result. */
  readonly nextMs: number | null;
  readonly kept: number | null;
  readonly problems: string[];
}

const ok = ({ code }: Ended) => code === "ok";
const last = (ends: readonly Ended[]) => Math.max(...ends.map(({ at }) => at));

function outcomeOf(survivors: readonly Ended[]): Outcome {
  if (survivors.every(ok)) return "well";
  return survivors.some(ok) ? "split" : "failed";
}

/** Those of `ends` that succeeded hold the bytes of `due`, by rank. */
function wrongBytes(what: string, ends: readonly (Ended | undefined)[], due: readonly Ended[]): string[] {
  return ends.flatMap((end, at) =>
    end && ok(end) && end.digest !== due[at]!.digest
      ? [`${what}: rank ${at} has ${end.digest}, due ${due[at]!.digest}`]
      : [],
  );
}

function mustSucceed(what: string, ends: readonly Ended[]): string[] {
  return ends.flatMap((end, at) => (ok(end) ? [] : [`${what}: rank ${at}: ${end.code}, ${end.message}`]));
}

/** The error of every survivor that failed is the same type, and names a victim. */
function wrongErrors(cell: Cell, plan: Plan, survivors: readonly Ended[]): string[] {
  const { fault } = cell;
  const named = fault.ofLink ? [...plan.victims, plan.other] : plan.victims;
  const failed = survivors.filter((end) => !ok(end));
  const problems = failed.flatMap(({ code, lost, message }) =>
    code === "peer_lost" && named.includes(lost) ? [] : [`error ${code} of peer ${lost}: ${message}`],
  );
  if (fault.ends === "well") problems.push(...mustSucceed("disturbed", survivors));
  if (!fault.ofLink && !fault.second && new Set(failed.map(({ lost }) => lost)).size > 1)
    problems.push(`survivors name different peers: ${failed.map(({ lost }) => lost)}`);
  // A victim may have been the first to see it, and the one that told.
  const told = (message = "") =>
    fault.says?.test(message) || plan.victims.some((victim) => message.endsWith(`says rank ${victim}`));
  if (fault.says && failed.length > 0 && !failed.some(({ message }) => told(message)))
    problems.push(`nobody says why: ${failed[0]!.message}`);
  return problems;
}

/** @param seesMs what the place adds to the stated bound, a round trip. */
export function judge(cell: Cell, plan: Plan, observed: Observed, seesMs = 0): Verdict {
  const { fault } = cell;
  const { struckAt, whole, alone, survivors, victim, next, again } = observed;
  const outcome = outcomeOf(survivors);
  const problems = [...observed.problems];
  if (struckAt === null) problems.push("the fault did not strike");
  if (outcome === "split" && !fault.ofLink) problems.push("some survivors succeeded and some failed");
  problems.push(...mustSucceed("undisturbed", whole), ...wrongErrors(cell, plan, survivors));
  const dueOf = (peers: readonly number[]) => peers.map((peer) => whole[peer]!);
  problems.push(...wrongBytes("disturbed", survivors, dueOf(plan.survivors)));
  if (victim) {
    problems.push(...wrongBytes("the victim", [victim], dueOf(plan.victims)));
    if (!ok(victim) && (fault.ends === "well" || victim.code !== "peer_lost"))
      problems.push(`the victim ends with ${victim.code}, ${victim.message}`);
  }
  problems.push(...mustSucceed("next", next));
  if (alone) problems.push(...mustSucceed("alone", alone), ...wrongBytes("next", next, alone));
  if (again) problems.push(...mustSucceed("again", again), ...wrongBytes("again", again, whole));
  if (cell.algorithm.alike && new Set(next.map(({ digest }) => digest)).size > 1)
    problems.push("next: the survivors hold different bytes");
  for (const end of [...survivors, ...(victim ? [victim] : [])])
    if (!end.inputIntact) problems.push("an input was changed");
  const failed = survivors.filter((end) => !ok(end));
  const seenMs = failed.length === 0 || struckAt === null ? null : (last(failed) - struckAt) / 1e6;
  if (seenMs !== null && seenMs > fault.boundMs + seesMs + SLACK_MS)
    problems.push(`seen after ${seenMs.toFixed(0)} ms; the bound is ${fault.boundMs}`);
  const nextMs = next.length > 0 ? (last(next) - last(survivors)) / 1e6 : null;
  return { outcome, seenMs, nextMs, kept: observed.kept ?? null, problems };
}
