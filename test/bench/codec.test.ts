/** The codec bench runs, over every codec and backend, and what the committed results say of each codec is still so. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Description, isUnderGoal, type Report, type Time } from "../../bench/codec-report.js";
import { codecCases } from "../../lib/native/abi.gen.js";
import { native } from "../../lib/native/load.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const main = join(root, "dist", "bench", "main.js");
const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "gradmesh-bench-"));
test.after(() => rm(folder, { recursive: true, force: true }));

const traits = ({ codec, bits, block, linear, unbiased, contractive, exactSum }: Description) => ({
  codec,
  bits,
  block,
  linear,
  unbiased,
  contractive,
  exactSum,
});

/** A specification without the options that are defaults. */
function specOf(spec: string): string {
  return JSON.parse(native.codecDescribe(native.codecOpen(spec))).spec;
}

test("a quick run times every case on every backend, and says what each codec is", async () => {
  const path = join(folder, "codec.json");
  const { stdout } = await run(process.execPath, [main, "codec", "--quick", "--json", path], { cwd: root });
  const report: Report = JSON.parse(await readFile(path, "utf8"));
  assert.equal(
    report.cases.map(({ codec }) => codec),
    codecCases.map(specOf),
  );
  const backends = new Set(report.cases.flatMap(({ times }) => times.map(({ backend }) => backend)));
  for (const { codec, times, block } of report.cases) {
    assert.is(times.length, 5 * backends.size, codec);
    assert.ok(times.every(({ seconds, memcpySeconds }) => seconds > 0 && memcpySeconds >= 0));
    const described = JSON.parse(native.codecDescribe(native.codecOpen(codec)));
    assert.is(block, described.blockElements);
    assert.match(stdout, codec);
  }
  const committed = join(root, "bench", "results", "codec.json");
  if (!existsSync(committed)) return;
  const results: Report = JSON.parse(await readFile(committed, "utf8"));
  assert.equal(
    results.cases.map(traits),
    report.cases.map(traits),
    "bench/results/codec.json is stale: npm run bench -- codec --describe --json bench/results/codec.json && npm run generate",
  );
});

test("the table of errors is made, with all codecs in it", async () => {
  const { stdout } = await run(process.execPath, [main, "codec", "--error", "--quick"], { cwd: root });
  const named = [...stdout.matchAll(/^\| (\w+(?::[\w=,]+)?) +\|/gm)].map((found) => found[1]!);
  const specs = named.filter((name) => name !== "codec").map((name) => specOf(name));
  assert.is(new Set(specs).size, specs.length, "a codec is measured twice");
  for (const spec of codecCases) assert.ok(spec.startsWith("lowrank") || specs.includes(specOf(spec)), spec);
  assert.not.match(stdout, /NaN|undefined/);
});

test("a goal is missed below 0.8 of memcpy, a transform's below 1 GB/s, on AVX-512 and memory-resident buffers", () => {
  const time = (changes: Partial<Time>): Time => ({
    backend: "avx512",
    operation: "encode",
    size: 2 ** 28,
    bytes: 2 ** 28,
    moved: 2 ** 29,
    seconds: 2 ** 28 / 2e9,
    memcpySeconds: 1,
    ratio: 0.79,
    turns: 9,
    digest: "",
    ...changes,
  });
  assert.ok(isUnderGoal("int4_block:scale=fp32", time({})));
  assert.not(isUnderGoal("int4_block:scale=fp32", time({ ratio: 0.8 })));
  assert.not(isUnderGoal("int4_block", time({ backend: "avx2" })));
  assert.not(isUnderGoal("int4_block", time({ size: 2 ** 18 })));
  assert.not(isUnderGoal("topk:k=8", time({ ratio: 0.1 })));
  assert.ok(isUnderGoal("topk:k=8", time({ ratio: 0.9, seconds: 1 })));
});

for (const [args, pattern] of [
  [["--codec", "int9"], /there is no codec/],
  [["--sizes", "3KiB"], /--sizes has "3KiB"; allowed/],
  [["--turns", "0"], /--turns is 0; allowed/],
  [["--describe"], /needs --json/],
] as const)
  test(`refused: ${args.join(" ")}`, async () => {
    const failed = await run(process.execPath, [main, "codec", ...args], { cwd: root }).then(
      () => undefined,
      ({ stderr }: { stderr: string }) => stderr,
    );
    assert.match(failed ?? "", pattern);
  });

test.run();
