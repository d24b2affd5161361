/** The main job itself: `gradmesh demo` as a process, its events and its report, and the command it names to resume. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { DemoReport } from "../../lib/cli/demo/report.js";
import type { TimedEvent } from "../../lib/run/events.js";

const mainPath = fileURLToPath(new URL("../../lib/cli/main.js", import.meta.url));
const root = fileURLToPath(new URL("../../../", import.meta.url));

async function gradmesh(args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [mainPath, ...args], {
    cwd: root,
    maxBuffer: 1 << 26,
  });
  return stdout;
}

test("four peers train, one is killed and comes back, all end with the same bits; then all are resumed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-demo-"));
  const sizes = ["--rounds", "16", "--inner-steps", "6"];
  const lines = (await gradmesh(["demo", ...sizes, "--folder", folder, "--json"])).trim().split("\n");
  const events = lines.map((line) => JSON.parse(line) as TimedEvent | (DemoReport & { type: "report" }));
  const report = events.at(-1) as DemoReport & { type: "report" };
  assert.is(report.type, "report");
  assert.is(report.rounds, 16);
  assert.is(report.innerSteps, 6);
  assert.is(new Set(Object.values(report.stateDigests)).size, 1);
  assert.is(Object.keys(report.stateDigests).length, 4);
  assert.ok(report.validationLoss.end < report.validationLoss.start - 1, "it learns");
  assert.ok(report.bytesPerInnerStep.reduction > 10);
  assert.ok(
    report.kill !== null && report.kill.bytesRetried > 0,
    "the kill was in the middle of a collective",
  );
  assert.ok(report.kill.rejoinedRound !== null && report.kill.rejoinedRound > report.kill.round);
  const { type: _, ...saved } = report;
  assert.equal(JSON.parse(await readFile(join(folder, "report.json"), "utf8")), saved);

  const resume = report.checkpoint!.resume.replace("npm run gradmesh -- ", "").split(" ");
  const resumed = await gradmesh([...resume.slice(0, -1), "18", "--json"]);
  const ends = resumed
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as TimedEvent)
    .filter((event) => event.type === "ended");
  assert.is(ends.length, 4);
  for (const end of ends) assert.is(end.round, 18);
  assert.is(new Set(ends.map((end) => end.stateDigest)).size, 1);
  await rm(folder, { recursive: true });
});

test("two peers suffice: the one left trains on alone until the other is back", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-demo-"));
  const sizes = ["--peers", "2", "--rounds", "16", "--inner-steps", "12"];
  const lines = (await gradmesh(["demo", ...sizes, "--folder", folder, "--json"])).trim().split("\n");
  const report = JSON.parse(lines.at(-1)!) as DemoReport;
  assert.is(Object.keys(report.stateDigests).length, 2);
  assert.ok(report.kill?.rejoinedRound);
  await rm(folder, { recursive: true });
});

test("a peer that cannot start ends the demo with its own code and words", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-demo-"));
  const bad = gradmesh(["demo", "--data", join(folder, "none.txt"), "--folder", folder]);
  await bad.then(assert.unreachable, (error: { code: number; stderr: string }) => {
    assert.is(error.code, 1);
    assert.match(error.stderr, /^error ERR_CONFIG: peer-0: data file .*none\.txt cannot be read/);
  });
  await rm(folder, { recursive: true });
});

test.run();
