/**
 * Checkpoints of one peer: a folder `round-000012/` with outer.safetensors, inner.safetensors and manifest.json,
 * written atomically, verified by SHA-256 before anything of it is used.
 *
 * A peer's folder holds its newest rounds; a run's folder holds `peers/<name>/checkpoints/round-...`.
 */
import { createHash } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type FileContent,
  ioError,
  removeFolderAtomic,
  removeTemporaries,
  writeFileDurable,
  writeFolderAtomic,
} from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import {
  type CheckpointFiles,
  type CheckpointPart,
  type CheckpointState,
  encodeManifest,
  MANIFEST_NAME,
  partNames,
  readManifest,
} from "./manifest.js";
import {
  asProblem,
  extraFiles,
  type LoadedCheckpoint,
  listRounds,
  namesIn,
  type RoundFolder,
  roundFolderName,
  roundOf,
  roundPattern,
  roundProblem,
} from "./rounds.js";
import { encodeSafetensors, type NamedTensor, readSafetensors } from "./safetensors.js";

export type { CheckpointManifest, CheckpointPart, CheckpointState } from "./manifest.js";
export type { LoadedCheckpoint } from "./rounds.js";
export type { NamedTensor } from "./safetensors.js";

/** What `saveCheckpoint` writes. No tensor may change until it resolves. */
export interface CheckpointContents {
  readonly state: CheckpointState;
  /** "parameters/<tensor>" (the anchor of the round) and "momentum/<tensor>". */
  readonly outer: readonly NamedTensor[];
  /** The trainer's inner state, and the working parameters where they differ from the anchor. */
  readonly inner: readonly NamedTensor[];
}

/** What a path holds: one checkpoint, or one per peer of a run, and what was passed over and why. */
export interface CheckpointSearch {
  readonly checkpoints: readonly LoadedCheckpoint[];
  readonly warnings: readonly string[];
}

async function* hashed(
  content: Iterable<Uint8Array>,
  done: (file: { bytes: number; sha256: string }) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let bytes = 0;
  for (const piece of content) {
    signal?.throwIfAborted();
    hash.update(piece);
    bytes += piece.byteLength;
    yield piece;
  }
  done({ bytes, sha256: hash.digest("hex") });
}

async function writeParts(
  folder: string,
  contents: CheckpointContents,
  signal: AbortSignal | undefined,
): Promise<CheckpointFiles> {
  const files: CheckpointFiles = {
    "outer.safetensors": { bytes: 0, sha256: "" },
    "inner.safetensors": { bytes: 0, sha256: "" },
  };
  const { runId, peerId, round } = contents.state;
  const metadata = { format: "gradmesh", runId, peerId, round: String(round) };
  const tensors = { "outer.safetensors": contents.outer, "inner.safetensors": contents.inner };
  for (const part of partNames) {
    const pieces: FileContent = hashed(
      encodeSafetensors(tensors[part], metadata),
      (file) => {
        files[part] = file;
      },
      signal,
    );
    await writeFileDurable(join(folder, part), pieces);
  }
  return files;
}

/** Whether every file is there with its length: enough to decide what may be deleted. */
async function looksWhole({ folder, manifest }: RoundFolder): Promise<boolean> {
  if (!manifest) return false;
  for (const part of partNames) {
    const found = await stat(join(folder, part)).catch(() => null);
    if (found?.size !== manifest.files[part].bytes) return false;
  }
  return true;
}

/** Deletes whole rounds past the newest `keep`, and torn ones older than every round that stays. */
async function prune(peerFolder: string, keep: number): Promise<void> {
  const torn: RoundFolder[] = [];
  const whole: RoundFolder[] = [];
  for (const round of await listRounds(peerFolder)) ((await looksWhole(round)) ? whole : torn).push(round);
  const oldest = Math.min(...whole.slice(0, keep).map((round) => roundOf(round.folder)));
  const outdated = torn.filter((round) => roundOf(round.folder) < oldest);
  for (const { folder } of [...whole.slice(keep), ...outdated]) await removeFolderAtomic(folder);
}

/**
 * Saves one peer's state as `<peerFolder>/round-NNNNNN` and keeps the newest `keep` whole ones; older and torn ones
 * are deleted only once the new one is durable. One save at a time per folder.
 * @throws ERR_IO naming the path and the cure (the older checkpoints stay); ERR_INVALID_ARGUMENT naming the field or
 * tensor that is impossible; the signal's reason.
 */
export async function saveCheckpoint(
  peerFolder: string,
  contents: CheckpointContents,
  options: { keep: number; signal?: AbortSignal },
): Promise<{ folder: string; bytes: number }> {
  const { keep, signal } = options;
  if (!Number.isSafeInteger(keep) || keep < 1)
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `keep is ${keep}; allowed: an integer from 1`);
  signal?.throwIfAborted();
  const folder = join(peerFolder, roundFolderName(contents.state.round));
  try {
    await mkdir(peerFolder, { recursive: true });
    await removeTemporaries(peerFolder);
  } catch (error) {
    throw ioError("write", peerFolder, error);
  }
  const sequences = (await listRounds(peerFolder)).map((round) => round.manifest?.sequence ?? 0);
  let bytes = 0;
  try {
    await writeFolderAtomic(folder, async (temporary) => {
      const files = await writeParts(temporary, contents, signal);
      const { text } = encodeManifest(contents.state, Math.max(0, ...sequences) + 1, files);
      await writeFileDurable(join(temporary, MANIFEST_NAME), text);
      bytes = files["outer.safetensors"].bytes + files["inner.safetensors"].bytes + Buffer.byteLength(text);
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  try {
    await prune(peerFolder, keep);
  } catch (error) {
    throw ioError("delete old checkpoints in", peerFolder, error);
  }
  return { folder, bytes };
}

async function extraWarnings(folder: string): Promise<string[]> {
  const extra = await extraFiles(folder);
  return extra.length === 0
    ? []
    : [`${folder}: ignored files that are not of the checkpoint: ${extra.join(", ")}`];
}

async function loadNewest(
  peerFolder: string,
  options: { round?: number; signal?: AbortSignal },
): Promise<CheckpointSearch> {
  const warnings: string[] = [];
  for (const round of await listRounds(peerFolder)) {
    if (options.round !== undefined && round.manifest && round.manifest.round !== options.round) continue;
    const problem = await roundProblem(round, options.signal);
    if (problem === null) {
      const checkpoints = [{ folder: round.folder, manifest: round.manifest! }];
      return { checkpoints, warnings: [...warnings, ...(await extraWarnings(round.folder))] };
    }
    warnings.push(`skipped the torn checkpoint ${round.folder}: ${problem}`);
  }
  return { checkpoints: [], warnings };
}

/** What a path is: one round, or the peer folders in it. */
async function classify(path: string): Promise<{ round: string } | { peerFolders: string[] }> {
  const names = await namesIn(path);
  if (names.includes(MANIFEST_NAME) || partNames.some((part) => names.includes(part))) return { round: path };
  if (names.some((name) => roundPattern.test(name))) return { peerFolders: [path] };
  if (names.includes("checkpoints")) return classify(join(path, "checkpoints"));
  const peers = names.includes("peers") ? await namesIn(join(path, "peers")) : [];
  return { peerFolders: peers.map((name) => join(path, "peers", name, "checkpoints")) };
}

/** Every `round-...` folder at a path (a round, a peer's folder or a run's folder), intact or not. */
export async function findRounds(path: string): Promise<RoundFolder[]> {
  const found = await classify(path);
  const rounds: RoundFolder[] = [];
  if ("peerFolders" in found)
    for (const peerFolder of found.peerFolders) rounds.push(...(await listRounds(peerFolder)));
  else
    rounds.push(
      await readManifest(found.round).then(
        (manifest) => ({ folder: found.round, manifest, problem: null }),
        (error) => ({ folder: found.round, manifest: null, problem: asProblem(error) }),
      ),
    );
  if (rounds.length === 0)
    throw new GradmeshError(
      "ERR_CHECKPOINT",
      `${path}: no checkpoint is there; give a round's folder, a peer's folder with round-... in it, or a run's folder with peers/ in it`,
    );
  return rounds;
}

/**
 * Finds and verifies checkpoints: the given round; or the newest intact round of a peer's folder; or that of every
 * peer of a run's folder, in the order of their names. Torn ones that are passed over are named in `warnings`.
 * @param options.round takes this round of each peer instead of the newest.
 * @throws ERR_CHECKPOINT naming the file and what is wrong, when no intact checkpoint is there.
 */
export async function loadCheckpoints(
  path: string,
  options: { round?: number; signal?: AbortSignal } = {},
): Promise<CheckpointSearch> {
  const found = await classify(path);
  if ("round" in found) {
    const round = (await findRounds(path))[0]!;
    const problem = await roundProblem(round, options.signal);
    if (problem !== null) throw new GradmeshError("ERR_CHECKPOINT", `the checkpoint is torn: ${problem}`);
    const checkpoint = { folder: found.round, manifest: round.manifest! };
    return { checkpoints: [checkpoint], warnings: await extraWarnings(found.round) };
  }
  const searches: CheckpointSearch[] = [];
  for (const peerFolder of found.peerFolders) searches.push(await loadNewest(peerFolder, options));
  const checkpoints = searches.flatMap((search) => search.checkpoints);
  const warnings = searches.flatMap((search) => search.warnings);
  if (checkpoints.length > 0) return { checkpoints, warnings };
  if (warnings.length === 0) await findRounds(path);
  const wanted =
    options.round === undefined ? "no intact checkpoint" : `no intact checkpoint of round ${options.round}`;
  throw new GradmeshError("ERR_CHECKPOINT", [`${path}: ${wanted} is there`, ...warnings].join("\n  "));
}

/**
 * Reads the tensors of one file of a loaded checkpoint into given arrays: exactly the file's names and shapes.
 * @throws ERR_CHECKPOINT naming the file and the tensor; then no target was written.
 */
export async function readCheckpoint(
  checkpoint: LoadedCheckpoint,
  part: CheckpointPart,
  targets: readonly NamedTensor[],
): Promise<void> {
  await readSafetensors(join(checkpoint.folder, part), targets);
}
