/** Progress: one line a round once all contributors have reported, JSON lines as they come, and the options' parsers. */
import { InvalidArgumentError } from "commander";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { faultPlan, wholeNumber } from "../../lib/cli/options.js";
import { createProgress, type ProgressOptions } from "../../lib/cli/progress.js";
import { listenHost } from "../../lib/run/entry.js";
import type { TimedEvent } from "../../lib/run/events.js";

function output(mode: "lines" | "json", events: readonly TimedEvent[]): string[] {
  let text = "";
  const stream = { write: (piece: string) => (text += piece) } as unknown as ProgressOptions["stream"];
  const progress = createProgress({ mode, peers: 2, nameOf: (peer) => `peer ${peer}`, stream });
  for (const event of events) progress.event(event);
  progress.close();
  return text.split("\n").slice(0, -1);
}

const round = (peer: string): TimedEvent => ({
  type: "round",
  at: 5,
  peer,
  epoch: 1,
  round: 1,
  contributors: ["A", "B"],
  trainLoss: 2,
  validationLoss: 1.5,
  bytesSent: 2000,
  bytesRetried: 0,
  seconds: { train: 1, sync: 0.5, reduce: 0.1, apply: 0.5 },
  stateDigest: "d",
});
const started: TimedEvent = {
  type: "started",
  at: 0,
  peer: "A",
  pid: 1,
  runId: "r",
  shard: 0,
  round: 0,
  rounds: 12,
  parameters: 7,
  backend: "avx2",
};

test("a round is one line, once every contributor has reported", () => {
  assert.is(output("lines", [started, round("B")]).length, 1);
  const lines = output("lines", [started, round("B"), round("A")]);
  assert.is(lines.length, 2);
  assert.is(
    lines[1],
    "round  1/12  loss train/val: peer A 2.000/1.500  peer B 2.000/1.500  sent 2 kB a peer  2 s (sync 500 ms)",
  );
});

test("with --json every event is a line that parses to itself", () => {
  const events = [started, round("A"), round("B")];
  assert.equal(
    output("json", events).map((line) => JSON.parse(line)),
    events,
  );
});

test("a round that counts for nothing is told once all have reported it", () => {
  const empty = (peer: string): TimedEvent => ({ ...round(peer), contributors: [] }) as TimedEvent;
  const lines = output("lines", [started, empty("A"), empty("B")]).filter((line) => line.startsWith("round"));
  assert.is(lines.length, 1);
  assert.match(lines[0]!, /peer A 2\.000\/1\.500 {2}peer B .*; nobody's work counted$/);
});

test("option values: what is impossible is refused with what is allowed", () => {
  assert.is(wholeNumber(2, 16)("16"), 16);
  for (const bad of ["1", "17", "2.5", "x", "", "-3", "0x10"])
    assert.throws(
      () => wholeNumber(2, 16)(bad),
      (error: unknown) => error instanceof InvalidArgumentError,
    );
  assert.equal(faultPlan("6:9:SIGKILL"), { round: 6, steps: 9, signal: "SIGKILL" });
  for (const bad of ["0:9:SIGKILL", "6:9:SIGNONE", "6:9", "6:9:SIGKILL:1"])
    assert.throws(() => faultPlan(bad), /ROUND:STEPS:SIGNAL/);
});

test("a joiner of a run on loopback listens there, of any other on every address", () => {
  assert.is(listenHost(["/ip4/127.0.0.1/tcp/1/p2p/x", "/ip6/::1/tcp/1/p2p/x"]), "127.0.0.1");
  assert.is(listenHost(["/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/10.0.0.5/tcp/1/p2p/x"]), "0.0.0.0");
});

test.run();
