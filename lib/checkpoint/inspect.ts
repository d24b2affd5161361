/** What a checkpoint holds, for people and tools: whose it is, its tensors, and which of its files are intact. */
import { join } from "node:path";
import { GradmeshError } from "../base/errors.js";
import { findRounds } from "./checkpoint.js";
import { type CheckpointManifest, type CheckpointPart, partNames } from "./manifest.js";
import { extraFiles, partProblem, type RoundFolder } from "./rounds.js";
import { scanSafetensors, type TensorEntry } from "./safetensors.js";

export interface TensorSummary {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly bytes: number;
  /** Over the finite elements; null for none, or for a type that is not F32. */
  readonly minimum: number | null;
  readonly maximum: number | null;
  /** NaN and infinite elements. */
  readonly nonFinite: number;
}

export interface FileSummary {
  readonly name: CheckpointPart;
  readonly bytes: number;
  readonly sha256: string;
  /** Null when the file is intact. */
  readonly problem: string | null;
  readonly tensors: readonly TensorSummary[];
}

export interface RoundSummary {
  readonly folder: string;
  /** Whether every file is there, unchanged. */
  readonly intact: boolean;
  readonly problems: readonly string[];
  /** Null when it is torn; then there are no files either. */
  readonly manifest: CheckpointManifest | null;
  readonly files: readonly FileSummary[];
  /** Files in the folder that are not of the checkpoint. */
  readonly extra: readonly string[];
}

/** A tensor's running minimum, maximum and count of elements that are not finite. */
class Range {
  minimum = Number.POSITIVE_INFINITY;
  maximum = Number.NEGATIVE_INFINITY;
  nonFinite = 0;

  add(values: Float32Array): void {
    for (const value of values) {
      if (!Number.isFinite(value)) this.nonFinite += 1;
      else {
        if (value < this.minimum) this.minimum = value;
        if (value > this.maximum) this.maximum = value;
      }
    }
  }
}

function summarize(entry: TensorEntry, range: Range | undefined): TensorSummary {
  const some = range !== undefined && range.minimum <= range.maximum;
  return {
    name: entry.name,
    type: entry.type,
    shape: entry.shape,
    elements: entry.elements,
    bytes: entry.end - entry.begin,
    minimum: some ? range.minimum : null,
    maximum: some ? range.maximum : null,
    nonFinite: range?.nonFinite ?? 0,
  };
}

async function tensorsOf(path: string): Promise<TensorSummary[]> {
  const ranges = new Map<string, Range>();
  const header = await scanSafetensors(path, (entry, piece) => {
    if (entry.type !== "F32") return;
    const range = ranges.get(entry.name) ?? new Range();
    ranges.set(entry.name, range);
    range.add(new Float32Array(piece.buffer, piece.byteOffset, piece.byteLength / 4));
  });
  return header.tensors.map((entry) => summarize(entry, ranges.get(entry.name)));
}

async function inspectPart(
  folder: string,
  manifest: CheckpointManifest,
  name: CheckpointPart,
  signal: AbortSignal | undefined,
): Promise<FileSummary> {
  let problem = await partProblem({ folder, manifest }, name, signal);
  let tensors: TensorSummary[] = [];
  try {
    // Also of a changed file: where the header still makes sense, its content helps to find what happened.
    tensors = await tensorsOf(join(folder, name));
  } catch (error) {
    if (!(error instanceof GradmeshError)) throw error;
    problem ??= error.message;
  }
  return { name, ...manifest.files[name], problem, tensors };
}

async function inspectRound(round: RoundFolder, signal: AbortSignal | undefined): Promise<RoundSummary> {
  const { folder, manifest } = round;
  const extra = await extraFiles(folder);
  if (!manifest) {
    const problems = [round.problem?.message ?? "no manifest"];
    return { folder, intact: false, problems, manifest, files: [], extra };
  }
  const files: FileSummary[] = [];
  for (const part of partNames) files.push(await inspectPart(folder, manifest, part, signal));
  const problems = files.flatMap((file) => (file.problem === null ? [] : [file.problem]));
  return { folder, intact: problems.length === 0, problems, manifest, files, extra };
}

/**
 * Summarizes every checkpoint at a path (a round's, a peer's or a run's folder), reading all of it; torn ones are
 * described, not refused.
 * @throws ERR_CHECKPOINT when no checkpoint is there.
 */
export async function inspectCheckpoints(path: string, signal?: AbortSignal): Promise<RoundSummary[]> {
  const summaries: RoundSummary[] = [];
  for (const round of await findRounds(path)) summaries.push(await inspectRound(round, signal));
  return summaries;
}
