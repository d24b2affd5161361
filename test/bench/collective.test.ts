/** The collective bench: its limits, what it makes of its ranks' records, its goals, and a small run of it. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readKill } from "../../bench/collective-kill.js";
import {
  bytesSentLeast,
  copySeconds,
  type LinkProfile,
  lineSeconds,
  loopback,
  wireSeconds,
} from "../../bench/collective-limit.js";
import { cellReport, cellsOf, goalsOf } from "../../bench/collective-report.js";
import {
  estimateSeconds,
  Gatherer,
  kindsOf,
  type RankRecord,
  type Result,
  roundsOfTurn,
} from "../../bench/collective-trials.js";
import { median } from "../../bench/median.js";
import { GradmeshError } from "../../lib/base/errors.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const main = join(root, "dist", "bench", "main.js");
const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "gradmesh-bench-"));
test.after(() => rm(folder, { recursive: true, force: true }));

const MEBIBYTE = 2 ** 20;
const diverges = (work: () => void) =>
  assert.throws(work, (error: unknown) => error instanceof GradmeshError && error.code === "ERR_DIVERGED");
const gigabit: LinkProfile = {
  name: "test",
  bitsPerSecond: 1e9,
  payloadBitsPerSecond: 0.9e9,
  delaySeconds: 0.01,
  loss: 0,
};

test("the limits of a link and of memory", () => {
  assert.is(bytesSentLeast(4, 1000), 1500);
  // 8 * 1.5 * 75e6 bits at 0.9 Gbit/s, and two delays.
  assert.ok(Math.abs(wireSeconds(gigabit, 4, 75e6) - 1.02) < 1e-12);
  assert.ok(Math.abs(lineSeconds(gigabit, 4, 75e6) - 0.9) < 1e-12);
  // 4 * (n - 1) * bytes are copied.
  assert.is(copySeconds(4, 1e9, 12e9), 1);
  assert.is(lineSeconds(loopback, 4, 75e6), 0);
});

test("rounds are fewer where they are long, and never none", () => {
  assert.is(roundsOfTurn(0.001, 15, 3), 5);
  assert.is(roundsOfTurn(1, 15, 3), 2);
  assert.is(roundsOfTurn(100, 15, 3), 1);
  assert.ok(
    estimateSeconds({ ...gigabit, loss: 0.001 }, 4, MEBIBYTE) > estimateSeconds(gigabit, 4, MEBIBYTE),
  );
});

test("fp32 runs with every collective, a codec with those for codecs", () => {
  const kinds = kindsOf(["ring", "direct"], ["direct"], ["fp32", "int8_block"], ["plain", "encrypted"]);
  const ours = kinds.filter(({ library }) => library.startsWith("gradmesh"));
  assert.is(ours.length, 6);
  assert.not(ours.some(({ collective, codec }) => collective === "ring" && codec !== "fp32"));
  assert.is(kinds.filter(({ library }) => library === "gloo").length, 4);
});

const record = (rank: number, changes: Partial<RankRecord> = {}): RankRecord => ({
  rank,
  collective: "ring",
  codec: "fp32",
  bytes: MEBIBYTE,
  started: [1 + rank, 11],
  ended: [4 + rank, 12],
  user: [0.5, 1],
  system: [0.5, 2],
  payloadBytes: MEBIBYTE,
  framingBytes: 100,
  wireBytes: MEBIBYTE,
  digest: "1",
  ...changes,
});

test("a round lasts from the first start to the last end, and its CPU time is that of all ranks", () => {
  const gatherer = new Gatherer();
  gatherer.add("gradmesh", [record(0), record(1)]);
  gatherer.add("gradmesh", [record(0), record(1)]);
  const [result] = gatherer.results(gigabit, 2, () => Number.NaN);
  assert.equal(result!.seconds, [4, 1, 4, 1]);
  assert.equal(result!.cpuSeconds, [2, 6, 2, 6]);
  assert.is(result!.systemShare, 5 / 8);
  assert.is(result!.payloadBytes, 2 * MEBIBYTE);
  assert.is(result!.limitSeconds, wireSeconds(gigabit, 2, MEBIBYTE));
  assert.is(median(result!.seconds), 2.5);
});

test("ranks or turns of ours with different bytes are an error; another library's are its own matter", () => {
  const gatherer = new Gatherer();
  diverges(() => gatherer.add("gradmesh", [record(0), record(1, { digest: "2" })]));
  gatherer.add("gradmesh", [record(0), record(1)]);
  const later = [record(0, { digest: "2" }), record(1, { digest: "2" })];
  diverges(() => gatherer.add("gradmesh", later));
  gatherer.add("gloo", [record(0, { payloadBytes: -1, wireBytes: -1 }), record(1, { digest: "2" })]);
  const gloo = gatherer.results(loopback, 2, () => 1e9).find(({ library }) => library === "gloo")!;
  assert.is(gloo.payloadBytes, undefined);
  assert.is(gloo.limitSeconds, copySeconds(2, MEBIBYTE, 1e9));
});

const result = (changes: Partial<Result>): Result => ({
  library: "gradmesh",
  collective: "ring",
  codec: "fp32",
  profile: gigabit,
  ranks: 4,
  bytes: 16 * MEBIBYTE,
  seconds: [1],
  cpuSeconds: [1],
  systemShare: 0.5,
  payloadBytes: undefined,
  framingBytes: undefined,
  wireBytes: changes.bytes ?? 16 * MEBIBYTE,
  limitSeconds: 0.96,
  lineSeconds: 0.9,
  digest: "12345678",
  ...changes,
});
const reached = (cell: readonly Result[]) => goalsOf(cell).map((goal) => goal.reached);

test("goals of a network: shares of the limit from 16 MiB without loss, int8 faster, latency at 1 MiB", () => {
  const int8 = result({ codec: "int8_block", wireBytes: 4.1 * MEBIBYTE, seconds: [0.5], limitSeconds: 0.46 });
  const bf16 = result({ codec: "bf16", wireBytes: 8 * MEBIBYTE, limitSeconds: 0.1 });
  assert.equal(reached([result({}), bf16, int8]), [true, true, true]);
  assert.equal(reached([result({ limitSeconds: 0.94 }), int8]), [false, true, true]);
  assert.equal(reached([result({}), { ...int8, limitSeconds: 0.44 }]), [true, false, true]);
  assert.equal(reached([result({}), { ...int8, seconds: [1.1], limitSeconds: 1 }]), [true, true, false]);
  // The best of ours counts.
  assert.equal(reached([result({ collective: "direct", seconds: [2] }), result({})]), [true]);
  assert.equal(reached([result({ profile: { ...gigabit, loss: 0.001 } })]), []);
  const small = { collective: "direct", bytes: MEBIBYTE };
  assert.equal(reached([result({ ...small, limitSeconds: 0.8 })]), [true]);
  assert.equal(reached([result({ ...small, limitSeconds: 0.7 })]), [false]);
});

test("goals of loopback: less CPU time than gloo's best ring and than Open MPI, fp32 and plain", () => {
  const cell = [
    result({ profile: loopback, cpuSeconds: [2] }),
    result({ profile: loopback, collective: "direct", codec: "int8_block", cpuSeconds: [1] }),
    result({ profile: loopback, library: "gloo", collective: "ring", cpuSeconds: [3] }),
    result({ profile: loopback, library: "gloo", collective: "ring_chunked", cpuSeconds: [2.1] }),
    result({ profile: loopback, library: "gloo", collective: "bcube", cpuSeconds: [1] }),
    result({ profile: loopback, library: "Open MPI", collective: "allreduce", cpuSeconds: [1.9] }),
  ];
  assert.equal(reached(cell), [true, false]);
  assert.equal(reached(cell.map((each) => ({ ...each, bytes: 2 ** 16 }))), []);
  const text = cellReport(cell);
  assert.match(text, /## loopback, 4 ranks, 16 MiB/);
  assert.match(text, /- reached: CPU time below gloo's best ring's, of it: 0\.95 \(gradmesh ring\)/);
  assert.match(text, /- MISSED: CPU time below Open MPI's/);
  assert.not.match(text, /NaN|undefined/);
  assert.is(cellsOf([...cell, result({})]).length, 2);
});

test("a kill is timed to the last survivor, whose bytes must be the others'", () => {
  const survivor = (rank: number, seenSeconds: number, digest = "1") => [
    record(rank, { started: [0], ended: [4] }),
    record(rank, { started: [0], ended: [3] }),
    { rank, seenSeconds, resultSeconds: 0.5, digest },
  ];
  const victim = [record(2, { started: [0], ended: [5] })];
  const kill = readKill([survivor(0, 0.25), survivor(1, 0.125), victim]);
  assert.equal(kill, { seenSeconds: 0.25, recoverySeconds: 0.25, allSeconds: 5, survivorsSeconds: 3 });
  diverges(() => readKill([survivor(0, 0.1), survivor(1, 0.1, "2"), victim]));
});

test("a small run over loopback, plain and encrypted, with what else is there", async () => {
  const path = join(folder, "collective.json");
  const small = [
    "--profiles",
    "loopback",
    "--ranks",
    "2",
    "--sizes",
    "64KiB",
    "--rounds",
    "1",
    "--turns",
    "1",
  ];
  const options = ["--security", "plain,encrypted", "--streams", "2", "--json", path];
  const { stdout } = await run(process.execPath, [main, "collective", ...small, ...options], { cwd: root });
  const { results } = JSON.parse(await readFile(path, "utf8")) as { results: Result[] };
  const ours = results.filter(({ library }) => library.startsWith("gradmesh"));
  assert.is(ours.length, 10);
  for (const { seconds, cpuSeconds, digest, codec, collective, payloadBytes } of ours) {
    assert.ok(seconds.every((value) => value > 0) && cpuSeconds.every((value) => value >= 0));
    assert.is(
      digest,
      ours.find((other) => other.codec === codec && other.collective === collective)!.digest,
      "security changes no bytes",
    );
    assert.ok(payloadBytes! > 0);
  }
  for (const library of ["gloo", "Open MPI"])
    assert.ok(
      results.some((each) => each.library === library) || stdout.includes(`${library}: none,`),
      library,
    );
  assert.match(stdout, /congestion control \w+/);
  assert.not.match(stdout, /NaN|undefined/);
});

test("a small kill", async () => {
  const options = ["--kill", "--ranks", "3", "--sizes", "1MiB", "--rounds", "1", "--collectives", "ring"];
  const { stdout } = await run(process.execPath, [main, "collective", ...options], { cwd: root });
  assert.match(stdout, /\| median +\|/);
  assert.match(stdout, /(reached|MISSED): seen within 50 ms/);
});

for (const [args, pattern] of [
  [["--sizes", "1GB"], /--sizes has "1GB"; allowed/],
  [["--ranks", "1"], /--ranks has "1"; allowed: 2 to 16/],
  [["--profiles", "moon"], /--profiles has "moon"; allowed: loopback, lan/],
  [["--libraries", "nccl"], /--libraries has "nccl"; allowed/],
  [["--rounds", "0"], /--rounds has "0"; allowed/],
] as const)
  test(`refused: ${args.join(" ")}`, async () => {
    const failed = await run(process.execPath, [main, "collective", ...args], { cwd: root }).then(
      () => undefined,
      ({ stderr }: { stderr: string }) => stderr,
    );
    assert.match(failed ?? "", pattern);
  });

test.run();
