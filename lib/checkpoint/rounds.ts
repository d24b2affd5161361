/** The `round-...` folders of a peer: which there are, and what is wrong with a torn one. */
import { createHash } from "node:crypto";
import { open, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { ioError } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import {
  type CheckpointManifest,
  type CheckpointPart,
  MANIFEST_NAME,
  partNames,
  readManifest,
} from "./manifest.js";

/** A checkpoint whose files were all found intact. */
export interface LoadedCheckpoint {
  readonly folder: string;
  readonly manifest: CheckpointManifest;
}

/** One `round-...` folder, whose manifest may be torn. */
export interface RoundFolder {
  readonly folder: string;
  readonly manifest: CheckpointManifest | null;
  /** Why the manifest is null. */
  readonly problem: GradmeshError | null;
}

const HASH_PIECE_BYTES = 1 << 20;

/** The folder of a round: `round-000012`. */
export function roundFolderName(round: number): string {
  return `round-${String(round).padStart(6, "0")}`;
}

/** `.old` is a round that was being written anew when a crash came (see writeFolderAtomic). */
export const roundPattern = /^round-(\d{6,16})(\.old)?$/;

/** The round in the folder's name. */
export function roundOf(folder: string): number {
  return Number(roundPattern.exec(basename(folder))?.[1] ?? 0);
}

/** The sorted names in a folder; none where it does not exist. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw ioError("read", folder, error);
  }
}

/** A torn manifest's error; others, such as a failing disk, are thrown on. */
export function asProblem(error: unknown): GradmeshError {
  if (error instanceof GradmeshError) return error;
  throw error;
}

/** The rounds of a peer's folder: those with a torn manifest first, then from the newest to the oldest. */
export async function listRounds(peerFolder: string): Promise<RoundFolder[]> {
  const rounds: RoundFolder[] = [];
  for (const name of (await namesIn(peerFolder)).toReversed()) {
    if (!roundPattern.test(name)) continue;
    const folder = join(peerFolder, name);
    try {
      rounds.push({ folder, manifest: await readManifest(folder), problem: null });
    } catch (error) {
      rounds.push({ folder, manifest: null, problem: asProblem(error) });
    }
  }
  const order = (round: RoundFolder) => round.manifest?.sequence ?? Number.POSITIVE_INFINITY;
  return rounds.sort((a, b) => (order(a) === order(b) ? 0 : order(b) - order(a)));
}

/** SHA-256 and length of a file, read in pieces. */
async function measure(path: string, signal?: AbortSignal): Promise<{ bytes: number; sha256: string }> {
  const handle = await open(path, "r");
  try {
    const hash = createHash("sha256");
    const buffer = new Uint8Array(HASH_PIECE_BYTES);
    let bytes = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, bytes);
      if (bytesRead === 0) return { bytes, sha256: hash.digest("hex") };
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** What is wrong with a file of a checkpoint, or null: its length and SHA-256 are compared with the manifest's. */
export async function partProblem(
  { folder, manifest }: LoadedCheckpoint,
  part: CheckpointPart,
  signal?: AbortSignal,
): Promise<string | null> {
  const expected = manifest.files[part];
  const path = join(folder, part);
  const found = await stat(path).catch(() => null);
  if (!found) return `${path}: the file is missing`;
  if (found.size !== expected.bytes)
    return `${path}: ${found.size} bytes, the manifest says ${expected.bytes}`;
  try {
    const { sha256 } = await measure(path, signal);
    if (sha256 === expected.sha256) return null;
    return `${path}: its bytes were changed: SHA-256 ${sha256.slice(0, 16)}..., the manifest says ${expected.sha256.slice(0, 16)}...`;
  } catch (error) {
    signal?.throwIfAborted();
    return ioError("read", path, error).message;
  }
}

/** What is wrong with a round, or null when it is intact. */
export async function roundProblem(round: RoundFolder, signal?: AbortSignal): Promise<string | null> {
  if (!round.manifest) return round.problem?.message ?? "no manifest";
  for (const part of partNames) {
    const problem = await partProblem({ folder: round.folder, manifest: round.manifest }, part, signal);
    if (problem) return problem;
  }
  return null;
}

/** Files in a round's folder that the manifest does not know; they do no harm, but someone put them there. */
export async function extraFiles(folder: string): Promise<string[]> {
  const known: readonly string[] = [...partNames, MANIFEST_NAME];
  return (await namesIn(folder)).filter((name) => !known.includes(name));
}
