/** The GPT as a trainer of one's own that fails, or is slow, on one shard at one step, or counts what its process holds. */
import { appendFileSync, readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { createTrainer as createGpt } from "../../lib/trainer/gpt.js";
import type { Trainer, TrainerContext } from "../../lib/trainer/trainer.js";

interface OddOptions {
  gpt: unknown;
  /** What goes wrong in the step of this number on this shard. */
  fault?: { shard: number; step: number; kind: "throw" | "nan" | "slow" };
  /** A pause in each step, so that a round takes some time. */
  pauseMs?: number;
  /** Where shard 0 adds a line to at each evaluation: what its process holds. */
  census?: string;
}

/** What a process holds beside its memory. */
export interface Census {
  handles: number;
  files: number;
  residentBytes: number;
}

/** How much longer a slow step takes. */
const SLOW_MS = 3000;

function census(): Census {
  return {
    handles: process.getActiveResourcesInfo().length,
    files: readdirSync("/proc/self/fd").length,
    residentBytes: process.memoryUsage.rss(),
  };
}

export async function createTrainer(context: TrainerContext): Promise<Trainer> {
  const { gpt, fault, pauseMs = 0, census: path } = context.options as OddOptions;
  const trainer = await createGpt({ ...context, options: gpt });
  const { gradients, samples } = trainer;
  return {
    layout: trainer.layout,
    parameters: trainer.parameters,
    innerState: trainer.innerState,
    fingerprint: trainer.fingerprint,
    async step(at) {
      const faulty = fault?.shard === context.shard && fault.step === at.step;
      if (faulty && fault.kind === "throw") throw new Error("the data of this shard cannot be read");
      if (pauseMs > 0) await delay(pauseMs);
      if (faulty && fault.kind === "slow") await delay(SLOW_MS);
      const result = await trainer.step(at);
      if (faulty && fault.kind === "nan") trainer.parameters[3] = Number.NaN;
      return result;
    },
    gradients,
    samples,
    async gradient(at) {
      if (pauseMs > 0) await delay(pauseMs);
      return trainer.gradient(at);
    },
    update: (at) => trainer.update(at),
    async evaluate(signal) {
      if (path !== undefined && context.shard === 0) appendFileSync(path, `${JSON.stringify(census())}\n`);
      return trainer.evaluate(signal);
    },
    parametersChanged: () => trainer.parametersChanged?.(),
    close: () => trainer.close(),
  };
}
