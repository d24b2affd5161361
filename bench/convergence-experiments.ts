/** Experiments on the outcomes of one comparison: what each must show beside the anchors of the same job, and whether it did. */
import type { Experiment } from "./convergence-checks.js";
import type { Outcome } from "./convergence-outcomes.js";
import { laterRows } from "./convergence-rows-later.js";
import { scratchRows } from "./convergence-rows-scratch.js";
import { sparseRows } from "./convergence-rows-sparse.js";

/** What a test proves without training a model. */
export interface Proven {
  readonly id: string;
  readonly starred: boolean;
  readonly title: string;
  /** The files, or why there is none. */
  readonly by: string;
}

export type Verdict = "pass" | "fail" | "not reproduced" | "not run";

export interface Judged {
  readonly experiment: Experiment;
  readonly verdict: Verdict;
  readonly found: string;
}

/** Proven elsewhere, with the numbers of the list of experiments; the rest of its rows are other methods' (pipelines). */
export const proven: readonly Proven[] = [
  {
    id: "8",
    starred: false,
    title: "coding again at every hop beside summing exactly",
    by: "npm run bench -- codec --error; test/bench/codec.test.ts",
  },
  {
    id: "12",
    starred: true,
    title: "error feedback loses nothing",
    by: "test/native/codec/feedback.cpp, test/engine/powersgd.test.ts",
  },
  {
    id: "29",
    starred: true,
    title: "rounds until graphs have mixed",
    by: "npm run bench -- mixing; test/native/topology, test/bench/mixing.test.ts",
  },
  {
    id: "30",
    starred: false,
    title: "a ring beside one-peer exponential",
    by: "row graphs of this table, on the GPT",
  },
  {
    id: "31-33",
    starred: false,
    title: "pipeline parallel training",
    by: "none: not part of data parallel strategies",
  },
  {
    id: "35",
    starred: false,
    title: "masked sums",
    by: "none: secure aggregation is not built; sums of exact codecs are, test/native/codec/int_block_mean.cpp",
  },
  { id: "36", starred: true, title: "golden trajectories", by: "test/compliance/trajectories.test.ts" },
  {
    id: "8.4",
    starred: true,
    title: "equivalences of degenerate cases",
    by: "test/compliance/equivalences.test.ts",
  },
];

export const experiments: readonly Experiment[] = [...scratchRows, ...sparseRows, ...laterRows];

/** @param failed why arms that did not finish did not, by name. */
export function judge(
  experiment: Experiment,
  outcomes: readonly Outcome[],
  failed: ReadonlyMap<string, string>,
  short: boolean,
): Judged {
  const broken = experiment.arms.find((arm) => failed.has(arm));
  if (broken !== undefined) return { experiment, verdict: "fail", found: `${broken}: ${failed.get(broken)}` };
  const byName = new Map(outcomes.map((one) => [`${one.phase}.${one.name}`, one]));
  const missing = experiment.arms.filter((arm) => !byName.has(arm));
  if (missing.length > 0) return { experiment, verdict: "not run", found: `without ${missing.join(", ")}` };
  const outcome = (arm: string): Outcome => {
    const found = byName.get(arm);
    if (found === undefined) throw new RangeError(`experiment ${experiment.id} does not name arm ${arm}`);
    return found;
  };
  const checks = experiment.judge({
    outcome,
    loss: (arm) => outcome(arm).loss,
    gap: (arm) => outcome(arm).gap ?? Number.NaN,
    all: outcomes,
    short,
  });
  const missed: Verdict = experiment.theirs ? "not reproduced" : "fail";
  return {
    experiment,
    verdict: checks.every(({ holds }) => holds) ? "pass" : missed,
    found: checks.map((check) => `${check.found}${check.holds ? "" : " !"}`).join("; "),
  };
}
