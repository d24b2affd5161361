/** gradmesh inspect: what a checkpoint holds, and whether it is intact. */
import { Command } from "commander";
import { formatBytes } from "../../base/format.js";
import { inspectCheckpoints, type RoundSummary } from "../../checkpoint/inspect.js";

function roundLines(round: RoundSummary): string[] {
  const lines = [`${round.folder}: ${round.intact ? "intact" : "TORN"}`];
  for (const problem of round.problems) lines.push(`  problem: ${problem}`);
  if (round.extra.length > 0) lines.push(`  not of the checkpoint: ${round.extra.join(", ")}`);
  const { manifest } = round;
  if (manifest === null) return lines;
  lines.push(
    `  run ${manifest.runId}, round ${manifest.round}, epoch ${manifest.epoch}, ${manifest.step} inner steps, by ${manifest.createdBy}`,
    `  peer ${manifest.peerId}, shard ${manifest.shard} of the data`,
    `  members ${manifest.members.map(({ peerId, shard }) => `${peerId} (shard ${shard})`).join(", ")}`,
    `  state digest ${manifest.stateDigest}`,
  );
  for (const file of round.files) {
    lines.push(`  ${file.name}: ${formatBytes(file.bytes)}, sha256 ${file.sha256}`);
    for (const { name, type, shape, minimum, maximum, nonFinite } of file.tensors) {
      const range =
        minimum === null || maximum === null
          ? ""
          : `  ${minimum.toPrecision(4)} to ${maximum.toPrecision(4)}`;
      const bad = nonFinite === 0 ? "" : `  ${nonFinite} NaN or infinite`;
      lines.push(`    ${name}  ${type} [${shape.join(", ")}]${range}${bad}`);
    }
  }
  return lines;
}

export function inspectCommand(): Command {
  return new Command("inspect")
    .description("Shows what a checkpoint holds: run, round, digests, tensors, and which files are intact.")
    .argument("<checkpoint>", "a round's folder, a peer's folder, or a run's folder")
    .option("--json", "the same as JSON")
    .action(async (path: string, flags: { json?: boolean }) => {
      const rounds = await inspectCheckpoints(path);
      const text = flags.json ? JSON.stringify(rounds, null, 2) : rounds.flatMap(roundLines).join("\n");
      process.stdout.write(`${text}\n`);
    });
}
