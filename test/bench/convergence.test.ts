/** The comparison of strategies without training: its arms and experiments as data, what it makes of results, its report. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { entriesOf, plansOf, run } from "../../bench/convergence.js";
import { allArms } from "../../bench/convergence-arms.js";
import { atLeast, type Experiment } from "../../bench/convergence-checks.js";
import { experiments, judge } from "../../bench/convergence-experiments.js";
import { formOf } from "../../bench/convergence-forms.js";
import { bytesBothWays, frontierOf, type Outcome, outcomesOf } from "../../bench/convergence-outcomes.js";
import { convergencePlot } from "../../bench/convergence-plot.js";
import { armName, type Entry } from "../../bench/convergence-recipes.js";
import { markdownReport } from "../../bench/convergence-report.js";
import { drawPlot } from "../../bench/scale-plot.js";
import type { ArmResult } from "../../lib/gym/results.js";
import { strategies } from "../../lib/strategy/registry.js";
import { failure } from "../failure.js";

const full = formOf("full", null);
const short = formOf("short", null);
const domains = ["easy.txt", "novel.txt"];

test("every arm can be planned, every strategy is among those of all seeds, and every experiment names arms that are", () => {
  const entries = allArms(full, domains);
  const names = entries.map(armName);
  assert.is(new Set(names).size, names.length);
  assert.is(
    plansOf(entries, full).length,
    entries.reduce((sum, { every }) => sum + (every ? 3 : 1), 0),
  );
  const used = entries.filter(({ every }) => every).flatMap(({ strategy }) => [strategy].flat());
  const known = new Set(used.map((section) => (section as { name?: string }).name));
  for (const name of Object.keys(strategies)) assert.ok(known.has(name) || name === "frontier", name);
  assert.ok(used.some((section) => (section as { preset?: string }).preset === "frontier"));
  assert.is(new Set(experiments.map(({ id }) => id)).size, experiments.length);
  for (const { id, arms } of experiments)
    for (const arm of arms) assert.ok(names.includes(arm), `${id}: ${arm}`);
});

test("the short form has what the starred experiments need, and arms of a phase take equally many steps", () => {
  const names = entriesOf(short, [], domains).map(armName);
  for (const { starred, arms } of experiments)
    if (starred) for (const arm of arms) assert.ok(names.includes(arm), arm);
  for (const form of [full, short])
    for (const { arm, rounds, roundSteps, pretrainSteps } of plansOf(entriesOf(form, [], domains), form)) {
      const phase = form.phases[arm.split(".")[0] as keyof typeof form.phases];
      assert.equal([rounds * roundSteps, pretrainSteps], [phase.steps, phase.pretrainSteps], arm);
    }
});

const entry = (name: string, phase: Entry["phase"] = "scratch"): Entry => ({
  phase,
  name,
  strategy: {},
  every: true,
});

/** A result of two rounds of 10 steps and 2 members, which sent so much payload in each round, all together. */
function result(arm: string, seed: number, loss: number, payload: number): ArmResult {
  const row = (round: number) => ({
    round,
    step: 10 * round,
    members: 2,
    trainLoss: 3,
    seconds: round,
    computeShare: 1,
    bytes: { payload, framing: 40, received: payload, retried: 0, state: 0, most: payload },
    digest: `${arm} ${seed}`,
    events: [],
    validation: round === 2 ? { loss } : null,
  });
  const head = {
    format: "gradmesh-gym-1",
    digest: "",
    state: "done",
    error: "",
    start: null,
    events: [],
  } as const;
  return {
    ...head,
    ...{ name: `${arm}.seed-${seed}`, arm, seed, strategies: ["ddp"], peers: 2, parameters: 100 },
    ...{ roundSteps: 10, rounds: 2, pretrainSteps: 0, costBytesPerStep: payload / 20 },
    rows: [row(1), row(2)],
  } as ArmResult;
}

const outcomes = outcomesOf(
  [entry("single"), entry("ddp"), entry("diloco"), entry("worse")],
  [
    ...[1, 2].map((seed) => result("scratch.single", seed, 3, 0)),
    ...[1, 2].map((seed) => result("scratch.ddp", seed, 2 - 0.1 * seed, 20_000)),
    ...[1, 2].map((seed) => result("scratch.diloco", seed, 2.1, 2_000)),
    result("scratch.worse", 1, 2.4, 4_000),
  ],
);
const find = (name: string) => outcomes.find((one) => one.name === name)!;
const near = (value: number | null, expected: number) =>
  assert.ok(value !== null && Math.abs(value - expected) < 1e-9, `${value} is not ${expected}`);

test("losses are means over the seeds, beside the anchors of the same seed; bytes are counted both ways with overhead", () => {
  const { loss, spread, gap, relative, fewer, bytes } = find("diloco");
  near(loss, 2.1);
  near(spread, 0);
  near(find("ddp").loss, 1.85);
  near(find("ddp").spread, 0.05);
  near(gap, (0.9 / 1.1 + 0.9 / 1.2) / 2);
  near(relative, (2.1 / 1.9 + 2.1 / 1.8) / 2 - 1);
  assert.equal(bytes, { sent: 100, received: 100, overhead: 2, cost: 100 });
  near(fewer, (2 * 1000 + 4) / 204);
  // Of the one seed that it has.
  near(find("worse").gap, 0.6 / 1.1);
  assert.is(find("single").fewer, null);
  assert.is(bytesBothWays(find("worse").bytes), 404);
});

test("the frontier leaves out what something else beats in bytes and loss, and what sends nothing", () => {
  assert.equal(
    frontierOf(outcomes).map(({ name }) => name),
    ["diloco", "ddp"],
  );
});

test("an experiment passes, fails, is not reproduced or did not run", () => {
  const experiment = (
    bound: number,
    theirs: boolean,
    arms = ["scratch.ddp", "scratch.diloco"],
  ): Experiment => ({
    ...{ id: "x", title: "", expected: "", starred: false, theirs, arms },
    judge: ({ gap }) => [atLeast("G", gap("scratch.diloco"), bound)],
  });
  const verdict = (one: Experiment, failed = new Map<string, string>()) =>
    judge(one, outcomes, failed, false);
  assert.is(verdict(experiment(0.7, false)).verdict, "pass");
  assert.is(verdict(experiment(0.8, false)).verdict, "fail");
  assert.is(verdict(experiment(0.8, false)).found, "G 0.784 (>= 0.800) !");
  assert.is(verdict(experiment(0.8, true)).verdict, "not reproduced");
  assert.is(verdict(experiment(0, true, ["scratch.demo"])).verdict, "not run");
  const broken = verdict(experiment(0.7, true), new Map([["scratch.ddp", "out of memory"]]));
  assert.equal([broken.verdict, broken.found], ["fail", "scratch.ddp: out of memory"]);
});

test("the report has every arm and verdict, the picture the frontier's names", async () => {
  const judged = experiments.map((one) =>
    judge(one, outcomes, new Map([["scratch.demo", "it broke"]]), false),
  );
  const failed = new Map([["scratch.demo", "it broke"]]);
  const facts = {
    form: full,
    machine: "a machine",
    date: "2026-01-01",
    minutes: 1,
    outcomes,
    judged,
    failed,
  };
  const text = await markdownReport(facts);
  for (const { name, loss } of outcomes) assert.ok(text.includes(name) && text.includes(loss.toFixed(4)));
  assert.match(text, /\| diloco +\| ddp +\| 2\.1000 ± 0\.0000 \| \+13\.6 % +\| 78 % +\| 100 B +\| 1\.000 /);
  assert.match(text, /Frontier, the fewest bytes first: diloco, ddp\./);
  assert.match(text, /- scratch\.demo: it broke/);
  for (const { id } of experiments) assert.ok(text.includes(`| ${id}`), id);
  const svg = await drawPlot(convergencePlot(outcomes as Outcome[], "A title"));
  assert.match(svg, /^<svg/);
  for (const word of ["diloco", "ddp fp32", "training alone", "A title"]) assert.ok(svg.includes(word), word);
});

test("what cannot be run is refused by name", async () => {
  for (const [args, message] of [
    [["--form", "long"], /--form is "long"; allowed: full, short/],
    [["--jobs", "0"], /--jobs is "0"; allowed: 1 to 256/],
    [["--seeds", "x"], /--seeds is "x"; allowed: 1 to 100/],
  ] as const)
    assert.match((await failure(run([...args]))).message, message);
});

test.run();
