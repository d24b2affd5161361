/** The comparison of strategies as Markdown: a table of arms by phase, the frontier by name, and the experiments. */
import { formatBytes } from "../lib/base/format.js";
import { describeMixing } from "../lib/reduce/topology.js";
import { markdownTable } from "./codec-report.js";
import { percent } from "./convergence-checks.js";
import { type Judged, proven } from "./convergence-experiments.js";
import type { Form, Phase } from "./convergence-forms.js";
import { phases } from "./convergence-forms.js";
import { frontierOf, type Outcome } from "./convergence-outcomes.js";
import { phaseTitles } from "./convergence-plot.js";

const orDash = (value: number | null, show: (value: number) => string) =>
  value === null || Number.isNaN(value) ? "-" : show(value);

const times = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function armRow(outcome: Outcome): string[] {
  const { name, strategies, loss, spread, seeds, relative, gap, accuracy, bytes, fewer, note } = outcome;
  const about = [
    ...(accuracy === null ? [] : [`${percent(accuracy)} right`]),
    ...(note === "" ? [] : [note]),
  ];
  const priced = bytes.cost === null || bytes.cost === 0 ? null : bytes.sent / bytes.cost;
  return [
    name,
    strategies.join(" + "),
    seeds.length > 1 ? `${loss.toFixed(4)} ± ${spread.toFixed(4)}` : loss.toFixed(4),
    orDash(relative, (value) => `${value >= 0 ? "+" : ""}${(100 * value).toFixed(1)} %`),
    orDash(gap, (value) => `${(100 * value).toFixed(0)} %`),
    formatBytes(bytes.sent),
    orDash(priced, (value) => value.toFixed(3)),
    formatBytes(bytes.received),
    formatBytes(bytes.overhead),
    orDash(fewer, times),
    about.join("; "),
  ];
}

const heads = [
  "arm",
  "strategy",
  "loss",
  "beside ddp",
  "G",
  "sent",
  "/ cost()",
  "received",
  "overhead",
  "fewer bytes",
  "",
] as const;

function phaseTable(phase: Phase, outcomes: readonly Outcome[], { phases: forms }: Form): string {
  const own = outcomes.filter((outcome) => outcome.phase === phase);
  if (own.length === 0) return "";
  const { steps, pretrainSteps } = forms[phase];
  const length = `${steps} inner steps of each peer${pretrainSteps > 0 ? ` after ${pretrainSteps} of one worker` : ""}`;
  const sorted = own.toSorted((a, b) => a.loss - b.loss);
  const frontier = frontierOf(own).map(({ name }) => name);
  const named = phase === "experts" ? "" : `\n\nFrontier, the fewest bytes first: ${frontier.join(", ")}.`;
  return `## ${phaseTitles[phase]}\n\n${length}; ${own[0]!.parameters} parameters.\n\n${markdownTable(heads, sorted.map(armRow))}${named}`;
}

function experimentTable(judged: readonly Judged[]): string {
  const rows = judged.map(({ experiment: { id, starred, title, expected }, verdict, found }) => [
    `${id}${starred ? "*" : ""}`,
    title,
    verdict,
    found,
    expected,
  ]);
  const elsewhere = proven.map(({ id, starred, title, by }) => [
    `${id}${starred ? "*" : ""}`,
    title,
    "elsewhere",
    by,
    "",
  ]);
  return markdownTable(
    ["row", "experiment", "verdict", "found (bound)", "expected"],
    [...rows, ...elsewhere],
  );
}

const GRAPHS = ["complete", "one_peer_exponential", "regular", "small_world", "ring"];

/** The graphs' measured spectral gaps a round beside what sparse diloco came to over them. */
async function graphTable(outcomes: readonly Outcome[]): Promise<string> {
  const rows: string[][] = [];
  for (const graph of GRAPHS) {
    const outcome = outcomes.find(({ phase, name }) => phase === "scratch" && name === `sparse8-${graph}`);
    if (outcome === undefined) continue;
    const { gap } = await describeMixing(graph, outcome.peers, 64);
    const { loss, apart, bytes } = outcome;
    rows.push([
      graph,
      gap.toPrecision(3),
      loss.toFixed(4),
      orDash(apart, (value) => value.toFixed(4)),
      formatBytes(bytes.sent),
    ]);
  }
  if (rows.length === 0) return "";
  const table = markdownTable(
    ["graph of 8 peers", "spectral gap a round", "loss of the mean", "a replica's more", "sent"],
    rows,
  );
  return `## Sparse DiLoCo: loss against spectral gap\n\n${table}`;
}

export interface ReportFacts {
  readonly form: Form;
  readonly machine: string;
  readonly date: string;
  readonly minutes: number;
  readonly outcomes: readonly Outcome[];
  readonly judged: readonly Judged[];
  /** Arms that did not finish, and why. */
  readonly failed: ReadonlyMap<string, string>;
}

const reading = `Losses are over the last 5 % of the text, in nats, after the last step; the mean over the seeds and half of their range, or of
the first seed alone. G is the part of the gap between training alone and ddp that was closed. Bytes are of one peer for
each inner step, payload alone; "overhead" is what the transport adds to what is sent (frames, agreements, broken attempts,
state for peers that join). "fewer bytes" counts both directions and all overhead, beside ddp in fp32 of the same phase,
whose payload is that of a ring. All arms of a phase take equally many steps on equally many tokens, but where a note says
otherwise; learning rate and data are the same. Nothing was tuned for a single arm but the frontier's presets, which are the
best of about 30 tried on seeds 1 and 2.`;

export async function markdownReport(facts: ReportFacts): Promise<string> {
  const { form, machine, date, minutes, outcomes, judged, failed } = facts;
  const count = (verdict: string) => judged.filter((one) => one.verdict === verdict).length;
  const head = `${machine}, ${date}; ${form.name} form, seeds ${form.seeds.join(", ")}, ${minutes.toFixed(1)} minutes.`;
  const broken = [...failed].map(([name, reason]) => `- ${name}: ${reason}`);
  const verdicts = `${count("pass")} pass, ${count("fail")} fail, ${count("not reproduced")} not reproduced, ${count("not run")} not run. "not reproduced" is a published or earlier result whose bound this run missed; "fail" is a bound of our own. A "!" marks what missed its bound; a star what the short form runs too.`;
  const parts = [
    head,
    reading,
    ...(broken.length > 0 ? [`## Did not finish\n\n${broken.join("\n")}`] : []),
    ...phases.map((phase) => phaseTable(phase, outcomes, form)),
    await graphTable(outcomes),
    `## Experiments\n\n${verdicts}\n\n${experimentTable(judged)}`,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}
