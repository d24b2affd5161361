/** What an arm came to, as JSON in the results folder: a row for each round, written as it goes on. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import type { ArmPlan } from "./arms.js";
import type { Worth } from "./evaluate.js";
import type { PeerEvent, RoundReport } from "./round-report.js";

export interface ResultRow extends Omit<RoundReport, "events"> {
  /** Inner steps of each peer, the pre-training's not among them. */
  readonly step: number;
  /** Null where the round was not evaluated. */
  readonly validation: Worth | null;
}

/** At the start, before the first round. */
export interface ResultStart {
  readonly validation: Worth;
  /** As a run's peers that have the same config begin. */
  readonly digest: string;
}

/** All of an arm but the time it took: the same whenever and however often it is run. */
export interface ArmResult {
  readonly format: typeof FORMAT;
  readonly name: string;
  readonly arm: string;
  /** The plan's. */
  readonly digest: string;
  readonly seed: number;
  readonly strategies: readonly string[];
  readonly peers: number;
  readonly parameters: number;
  readonly roundSteps: number;
  readonly rounds: number;
  readonly pretrainSteps: number;
  /** What a peer sends for each inner step by the strategies' own formulas, the mean over the ranks, without framing: bytes. */
  readonly costBytesPerStep: number | null;
  readonly state: "running" | "done" | "failed";
  /** Why it failed; empty where it has not. */
  readonly error: string;
  readonly start: ResultStart | null;
  readonly rows: readonly ResultRow[];
  readonly events: readonly PeerEvent[];
}

export const FORMAT = "gradmesh-gym-1";

/** Only what tells whose file it is; the rest is our own. */
const head = z.looseObject({ format: z.literal(FORMAT), digest: z.string(), state: z.string() });

export const resultPath = (folder: string, name: string): string => join(folder, `${name}.json`);

/** The result of the file, or null where there is none. @throws ERR_CHECKPOINT for a file that is no result. */
export async function readResult(folder: string, name: string): Promise<ArmResult | null> {
  const path = resultPath(folder, name);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    const json: unknown = JSON.parse(text);
    head.parse(json);
    return json as ArmResult;
  } catch (cause) {
    throw new GradmeshError(
      "ERR_CHECKPOINT",
      `${path} is no result of the gym; delete it, or give another --out`,
      {
        cause,
      },
    );
  }
}

export async function writeResult(folder: string, result: ArmResult): Promise<void> {
  await writeFileAtomic(resultPath(folder, result.name), `${JSON.stringify(result)}\n`);
}

/** A result that was of another plan under the same name would be taken for this one's. @throws ERR_CONFIG. */
export function checkSamePlan(result: ArmResult, plan: ArmPlan, folder: string): void {
  if (result.digest === plan.digest) return;
  throw new GradmeshError(
    "ERR_CONFIG",
    `${resultPath(folder, plan.name)} is of another config of arm "${plan.name}"; give another --out, or delete the file`,
  );
}

/** What a finished or running arm has come to so far. */
export interface ArmSummary {
  /** Of the last evaluation, in nats. */
  readonly loss: number;
  readonly accuracy: number | null;
  readonly steps: number;
  /** Virtual. */
  readonly seconds: number;
  /** Mean over the members of what one sends for each inner step, everything counted. */
  readonly bytesPerStep: number;
  /** Of it what is not payload: framing, broken attempts, state for peers that came. */
  readonly overheadPerStep: number;
  readonly computeShare: number;
  readonly digest: string;
}

/** Bytes that one member sent in a round, on average: all, and what of it is not payload. */
export function sentBy({ bytes, members }: Pick<ResultRow, "bytes" | "members">): {
  all: number;
  overhead: number;
} {
  const overhead = bytes.framing + bytes.retried + bytes.state;
  return { all: (bytes.payload + overhead) / members, overhead: overhead / members };
}

export function summarize({ rows, start, roundSteps }: ArmResult): ArmSummary {
  const evaluated = rows.findLast(({ validation }) => validation !== null)?.validation ?? start?.validation;
  const last = rows.at(-1);
  const steps = rows.length * roundSteps;
  const sum = (of: (row: ResultRow) => number) => rows.reduce((total, row) => total + of(row), 0);
  const perStep = (total: number) => (steps === 0 ? 0 : total / steps);
  return {
    loss: evaluated?.loss ?? Number.NaN,
    accuracy: evaluated?.accuracy ?? null,
    steps,
    seconds: last?.seconds ?? 0,
    bytesPerStep: perStep(sum((row) => sentBy(row).all)),
    overheadPerStep: perStep(sum((row) => sentBy(row).overhead)),
    computeShare: last?.computeShare ?? 1,
    digest: last?.digest ?? start?.digest ?? "",
  };
}
