/**
 * The whole cross product of the fault table, at random points: `npm run faults -- [--seed N] [--cells N] [--seconds N]
 * [--only WORD] [--place loopback|network] [--leaks ROUNDS]`. Ends with 1 where anything did not hold.
 */
import { parseArgs } from "node:util";
import { Draw } from "../e2e/chaos-plan.js";
import { networkUnavailable } from "../net/network.js";
import type { Verdict } from "./checks.js";
import { openNetwork, runCell } from "./faults.js";
import { faultProgram } from "./group.js";
import { runLeaks } from "./leaks.js";
import { everyCell, nameOf } from "./plan.js";
import { type Row, report } from "./report.js";
import { type Cell, elsewhere, type Place } from "./table.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    cells: { type: "string", default: "200" },
    seconds: { type: "string", default: "600" },
    only: { type: "string", default: "" },
    place: { type: "string", default: "loopback" },
    program: { type: "string", default: faultProgram },
    leaks: { type: "string", default: "50" },
  },
});

/** The cells in a random order, each with a seed of its own; what the order begins with is a fair sample. */
function chosenCells(seed: number, place: Place): Cell[] {
  const draw = new Draw(seed);
  const cells = everyCell(place, [0]).map((cell, at) => ({ ...cell, seed: seed * 10_000 + at }));
  const order = cells.map((cell) => ({ cell, at: draw.next() })).sort((a, b) => a.at - b.at);
  return order.map(({ cell }) => cell).filter((cell) => nameOf(cell).includes(values.only));
}

async function runAll(cells: readonly Cell[], until: number): Promise<Row[]> {
  const rows: Row[] = [];
  const network = cells[0]?.place === "network" ? await openNetwork() : undefined;
  try {
    for (const cell of cells) {
      if (performance.now() > until) break;
      const broken = ({ message }: Error): Verdict => ({
        outcome: "failed",
        seenMs: null,
        nextMs: null,
        kept: null,
        problems: [message],
      });
      const verdict = await runCell(cell, values.program, network).catch(broken);
      rows.push({ cell, verdict });
      for (const problem of verdict.problems) console.log(`FAIL ${nameOf(cell)}: ${problem}`);
    }
  } finally {
    await network?.close();
  }
  return rows;
}

async function main(): Promise<void> {
  const seed = Number(values.seed);
  const place = values.place as Place;
  if (place !== "loopback" && place !== "network") throw new Error(`--place is ${values.place}`);
  const reason = place === "network" ? networkUnavailable() : null;
  if (reason) throw new Error(`the test network ${reason}`);
  const cells = chosenCells(seed, place);
  console.log(`seed ${seed}: ${Math.min(cells.length, Number(values.cells))} of ${cells.length} cells`);
  const until = performance.now() + Number(values.seconds) * 1000;
  const rows = await runAll(cells.slice(0, Number(values.cells)), until);
  console.log(report(rows));
  for (const { name, covered } of elsewhere) console.log(`${name}:\n  ${covered.join("\n  ")}`);
  const rounds = Number(values.leaks);
  const leaks = rounds > 0 ? await runLeaks({ program: values.program, seed, rounds }) : null;
  if (leaks) console.log(`${rounds} faulty rounds: ${leaks.text}`);
  const failed = rows.filter(({ verdict }) => verdict.problems.length > 0).length;
  console.log(`${rows.length - failed} cells held, ${failed} failed`);
  process.exitCode = failed > 0 || rows.length === 0 || (leaks?.problems.length ?? 0) > 0 ? 1 : 0;
  for (const problem of leaks?.problems ?? []) console.log(`FAIL leaks: ${problem}`);
}

await main();
