/** The canonical workload: four peers on loopback train the standard GPT by DiLoCo; bytes and seconds per inner step. */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatBytes, formatSeconds } from "../lib/base/format.js";
import { runDemo } from "../lib/cli/demo/demo.js";

const help = `bench canonical [options]
  --rounds N         default 6
  --inner-steps N    of a round; default 20
`;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: "string", default: "6" },
      "inner-steps": { type: "string", default: "20" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(help);
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-bench-"));
  try {
    const report = await runDemo({
      peers: 4,
      rounds: Number(values.rounds),
      innerSteps: Number(values["inner-steps"]),
      data: "moby-dick",
      seed: 1,
      folder,
      json: false,
      killRound: null,
      rejoinRound: 1,
      signal: new AbortController().signal,
    });
    const steps = report.rounds * report.innerSteps;
    const digest = Object.values(report.stateDigests)[0]!;
    process.stdout.write(
      `\n${report.peers} peers on ${cpus().length} cores (${cpus()[0]?.model}), loopback, AES-256-GCM, state ${digest.slice(0, 16)}\n` +
        `${formatBytes(report.bytesPerInnerStep.sent)} sent per peer and inner step\n` +
        `${formatSeconds(report.trainingSeconds / steps)} per inner step, ${(100 * report.syncShare).toFixed(1)} % of it in sync\n`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
