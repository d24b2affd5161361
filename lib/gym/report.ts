/** The gym's report: one HTML file with its plots in it, which opens from the disk and needs no network. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.js";
import { formatBytes, formatCount, formatRatio, formatSeconds, formatShare } from "../base/format.js";
import { type PlotLine, plotLosses } from "./plot.js";
import { type ArmResult, type ArmSummary, sentBy, summarize } from "./results.js";

/** All seeds of one arm. */
interface ArmRow {
  readonly arm: string;
  readonly first: ArmResult;
  readonly summaries: readonly ArmSummary[];
}

function rowsOf(results: readonly ArmResult[]): ArmRow[] {
  return [...Map.groupBy(results, ({ arm }) => arm)].map(([arm, same]) => ({
    arm,
    first: same[0]!,
    summaries: same.map(summarize),
  }));
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const meanOf = ({ summaries }: ArmRow, of: (summary: ArmSummary) => number) => mean(summaries.map(of));

/** `2.1034`, of several seeds `2.1034 ± 0.0012`: the mean and half the distance between least and greatest. */
function spread(values: readonly number[]): string {
  const half = (Math.max(...values) - Math.min(...values)) / 2;
  return values.length === 1 ? mean(values).toFixed(4) : `${mean(values).toFixed(4)} ± ${half.toFixed(4)}`;
}

/** What a peer of plain data parallel training sends for each inner step: every gradient in fp32 around a ring. */
const dataParallelBytes = ({ parameters, peers }: ArmResult) => (2 * 4 * parameters * (peers - 1)) / peers;

interface Column {
  readonly title: string;
  readonly cell: (row: ArmRow) => string;
}

const columns: readonly Column[] = [
  { title: "arm", cell: ({ arm }) => arm },
  { title: "strategy", cell: ({ first }) => first.strategies.join(" + ") },
  { title: "peers", cell: ({ first }) => formatCount(first.peers) },
  { title: "steps", cell: (row) => formatCount(meanOf(row, ({ steps }) => steps)) },
  { title: "validation loss", cell: ({ summaries }) => spread(summaries.map(({ loss }) => loss)) },
  {
    title: "accuracy",
    cell: ({ summaries }) =>
      summaries.every(({ accuracy }) => accuracy !== null)
        ? spread(summaries.map((one) => one.accuracy ?? 0))
        : "",
  },
  {
    title: "sent a peer a step",
    cell: (row) => formatBytes(meanOf(row, ({ bytesPerStep }) => bytesPerStep)),
  },
  {
    title: "than fp32 data parallel",
    cell: (row) =>
      `${formatRatio(
        dataParallelBytes(row.first),
        meanOf(row, (one) => one.bytesPerStep),
      )} fewer`,
  },
  { title: "not payload", cell: (row) => formatBytes(meanOf(row, ({ overheadPerStep }) => overheadPerStep)) },
  { title: "simulated time", cell: (row) => formatSeconds(meanOf(row, ({ seconds }) => seconds)) },
  { title: "computing", cell: (row) => formatShare(meanOf(row, ({ computeShare }) => computeShare)) },
];

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => escapes[character]!);

function table(rows: readonly ArmRow[]): string {
  const shown = columns.filter(({ cell }) => rows.some((row) => cell(row) !== ""));
  const heads = shown.map(({ title }) => `<th>${escaped(title)}</th>`).join("");
  const lines = rows.map(
    (row) => `<tr>${shown.map(({ cell }) => `<td>${escaped(cell(row))}</td>`).join("")}</tr>`,
  );
  return `<table><thead><tr>${heads}</tr></thead><tbody>\n${lines.join("\n")}\n</tbody></table>`;
}

type Axis = (row: ArmResult["rows"][number], sent: number) => number;

/** The evaluated points of each result, the start at 0. */
function linesOf(results: readonly ArmResult[], axis: Axis): PlotLine[] {
  return results.map(({ name, arm, start, rows }) => {
    const points = start === null ? [] : [{ x: 0, loss: start.validation.loss }];
    let sent = 0;
    for (const row of rows) {
      sent += sentBy(row).all;
      if (row.validation !== null) points.push({ x: axis(row, sent), loss: row.validation.loss });
    }
    return { name, arm, points };
  });
}

function eventLines(results: readonly ArmResult[]): string {
  const items = results.flatMap(({ name, events }) =>
    events.map(
      ({ round, peer, change, seconds }) =>
        `<li>${escaped(name)}, round ${round + 1}, ${formatSeconds(seconds)}: ${escaped(peer)} ${change}</li>`,
    ),
  );
  if (items.length === 0) return "";
  return `<details><summary>${items.length} changes of members</summary><ol>\n${items.join("\n")}\n</ol></details>`;
}

const style = `
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #d8dee4; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; font-weight: 600; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
svg { max-width: 100%; height: auto; }
ol { columns: 2; } p, li { color: #444c56; }`;

/** The whole page. @throws what the plotting library throws. */
export async function reportHtml(title: string, results: readonly ArmResult[]): Promise<string> {
  const plots = [
    { title: "Loss against inner steps", x: "inner steps", log: false, axis: (row) => row.step },
    {
      title: "Loss against bytes",
      x: "bytes that a peer sent, everything counted",
      log: true,
      axis: (_, sent) => sent,
    },
    { title: "Loss against simulated time", x: "simulated seconds", log: false, axis: (row) => row.seconds },
  ] satisfies { title: string; x: string; log: boolean; axis: Axis }[];
  const drawn: string[] = [];
  for (const { title: name, axis, x, log } of plots)
    drawn.push(
      `<h2>${name}</h2>\n<div class="wide">${await plotLosses(linesOf(results, axis), { x, log })}</div>`,
    );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title><style>${style}
</style></head><body>
<h1>${escaped(title)}</h1>
<div class="wide">${table(rowsOf(results))}</div>
<p>Losses in nats on the validation data. Bytes: payload and framing of a peer's collectives, attempts that a death broke,
and state sent to peers that came; mean over the peers. Computing: the part of the peers' time in which they took inner
steps. Time is the virtual clock's.</p>
${drawn.join("\n")}
${eventLines(results)}
</body></html>
`;
}

/** Writes report.html into the folder, and gives its path. @throws ERR_IO. */
export async function writeReport(
  folder: string,
  title: string,
  results: readonly ArmResult[],
): Promise<string> {
  const path = join(folder, "report.html");
  await writeFileAtomic(path, await reportHtml(title, results));
  return path;
}

/** The table for a terminal. */
export function summaryText(results: readonly ArmResult[], report: string): string {
  const rows = rowsOf(results);
  const shown = columns.filter(({ cell }) => rows.some((row) => cell(row) !== ""));
  const cells = [shown.map(({ title }) => title), ...rows.map((row) => shown.map(({ cell }) => cell(row)))];
  const widths = shown.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  const lines = cells.map((line) =>
    line
      .map((text, column) => (column < 2 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n\n${report}\n`;
}
