/** All-reduce between endpoints of one process over loopback: milliseconds by size, ranks, collective and codec. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { Bench } from "tinybench";
import { GradmeshError } from "../lib/base/errors.js";
import { formatBytes } from "../lib/base/format.js";
import type { CollectiveName } from "../lib/native/abi.gen.js";
import { native } from "../lib/native/load.js";
import { Endpoint } from "../lib/reduce/endpoint.js";
import { Plan, plainRequest } from "../lib/reduce/plan.js";

const LINK_LIMIT_MS = 5000;
const OPERATION_LIMIT_MS = 60_000;
const SEGMENT_ELEMENTS = 65_536;

interface Trial {
  ranks: number;
  mebibytes: number;
  collective: CollectiveName;
  codec: string;
  encryption: "aes-256-gcm" | "none";
}

/** Every trial as data; the fp32 ring of the same size and ranks is the yardstick of each. */
function trials(sizes: readonly number[]): Trial[] {
  const kinds = [
    { collective: "ring", codec: "fp32", encryption: "none" },
    { collective: "ring", codec: "fp32", encryption: "aes-256-gcm" },
    { collective: "direct", codec: "int8_block", encryption: "none" },
    { collective: "direct", codec: "int8_block", encryption: "aes-256-gcm" },
  ] as const;
  return sizes.flatMap((mebibytes) =>
    [2, 4].flatMap((ranks) => kinds.map((kind) => ({ ranks, mebibytes, ...kind }))),
  );
}

/** Endpoints that are all linked with each other; links[i][j] is i's link to j. */
async function mesh(ranks: number, encryption: Trial["encryption"]) {
  const options = { host: "127.0.0.1", port: 0, silenceLimitMs: 10_000, encryption };
  const endpoints = Array.from({ length: ranks }, () => new Endpoint(options));
  const links = endpoints.map(() => new Int32Array(ranks).fill(-1));
  for (let low = 0; low < ranks; low++)
    for (let high = low + 1; high < ranks; high++) {
      const [ticket, up, down] = [randomBytes(32), randomBytes(32), randomBytes(32)];
      const secrets = { ticket, streams: 1 };
      links[low]![high] = endpoints[low]!.expect(
        { ...secrets, sendKey: down, receiveKey: up },
        LINK_LIMIT_MS,
      );
      const where = { host: "127.0.0.1", port: endpoints[low]!.port };
      const target = { ...where, ...secrets, sendKey: up, receiveKey: down };
      links[high]![low] = await endpoints[high]!.dial(target, LINK_LIMIT_MS);
    }
  return { endpoints, links };
}

/** Times one trial and checks that every rank ended with the same bytes. */
async function measure(trial: Trial, time: number): Promise<{ p50: number; p99: number; digest: string }> {
  const { ranks, mebibytes, collective, codec, encryption } = trial;
  const elements = mebibytes * (1 << 18);
  const { endpoints, links } = await mesh(ranks, encryption);
  const inputs = endpoints.map(() => new Float32Array(elements));
  const outputs = endpoints.map(() => new Float32Array(elements));
  for (const [rank, input] of inputs.entries()) await native.randomNormal(1, rank, 0, 1, input);
  const plans = endpoints.map(
    (_, rank) =>
      new Plan({
        ...plainRequest,
        collective,
        ranks,
        rank,
        elements,
        codec,
        segmentElements: SEGMENT_ELEMENTS,
      }),
  );
  let operation = 0;
  const reduce = async () => {
    operation += 1;
    const call = (endpoint: Endpoint, rank: number) =>
      endpoint.run({
        plan: plans[rank]!,
        links: links[rank]!,
        operation,
        seed: 1,
        step: operation,
        limitMs: OPERATION_LIMIT_MS,
        input: inputs[rank]!,
        output: outputs[rank]!,
        report: new Float64Array(6),
      });
    await Promise.all(endpoints.map(call));
  };
  const bench = new Bench({ time, iterations: 5, warmupIterations: 2, warmupTime: 0, throws: true });
  bench.add("reduce", reduce);
  await bench.run();
  const digests = await Promise.all(outputs.map((output) => native.digest([output])));
  for (const endpoint of endpoints) endpoint.close();
  for (const plan of plans) plan.free();
  if (new Set(digests).size !== 1)
    throw new GradmeshError("ERR_DIVERGED", "the ranks ended with different bytes");
  const result = bench.tasks[0]!.result;
  if (result.state !== "completed")
    throw new GradmeshError("ERR_INTERNAL", `the trial ended as ${result.state}`);
  const { latency } = result;
  return { p50: latency.p50, p99: latency.p99, digest: digests[0]! };
}

function congestionControl(): string {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  } catch {
    return "unknown";
  }
}

const help = `bench reduce [options]
  --sizes 1,16,64    MiB of float32
  --time-ms N        of each trial; default 1500
`;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      sizes: { type: "string", default: "1,16,64" },
      "time-ms": { type: "string", default: "1500" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(help);
  const sizes = values.sizes.split(",").map(Number);
  process.stdout.write(
    `${cpus()[0]?.model}, ${cpus().length} cores, loopback, congestion control ${congestionControl()}, segments of ${SEGMENT_ELEMENTS} elements\n` +
      "ranks     size  collective  codec       encryption       p50 ms    p99 ms  of plain fp32 ring  digest\n",
  );
  let yardstick = 0;
  for (const trial of trials(sizes)) {
    const { p50, p99, digest } = await measure(trial, Number(values["time-ms"]));
    if (trial.codec === "fp32" && trial.encryption === "none") yardstick = p50;
    const { ranks, mebibytes, collective, codec, encryption } = trial;
    process.stdout.write(
      `${String(ranks).padStart(5)}  ${formatBytes(mebibytes * 2 ** 20).padStart(7)}  ${collective.padEnd(10)}  ${codec.padEnd(10)}  ` +
        `${encryption.padEnd(11)}  ${p50.toFixed(2).padStart(10)}  ${p99.toFixed(2).padStart(8)}  ${(p50 / yardstick).toFixed(2).padStart(18)}  ${digest.slice(0, 8)}\n`,
    );
  }
}
