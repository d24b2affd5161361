/** The manifest of a checkpoint: whose state it is, from which round, and the digest of every file beside it. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ioError } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";

export const MANIFEST_NAME = "manifest.json";
const FORMAT = "gradmesh-checkpoint";
/** 2: the state's digest is BLAKE3; version 1 had a tree of SHA-256, which this gradmesh cannot compare with. */
const VERSION = 2;
/** A longer manifest is refused unread; a run of 16 peers needs a few kB. */
const MANIFEST_BYTES_MAX = 4 << 20;

/** The tensor files of a checkpoint. */
export const partNames = ["outer.safetensors", "inner.safetensors"] as const;
export type CheckpointPart = (typeof partNames)[number];

const count = z.int().min(0);
const digest = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 hex characters");
const identity = z.string().min(1).max(200);
const fileSchema = z.strictObject({ bytes: count, sha256: digest });

const stateShape = {
  /** The run this state belongs to. */
  runId: identity,
  /** The run's config, as lib/run wrote it. */
  config: z.record(z.string(), z.unknown()),
  peerId: identity,
  /** The peer's shard of the data. */
  shard: count,
  /** Outer steps completed. */
  round: count,
  /** The membership epoch of that round. */
  epoch: count,
  /** Inner steps completed: the position in the shard's data. */
  step: count,
  /** Who took part in that round. */
  members: z.array(z.strictObject({ peerId: identity, shard: count })).max(1024),
  /** The digest that every member of that round has in common. */
  stateDigest: digest,
  /** The trainer's counter-based random numbers. */
  random: z.strictObject({ seed: count, stream: count }),
  /** The program that wrote it: "gradmesh 0.1.0". */
  createdBy: identity,
};

const manifestSchema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  /** Grows with every save in a folder: the highest is the newest, also after a return to an earlier round. */
  sequence: count,
  ...stateShape,
  files: z.strictObject({ "outer.safetensors": fileSchema, "inner.safetensors": fileSchema }),
  /** SHA-256 of this manifest's text without this line. */
  digest,
});

const stateSchema = z.strictObject(stateShape);

/** What a peer knows about its own state; the rest of the manifest is computed. */
export type CheckpointState = z.infer<typeof stateSchema>;
export type CheckpointManifest = z.infer<typeof manifestSchema>;
export type CheckpointFiles = CheckpointManifest["files"];

function problems(error: z.ZodError): string {
  return error.issues
    .slice(0, 8)
    .map((issue) => `${issue.path.join(".") || "the whole"}: ${issue.message}`)
    .join("; ");
}

function digestOf(manifest: Record<string, unknown>): string {
  const { digest: _, ...rest } = manifest;
  return createHash("sha256")
    .update(JSON.stringify(rest, null, 2))
    .digest("hex");
}

/**
 * The manifest's object and the exact text of its file.
 * @throws ERR_INVALID_ARGUMENT naming the field of the state that is impossible.
 */
export function encodeManifest(
  state: CheckpointState,
  sequence: number,
  files: CheckpointFiles,
): { manifest: CheckpointManifest; text: string } {
  const checked = stateSchema.safeParse(state);
  if (!checked.success)
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `checkpoint state: ${problems(checked.error)}`);
  const rest = { format: FORMAT, version: VERSION, sequence, ...checked.data, files } as const;
  const manifest = { ...rest, digest: digestOf(rest) };
  return { manifest, text: `${JSON.stringify(manifest, null, 2)}\n` };
}

function otherVersion(version: number): string {
  const cure =
    version < VERSION ? "older release that wrote it, or begin the run anew" : "release that wrote it";
  return `checkpoint format ${version}, and this gradmesh reads format ${VERSION}; resume it with the ${cure}`;
}

/**
 * Parses the text of a manifest; any changed byte is found.
 * @throws ERR_CHECKPOINT naming the file and what is wrong with it.
 */
export function decodeManifest(path: string, text: string): CheckpointManifest {
  const torn = (why: string, cause?: unknown) =>
    new GradmeshError("ERR_CHECKPOINT", `${path}: ${why}`, cause === undefined ? {} : { cause });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw torn("the manifest is not valid JSON", cause);
  }
  const head = z.object({ format: z.literal(FORMAT), version: z.int() }).safeParse(json);
  if (!head.success) throw torn("this is not the manifest of a gradmesh checkpoint");
  if (head.data.version !== VERSION) throw torn(otherVersion(head.data.version));
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw torn(problems(parsed.error));
  const exact = text === `${JSON.stringify(json, null, 2)}\n`;
  if (!exact || digestOf(json as Record<string, unknown>) !== parsed.data.digest)
    throw torn("the manifest was changed after it was written: its digest differs");
  return parsed.data;
}

/** Reads and checks the manifest of a round folder. @throws ERR_CHECKPOINT; ERR_IO when it cannot be read. */
export async function readManifest(folder: string): Promise<CheckpointManifest> {
  const path = join(folder, MANIFEST_NAME);
  let text: string;
  try {
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      if (size > MANIFEST_BYTES_MAX)
        throw new GradmeshError("ERR_CHECKPOINT", `${path}: ${size} bytes; allowed: ${MANIFEST_BYTES_MAX}`);
      text = await handle.readFile("utf8");
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new GradmeshError("ERR_CHECKPOINT", `${path}: the file is missing`, { cause: error });
    throw ioError("read", path, error);
  }
  return decodeManifest(path, text);
}
