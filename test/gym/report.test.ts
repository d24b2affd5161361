/** The report stands alone: its plots are in it, nothing is fetched, and names cannot break out. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runArm } from "../../lib/gym/arm.js";
import { plotLosses } from "../../lib/gym/plot.js";
import { reportHtml, summaryText, writeReport } from "../../lib/gym/report.js";
import { tinyArm } from "./arms.js";

const folder = mkdtempSync(join(tmpdir(), "gym-report-"));
const { result } = await runArm(tinyArm({ peers: [{ count: 2 }, { joinRound: 1 }] }));
const other = { ...result, name: "b", arm: 'a <b> & "c"' };

test("it has a table, three plots, and the changes of members", async () => {
  const html = readFileSync(await writeReport(folder, "one & two", [result, other]), "utf8");
  assert.is(html.match(/<svg /g)?.length, 3);
  assert.is(html.match(/<tr>/g)?.length, 3);
  assert.ok(html.includes("one &amp; two") && html.includes("a &lt;b&gt; &amp; &quot;c&quot;"));
  assert.ok(html.includes("2 changes of members") && html.includes("peer-2 joined"));
});

test("it needs no network and runs no script", async () => {
  const html = await reportHtml("report", [result]);
  const bare = html.replace(/xmlns(:\w+)?="[^"]*"/g, "");
  assert.not.match(bare, /https?:|<script|<link|src=|@import|url\((?!#)/i);
});

test("each plot has a line for every result, with its evaluations on it", async () => {
  const points = [1, 2, 3].map((x) => ({ x, loss: 3 / x }));
  const svg = await plotLosses(
    [
      { name: "one", arm: "first", points },
      { name: "two", arm: "second", points: points.map(({ x, loss }) => ({ x, loss: loss + 1 })) },
    ],
    { x: "steps", log: false },
  );
  const lines = svg.match(
    /<path aria-label="[^"]*" role="graphics-symbol" aria-roledescription="line mark"/g,
  );
  assert.is(lines?.length, 2, svg.slice(0, 400));
  assert.ok(svg.includes("first") && svg.includes("second") && svg.includes("validation loss (nats)"));
});

test("a renderer of SVG draws it, and not in one colour", async () => {
  if (spawnSync("rsvg-convert", ["--version"]).status !== 0) return;
  const points = [1, 2, 3].map((x) => ({ x: 10 ** x, loss: 3 / x }));
  const path = join(folder, "plot.svg");
  writeFileSync(path, await plotLosses([{ name: "a", arm: "a", points }], { x: "bytes", log: true }));
  const png = execFileSync("rsvg-convert", ["-w", "400", path]);
  assert.equal([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
  assert.ok(png.length > 3_000, `${png.length} bytes: more than an empty picture`);
});

test("an arm without a single evaluation, or that never began, is no reason to fail", async () => {
  const html = await reportHtml("report", [{ ...result, start: null, rows: [] }]);
  assert.ok(html.includes("<svg"));
});

test("the terminal's table has a line for each arm, and where the report is", () => {
  const text = summaryText([result, other], "x/report.html");
  assert.is(text.trim().split("\n").length, 5);
  assert.ok(text.endsWith("x/report.html\n"));
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
