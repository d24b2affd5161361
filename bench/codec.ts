/** Times every codec on every backend beside memcpy, and beside what users would otherwise pick; --error: see codec-error.ts. */
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import {
  type CodecResult,
  type Description,
  markdownReport,
  type PeerTime,
  type Report,
  sizeName,
  type Time,
} from "./codec-report.js";
import { runNative, runProgram } from "./native-program.js";

const python = "/usr/bin/python3";
const torchScript = fileURLToPath(new URL("../../bench/codec_torch.py", import.meta.url));
/** A cache's segment, and what no cache holds. */
const STANDARD_SIZES = "256KiB,256MiB";
const QUICK_SIZES = "16KiB";
const STANDARD_TURNS = 9;
/** PyTorch's peers cut their tensors into blocks of this many bytes. */
const SIZE_STEP = 16 * 2 ** 10;
const SIZE_MOST = 2 ** 30;

type NativeRecord =
  | ({ readonly kind: "codec" } & Description)
  | ({ readonly kind: "time"; readonly codec: string } & Time)
  | ({ readonly kind: "peer" } & PeerTime)
  | { readonly kind: "missing"; readonly peer: string; readonly why: string };

/** "256KiB,256MiB" as bytes. */
function parseSizes(text: string): number[] {
  return text.split(",").map((part) => {
    const found = /^(\d+)(KiB|MiB)$/.exec(part);
    const bytes = found ? Number(found[1]) * (found[2] === "KiB" ? 2 ** 10 : 2 ** 20) : 0;
    if (bytes > 0 && bytes % SIZE_STEP === 0 && bytes <= SIZE_MOST) return bytes;
    throw new GradmeshError(
      "ERR_CONFIG",
      `--sizes has "${part}"; allowed: multiples of ${sizeName(SIZE_STEP)} up to ${sizeName(SIZE_MOST)}, as in ${STANDARD_SIZES}`,
    );
  });
}

/** Collects what the native program and PyTorch print. */
class Collector {
  readonly cases: (CodecResult & { times: Time[] })[] = [];
  readonly peers: PeerTime[] = [];
  readonly missing: string[] = [];
  #last = "";

  add(record: NativeRecord): void {
    if (record.kind === "codec") {
      const { kind: _, ...description } = record;
      this.cases.push({ ...description, times: [] });
    } else if (record.kind === "time") {
      const { kind: _, codec, ...time } = record;
      this.#progress(`${codec} ${time.backend} ${sizeName(time.size)}`);
      this.cases.find((each) => each.codec === codec)!.times.push(time);
    } else if (record.kind === "peer") {
      const { kind: _, ...time } = record;
      this.#progress(`${time.peer} ${sizeName(time.size)}`);
      this.peers.push(time);
    } else if (!this.missing.includes(`${record.peer}: none, ${record.why}`)) {
      this.missing.push(`${record.peer}: none, ${record.why}`);
    }
  }

  /** Ends a run: every backend must have made the same bytes. */
  check(): void {
    for (const { codec, times } of this.cases)
      for (const { size, digest, backend } of times) {
        const other = times.find((time) => time.size === size && time.digest !== digest);
        if (other !== undefined)
          throw new GradmeshError(
            "ERR_DIVERGED",
            `${codec}: ${backend} and ${other.backend} made different bytes of ${sizeName(size)}`,
          );
      }
  }

  #progress(now: string): void {
    if (now === this.#last || !process.stderr.isTTY) return;
    this.#last = now;
    process.stderr.write(`\r\x1b[K${now}`);
  }
}

/** PyTorch on one thread; where it cannot be had, the reason. */
async function runTorch(collector: Collector, turns: number, sizes: readonly number[]): Promise<void> {
  const env = { ...process.env, OMP_NUM_THREADS: "1", PYTHONDONTWRITEBYTECODE: "1" };
  const args = [torchScript, String(turns), ...sizes.map(String)];
  const { code, errors } = await runProgram(python, args, (line) => collector.add(JSON.parse(line)), { env });
  if (code !== 0)
    collector.add({
      kind: "missing",
      peer: "PyTorch",
      why: `because ${python} said: ${errors.split("\n").at(-1)}`,
    });
}

/** Keeps what was measured before of every codec that there still is, and says anew what each is. */
async function describe(path: string): Promise<void> {
  const before: Report = JSON.parse(await readFile(path, "utf8"));
  const collector = new Collector();
  await runNative("bench_codec", ["--describe"], (record) => collector.add(record as NativeRecord));
  const cases = collector.cases.map((now) => ({
    ...now,
    times: before.cases.find(({ codec }) => codec === now.codec)?.times ?? [],
  }));
  await writeReport(path, { ...before, cases });
}

async function writeReport(path: string, report: Report): Promise<void> {
  // A line a record: the file is compared and read by people too.
  const list = (records: readonly unknown[]) =>
    records.map((record) => `    ${JSON.stringify(record)}`).join(",\n");
  const { cases, peers, ...rest } = report;
  const head = JSON.stringify(rest).slice(1, -1);
  await writeFile(
    path,
    `{\n  ${head},\n  "cases": [\n${list(cases)}\n  ],\n  "peers": [\n${list(peers)}\n  ]\n}\n`,
  );
}

const several = { type: "string", multiple: true } as const;
const options = {
  codec: several,
  backend: several,
  sizes: { type: "string" },
  turns: { type: "string" },
  quick: { type: "boolean", default: false },
  json: { type: "string" },
  out: { type: "string" },
  describe: { type: "boolean", default: false },
  error: { type: "boolean", default: false },
  help: { type: "boolean" },
} as const;

const help = `bench codec [options]
  --codec SPEC              more than once for several; default: all
  --backend NAME            more than once for several; default: all that the machine has
  --sizes 256KiB,256MiB     of float32
  --turns N
  --quick                   one turn of a small size, for CI
  --json FILE               writes the figures; docs/codecs.md is generated from bench/results/codec.json
  --out FILE                writes the tables
  --describe --json FILE    only renews what FILE says the codecs are
  --error [--quick] [--out FILE]    measures errors instead
`;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  if (values.error) return (await import("./codec-error.js")).run(values);
  if (values.describe) {
    if (values.json === undefined)
      throw new GradmeshError("ERR_CONFIG", "--describe needs --json FILE, which it renews");
    return describe(values.json);
  }
  const sizes = parseSizes(values.sizes ?? (values.quick ? QUICK_SIZES : STANDARD_SIZES));
  const turns = Number(values.turns ?? (values.quick ? 1 : STANDARD_TURNS));
  if (!Number.isSafeInteger(turns) || turns < 1)
    throw new GradmeshError("ERR_CONFIG", `--turns is ${values.turns}; allowed: a positive integer`);
  const collector = new Collector();
  const each = (name: string, list: readonly (string | number)[] = []) =>
    list.flatMap((value) => [name, String(value)]);
  const native = [
    ...each("--codec", values.codec),
    ...each("--backend", values.backend),
    ...each("--bytes", sizes),
  ];
  await runNative("bench_codec", [...native, "--turns", String(turns)], (record) =>
    collector.add(record as NativeRecord),
  );
  collector.check();
  await runTorch(collector, turns, sizes);
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const report: Report = {
    machine: `${cpus()[0]?.model ?? "unknown CPU"}, ${cpus().length} cores`,
    date: new Date().toISOString().slice(0, 10),
    cases: collector.cases,
    peers: collector.peers,
  };
  const text = markdownReport(report, collector.missing);
  process.stdout.write(text);
  if (values.out !== undefined) await writeFile(values.out, `# The codecs' speed\n\n${text}`);
  if (values.json !== undefined) await writeReport(values.json, report);
}
