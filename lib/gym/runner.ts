/** Runs arms in processes of their own, several at a time; finished ones are skipped, stopped ones go on. */
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ioError } from "../base/atomic-file.js";
import { type ErrorCode, errorCodes, GradmeshError } from "../base/errors.js";
import type { ArmPlan } from "./arms.js";
import { pretrainedPath, pretrainKey } from "./pretrain.js";
import { type ArmResult, checkSamePlan, readResult, resultPath, writeResult } from "./results.js";
import type { Job, Order, Progress, Report } from "./worker.js";

export type { Progress } from "./worker.js";

/** What whoever watches is told. */
export type GymEvent =
  | Progress
  | { readonly type: "skipped" | "started" | "done"; readonly name: string }
  | { readonly type: "failed"; readonly name: string; readonly reason: string };

export interface GymOptions {
  /** The results folder. */
  readonly folder: string;
  /** Arms at a time. */
  readonly jobs: number;
  /** Goes on with what the folder holds; without, a folder with results of these arms is refused. */
  readonly resume: boolean;
  readonly onEvent?: (event: GymEvent) => void;
  /** Stops all arms at their next boundary between rounds, each with a snapshot. */
  readonly signal?: AbortSignal;
  /** Wall time between two snapshots of an arm. Default: 15 s. */
  readonly snapshotSeconds?: number;
  /** Wall time between two writings of an arm's result. Default: 1 s. */
  readonly resultSeconds?: number;
}

const workerPath = fileURLToPath(new URL("./worker.js", import.meta.url));
const SNAPSHOT_SECONDS = 15;
const RESULT_SECONDS = 1;

const isCode = (code: string): code is ErrorCode => Object.hasOwn(errorCodes, code);

/** One job in a process of its own. @throws what the job threw; ERR_INTERNAL when the process died. */
function runJob(job: Job, onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(workerPath, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const order = (message: Order) => void (child.connected && child.send(message));
    const stop = () => order({ type: "stop" });
    let outcome: Exclude<Report, Progress> | null = null;
    signal?.addEventListener("abort", stop, { once: true });
    child.on("message", (report: Report) => {
      if (report.type === "progress") onProgress(report);
      else outcome = report;
    });
    child.once("error", reject);
    child.once("exit", (code, by) => {
      signal?.removeEventListener("abort", stop);
      if (outcome?.type === "done") resolve();
      else if (outcome?.type === "failed")
        reject(new GradmeshError(isCode(outcome.code) ? outcome.code : "ERR_INTERNAL", outcome.message));
      else
        reject(
          new GradmeshError(
            "ERR_INTERNAL",
            `the process of "${job.plan.name}" ended by ${by ?? `code ${code}`}`,
          ),
        );
    });
    order({ type: "job", job });
    if (signal?.aborted) stop();
  });
}

/** So many at a time; an error ends nothing but its own. */
async function inParallel<Item>(
  items: readonly Item[],
  jobs: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const lane = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, lane));
}

/** The arms that are not done yet. @throws ERR_CONFIG where results would be overwritten or are of another config. */
async function unfinished(plans: readonly ArmPlan[], options: GymOptions): Promise<ArmPlan[]> {
  const { folder, resume, onEvent } = options;
  const left: ArmPlan[] = [];
  for (const plan of plans) {
    const result = await readResult(folder, plan.name);
    if (result !== null && !resume)
      throw new GradmeshError(
        "ERR_CONFIG",
        `${resultPath(folder, plan.name)} is there already; add --resume to go on, or give another --out`,
      );
    if (result !== null) checkSamePlan(result, plan, folder);
    if (result?.state === "done") onEvent?.({ type: "skipped", name: plan.name });
    else left.push(plan);
  }
  return left;
}

/** What a failed arm had come to stays in its file, with the reason. */
async function noteFailure(folder: string, plan: ArmPlan, reason: string): Promise<void> {
  const result = await readResult(folder, plan.name);
  if (result !== null && result.state !== "done")
    await writeResult(folder, { ...result, state: "failed", error: reason });
}

type JobOf = (plan: ArmPlan, kind: Job["kind"]) => Job;

/** Once for all arms that start from the same state. */
async function pretrainAll(plans: readonly ArmPlan[], options: GymOptions, jobOf: JobOf): Promise<void> {
  const { folder, jobs, onEvent, signal } = options;
  const needed = Map.groupBy(
    plans.filter((plan) => plan.pretrainSteps > 0 && !existsSync(pretrainedPath(folder, plan))),
    pretrainKey,
  );
  const firsts = [...needed.values()].map(([plan]) => plan!);
  await inParallel(firsts, jobs, (plan) =>
    runJob(jobOf(plan, "pretrain"), (event) => onEvent?.(event), signal),
  );
}

/**
 * Runs all arms; their results lie in the folder, one JSON file each, and are returned in the arms' order.
 * @throws ERR_CONFIG for a folder with other results; the first arm's error, once all others are done; the signal's reason.
 */
export async function runGym(plans: readonly ArmPlan[], options: GymOptions): Promise<ArmResult[]> {
  const { folder, jobs, onEvent, signal } = options;
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw ioError("make", folder, error);
  }
  const { snapshotSeconds = SNAPSHOT_SECONDS, resultSeconds = RESULT_SECONDS } = options;
  const jobOf = (plan: ArmPlan, kind: Job["kind"]): Job => ({
    kind,
    plan,
    folder,
    base: process.cwd(),
    snapshotSeconds,
    resultSeconds,
  });
  const left = await unfinished(plans, options);
  await pretrainAll(left, options, jobOf);
  const failures: unknown[] = [];
  await inParallel(left, jobs, async (plan) => {
    if (signal?.aborted) return;
    onEvent?.({ type: "started", name: plan.name });
    try {
      await runJob(jobOf(plan, "arm"), (progress) => onEvent?.(progress), signal);
      onEvent?.({ type: "done", name: plan.name });
    } catch (error) {
      if (signal?.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      await noteFailure(folder, plan, reason);
      failures.push(error);
      onEvent?.({ type: "failed", name: plan.name, reason });
    }
  });
  signal?.throwIfAborted();
  if (failures.length > 0) throw failures[0];
  return readResults(plans, folder);
}

/** The results of these arms that are there, in their order. */
export async function readResults(plans: readonly ArmPlan[], folder: string): Promise<ArmResult[]> {
  const results = await Promise.all(plans.map(({ name }) => readResult(folder, name)));
  return results.filter((result) => result !== null);
}
