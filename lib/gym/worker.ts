/** A process of the gym's own that runs one job for its parent: an arm, or a pre-training. */
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import { runArm } from "./arm.js";
import type { ArmPlan } from "./arms.js";
import type { Cluster } from "./cluster.js";
import { loadPretrained, pretrain, pretrainKey, savePretrained } from "./pretrain.js";
import { type ArmResult, readResult, writeResult } from "./results.js";
import { dropSnapshot, loadSnapshot, saveSnapshot } from "./snapshot.js";

export interface Job {
  readonly kind: "arm" | "pretrain";
  readonly plan: ArmPlan;
  /** The results folder. */
  readonly folder: string;
  /** What a relative trainer module is relative to. */
  readonly base: string;
  /** At least so long between two snapshots, and between two writings of the result. */
  readonly snapshotSeconds: number;
  readonly resultSeconds: number;
}

/** From the parent. */
export type Order = { readonly type: "job"; readonly job: Job } | { readonly type: "stop" };

/** To the parent. */
export type Progress = {
  readonly type: "progress";
  readonly name: string;
  readonly done: number;
  readonly total: number;
  /** Rounds, or inner steps of a pre-training. */
  readonly unit: "rounds" | "steps";
  /** Of the last evaluation, in nats; null before the first. */
  readonly loss: number | null;
  /** Virtual. */
  readonly seconds: number;
};
export type Report =
  | Progress
  | { readonly type: "done" }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

type Tell = (progress: Progress) => void;

/** Steps of a pre-training between two progress messages. */
const PRETRAIN_NEWS_STEPS = 10;

async function runPretraining({ plan, folder, base }: Job, tell: Tell, signal: AbortSignal): Promise<void> {
  const name = `pre-training ${pretrainKey(plan)}`;
  const total = plan.pretrainSteps;
  const onStep = (done: number) => {
    if (done % PRETRAIN_NEWS_STEPS === 0 || done === total)
      tell({ type: "progress", name, done, total, unit: "steps", loss: null, seconds: 0 });
  };
  await savePretrained(folder, plan, await pretrain(plan, { folder: base, onStep, signal }));
}

/** Writes result and snapshot now and then: the result first, so that a snapshot's rounds are always in it. */
class Keeper {
  readonly #job: Job;
  #resultAt = performance.now();
  #snapshotAt = performance.now();

  constructor(job: Job) {
    this.#job = job;
  }

  async keep(result: ArmResult, cluster: Cluster, stopping: boolean): Promise<void> {
    const { folder, plan, snapshotSeconds, resultSeconds } = this.#job;
    const now = performance.now();
    const snapshotDue = stopping || now - this.#snapshotAt >= 1000 * snapshotSeconds;
    const snapshots = snapshotDue && cluster.settled;
    if (snapshots || now - this.#resultAt >= 1000 * resultSeconds) {
      await writeResult(folder, result);
      this.#resultAt = now;
    }
    if (!snapshots) return;
    await saveSnapshot(folder, plan.name, cluster, plan.digest);
    this.#snapshotAt = now;
  }
}

async function runOne(job: Job, tell: Tell, signal: AbortSignal): Promise<void> {
  const { plan, folder, base } = job;
  const { name, digest, rounds: total } = plan;
  const keeper = new Keeper(job);
  const initial = plan.pretrainSteps > 0 ? await loadPretrained(folder, plan, base) : null;
  if (plan.pretrainSteps > 0 && initial === null)
    throw new GradmeshError("ERR_INTERNAL", `the pre-training of "${name}" left no state in ${folder}`);
  let loss: number | null = null;
  const { result } = await runArm(plan, {
    folder: base,
    signal,
    ...(initial === null ? {} : { initial }),
    resume: async (cluster, maker) => {
      const earlier = await readResult(folder, name);
      if (earlier === null || earlier.digest !== digest) return null;
      return (await loadSnapshot(folder, name, cluster, maker, digest)) ? earlier : null;
    },
    onRound: async (row, soFar, cluster) => {
      loss = row.validation?.loss ?? loss;
      tell({ type: "progress", name, done: row.round, total, unit: "rounds", loss, seconds: row.seconds });
      await keeper.keep(soFar, cluster, signal.aborted);
    },
  });
  await writeResult(folder, result);
  await dropSnapshot(folder, name);
}

function serve(): void {
  const stop = new AbortController();
  const tell: Tell = (progress) => void process.send?.(progress);
  const end = (report: Report) => void process.send?.(report, undefined, {}, () => process.exit(0));
  // Ctrl-C reaches all processes of a terminal: the parent says what it means.
  process.on("SIGINT", () => {});
  // The parent is gone, however it went.
  process.once("disconnect", () => process.exit(1));
  process.on("message", (order: Order) => {
    if (order.type === "stop") {
      stop.abort(new GradmeshError("ERR_ABORTED", "stopped"));
      return;
    }
    const { job } = order;
    const work = job.kind === "arm" ? runOne : runPretraining;
    work(job, tell, stop.signal).then(
      () => end({ type: "done" }),
      (error: unknown) => {
        const { code, message } = asGradmeshError(error);
        end({ type: "failed", code, message });
      },
    );
  });
}

serve();
