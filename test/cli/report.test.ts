/** The demo's report: its arithmetic over made-up events, and that unequal digests fail it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { makeReport, type ReportInput } from "../../lib/cli/demo/report.js";
import type { RunEvent, TimedEvent } from "../../lib/run/events.js";

const peers = ["A", "B", "C"];

function roundEvent(peer: string, round: number, at: number, changes: Partial<RunEvent> = {}): TimedEvent {
  return {
    type: "round",
    at,
    peer,
    epoch: 1,
    round,
    contributors: peers,
    trainLoss: 3,
    validationLoss: 3 - round,
    bytesSent: 1000,
    bytesRetried: 0,
    seconds: { train: 6, sync: 3, reduce: 1, apply: 1 },
    stateDigest: `state ${round}`,
    ...changes,
  } as TimedEvent;
}

function finished(digests: Record<string, string>): TimedEvent[] {
  const started = { runId: "r", pid: 1, round: 0, rounds: 2, parameters: 500, backend: "scalar" };
  return [
    ...peers.map((peer, shard): TimedEvent => ({ type: "started", at: 0, peer, shard, ...started })),
    { type: "evaluated", at: 1, peer: "A", round: 0, validationLoss: 4 },
    ...peers.map((peer) => roundEvent(peer, 1, 1000)),
    ...peers.map((peer) => roundEvent(peer, 2, 2000)),
    ...Object.entries(digests).map(
      ([peer, stateDigest]): TimedEvent => ({
        type: "ended",
        at: 3000,
        peer,
        reason: "complete",
        round: 2,
        stateDigest,
      }),
    ),
  ];
}

const same = { A: "x", B: "x", C: "x" };
const input = (changes: Partial<ReportInput> = {}): ReportInput => ({
  events: finished(same),
  innerSteps: 10,
  peers: 3,
  seconds: 20,
  dataParallelBytes: 4000,
  killed: null,
  checkpoint: null,
  ...changes,
});

test("losses, bytes per inner step and shares of time come from the rounds", () => {
  const report = makeReport(input());
  assert.is(report.rounds, 2);
  assert.equal(report.validationLoss, { start: 4, end: 1 });
  assert.equal(report.bytesPerInnerStep, { sent: 100, dataParallelFp32: 4000, reduction: 40 });
  assert.is(report.syncShare, 0.3);
  assert.is(report.trainingSeconds, 20);
  assert.equal(report.stateDigests, same);
  assert.is(report.kill, null);
});

test("peers that end with other bits, or do not end, fail the report", () => {
  const code = (expected: string) => (error: GradmeshError) => error.code === expected;
  const unequal = finished({ ...same, C: "y" });
  assert.throws(() => makeReport(input({ events: unequal })), code("ERR_DIVERGED"));
  const missing = finished({ A: "x", B: "x" });
  assert.throws(() => makeReport(input({ events: missing })), code("ERR_INTERNAL"));
});

test("the cost of a kill: detection, recovery, bytes again, steps lost, and the return", () => {
  const events = finished(same).filter(
    (event) => !(event.type === "round" && event.peer === "C" && event.round === 1),
  );
  const failed: TimedEvent = {
    type: "failed",
    at: 540,
    peer: "A",
    epoch: 1,
    round: 0,
    code: "ERR_PEER_LOST",
    lost: ["C"],
    reason: "",
  };
  const synced: TimedEvent = {
    type: "synced",
    at: 1500,
    peer: "C",
    round: 1,
    source: "A",
    bytes: 9,
    seconds: 0.25,
  };
  const retried = events.map((event) =>
    event.type === "round" && event.round === 1 ? { ...event, bytesRetried: 300 } : event,
  );
  const report = makeReport(
    input({ events: [...retried, failed, synced], killed: { peer: "C", at: 500, round: 1 } }),
  );
  assert.equal(report.kill, {
    peer: "C",
    round: 1,
    detectionSeconds: 0.04,
    recoverySeconds: 0.5,
    bytesRetried: 600,
    innerStepsLost: 10,
    rejoinedRound: 2,
    catchUpSeconds: 0.25,
  });
});

test.run();
