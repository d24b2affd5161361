/** A whole arm on the disk between two rounds, so that one that was stopped goes on as if it never had been. */
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { replacedPath, writeFileDurable, writeFolderAtomic } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import { encodeSafetensors, type NamedTensor, readSafetensors } from "../checkpoint/safetensors.js";
import type { Engine } from "../engine/engine.js";
import type { Cluster } from "./cluster.js";
import type { EngineMaker } from "./maker.js";

const clock = z.strictObject({ since: z.int(), now: z.int(), worked: z.int(), cardFree: z.int() });
const peer = z.strictObject({
  status: z.enum(["away", "member", "resting", "gone"]),
  clock,
  spared: z.boolean(),
  comesRound: z.int(),
});
const snapshotSchema = z.strictObject({
  /** The plan's. */
  digest: z.string(),
  round: z.int(),
  epoch: z.int(),
  peers: z.array(peer),
});

type SnapshotState = z.output<typeof snapshotSchema>;

const STATE_FILE = "state.json";
const tensorFile = (shard: number) => `peer-${shard}.safetensors`;
export const snapshotPath = (folder: string, name: string): string => join(folder, "snapshots", name);

/** Shared and local tensors of one engine, under names of their own. */
function tensorsOf(shared: readonly NamedTensor[], local: readonly NamedTensor[]): NamedTensor[] {
  const named = (kind: string, tensors: readonly NamedTensor[]) =>
    tensors.map(({ name, shape, data }) => ({ name: `${kind}/${name}`, shape, data }));
  return [...named("shared", shared), ...named("local", local)];
}

/** Where members agree, what they share is the same bytes, and lies in the file of the first. */
const sharedIn = (engine: Engine, first: boolean) => (engine.equal && !first ? [] : engine.shared);

/** Writes the state between two rounds, in place of an older one. @throws ERR_IO. */
export async function saveSnapshot(
  folder: string,
  name: string,
  cluster: Cluster,
  digest: string,
): Promise<void> {
  const path = snapshotPath(folder, name);
  await mkdir(join(folder, "snapshots"), { recursive: true });
  const state: SnapshotState = { digest, ...cluster.state, peers: cluster.peers.map((one) => one.state) };
  await writeFolderAtomic(path, async (temporary) => {
    for (const [index, { engine, shard }] of cluster.members.entries()) {
      const tensors = tensorsOf(sharedIn(engine, index === 0), engine.local);
      await writeFileDurable(
        join(temporary, tensorFile(shard)),
        encodeSafetensors(tensors, { format: "gradmesh" }),
      );
    }
    await writeFileDurable(join(temporary, STATE_FILE), `${JSON.stringify(state)}\n`);
  });
}

async function readState(path: string): Promise<SnapshotState | null> {
  let text: string;
  try {
    text = await readFile(join(path, STATE_FILE), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    return snapshotSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new GradmeshError("ERR_CHECKPOINT", `${path} is torn; delete it, and the arm begins anew`, {
      cause,
    });
  }
}

/**
 * Brings a new cluster to where the snapshot was taken; false where there is none of this plan.
 * @throws ERR_CHECKPOINT for a torn one.
 */
export async function loadSnapshot(
  folder: string,
  name: string,
  cluster: Cluster,
  maker: EngineMaker,
  digest: string,
): Promise<boolean> {
  const path = snapshotPath(folder, name);
  // A crash while it was replaced may have left only the old one.
  for (const place of [path, replacedPath(path)]) {
    const state = await readState(place);
    if (state === null || state.digest !== digest) continue;
    await restore(place, state, cluster, maker);
    return true;
  }
  return false;
}

async function restore(
  path: string,
  state: SnapshotState,
  cluster: Cluster,
  maker: EngineMaker,
): Promise<void> {
  let first: Engine | null = null;
  for (const one of cluster.peers) {
    one.restore(state.peers[one.shard]!);
    if (one.status !== "member") continue;
    const engine = await maker.engine(one.shard);
    one.start(engine);
    await engine.restore(state.round, async (shared, local) => {
      const own = first === null || !engine.equal ? shared : [];
      await readSafetensors(join(path, tensorFile(one.shard)), tensorsOf(own, local));
      if (own.length === 0)
        for (const [index, { data }] of shared.entries()) data.set(first!.shared[index]!.data);
    });
    first ??= engine;
  }
  cluster.resume({ round: state.round, epoch: state.epoch });
}

/** The arm is done, and needs none. */
export async function dropSnapshot(folder: string, name: string): Promise<void> {
  const path = snapshotPath(folder, name);
  for (const place of [path, replacedPath(path)]) await rm(place, { recursive: true, force: true });
}
