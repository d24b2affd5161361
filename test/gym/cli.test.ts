/** The command: its example runs, mistakes are told in one line, and progress is lines, JSON or bars. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createGymProgress, gymLine } from "../../lib/gym/progress.js";
import type { GymEvent } from "../../lib/gym/runner.js";
import { tinyTrainer } from "./arms.js";

const main = fileURLToPath(new URL("../../lib/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gym-cli-"));

function gym(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, "gym", ...args], { encoding: "utf8", cwd: folder });
}

function configFile(name: string, value: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

const small = {
  defaults: { peers: 2, steps: 10, config: { trainer: tinyTrainer } },
  arms: [
    { name: "diloco", config: { strategy: { name: "diloco", innerSteps: 5 } } },
    { name: "ddp", config: { strategy: { name: "ddp" } } },
  ],
};

test("the example, made small, runs: results, report, and a table", () => {
  const printed = gym("--example");
  assert.is(printed.status, 0, printed.stderr);
  const example = JSON.parse(printed.stdout);
  example.defaults.steps = 20;
  example.defaults.config.trainer = tinyTrainer;
  for (const arm of example.arms) {
    if (Array.isArray(arm.peers)) delete arm.peers[1].joinRound;
    if (Array.isArray(arm.peers)) delete arm.peers[1].leaveRound;
  }
  const { status, stdout, stderr } = gym(configFile("example.json", example), "--out", "out", "--jobs", "2");
  assert.is(status, 0, stderr);
  assert.ok(stdout.includes("validation loss") && stdout.includes("diloco-faults"));
  for (const name of ["ddp.json", "diloco.json", "report.html"])
    assert.ok(existsSync(join(folder, "out", name)), name);
});

test("events as JSON lines, the folder by the config's name, and going on", () => {
  const path = configFile("small.json", small);
  const first = gym(path, "--json");
  assert.is(first.status, 0, first.stderr);
  const events = first.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string });
  assert.ok(
    ["started", "progress", "done", "report"].every((type) => events.some((event) => event.type === type)),
  );
  assert.ok(readFileSync(join(folder, "runs/gym/small/report.html"), "utf8").includes("diloco"));
  const again = gym(path);
  assert.is(again.status, 1);
  assert.match(
    again.stderr,
    /error ERR_CONFIG: runs\/gym\/small\/diloco.json is there already; add --resume/,
  );
  const resumed = gym(path, "--resume");
  assert.is(resumed.status, 0, resumed.stderr);
  assert.match(resumed.stdout, "diloco is done already");
});

const mistakes: readonly [string, readonly string[], RegExp][] = [
  ["no config", [], /needs a config file; --example prints one/],
  ["no such file", ["nowhere.json"], /nowhere\.json: there is no such file/],
  [
    "no JSON",
    [configFile("broken.json", '{"arms": [\n  {"name": }\n]}')],
    /broken\.json:2:12: not valid JSON/,
  ],
  [
    "an unknown key",
    [configFile("odd.json", { arms: [{ name: "a", step: 1 }] })],
    /odd\.json: arms\[0\] \("a"\).*"steps"/,
  ],
  ["no number", ["x.json", "--jobs", "many"], /--jobs.*whole number from 1 to 256/],
];

for (const [what, args, message] of mistakes)
  test(`a mistake is told: ${what}`, () => {
    const { status, stderr } = gym(...args);
    assert.is(status, 1);
    assert.match(stderr, message);
  });

const progress = (done: number, name = "a"): GymEvent => ({
  type: "progress",
  name,
  done,
  total: 10,
  unit: "rounds",
  loss: 2.5,
  seconds: 61,
});

/** A stream that keeps what is written. */
function listener(): { stream: NodeJS.WriteStream; text: () => string } {
  const written: string[] = [];
  const stream = { write: (text: string) => written.push(text) > 0 } as unknown as NodeJS.WriteStream;
  return { stream, text: () => written.join("") };
}

test("lines of progress come now and then, and the last one always", () => {
  const { stream, text } = listener();
  let now = 0;
  const lines = createGymProgress("lines", stream, () => now);
  for (let done = 1; done <= 10; done += 1) {
    lines.event(progress(done));
    now += 1000;
  }
  lines.event({ type: "done", name: "a" });
  assert.equal(text().trim().split("\n"), [
    "a: round 1/10  loss 2.5000, 1 min 01 s simulated",
    "a: round 6/10  loss 2.5000, 1 min 01 s simulated",
    "a: round 10/10  loss 2.5000, 1 min 01 s simulated",
    "a is done",
  ]);
});

test("a failure has its reason in the line", () => {
  assert.is(gymLine({ type: "failed", name: "a", reason: "no peer" }), "a failed: no peer");
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
