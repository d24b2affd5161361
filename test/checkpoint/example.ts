/** A small checkpoint to save, load and damage, the same in every process. */
import type { CheckpointContents, CheckpointState, NamedTensor } from "../../lib/checkpoint/checkpoint.js";

const shapes = { "embedding/table": [7, 4], "head/weight": [4, 7], "head/bias": [7] } as const;

/** Tensors of the toy model whose elements tell the round and the place. */
export function tensors(prefix: string, round: number): NamedTensor[] {
  return Object.entries(shapes).map(([name, shape], place) => {
    const elements = shape.reduce((count, size) => count * size, 1);
    const data = Float32Array.from(
      { length: elements },
      (_, index) => round * 1000 + place * 100 + index / 8,
    );
    return { name: `${prefix}/${name}`, shape, data };
  });
}

/** The same tensors, empty, to be read into. */
export function targets(prefix: string): NamedTensor[] {
  return tensors(prefix, 0).map((tensor) => ({
    ...tensor,
    data: new Float32Array(tensor.data.length).fill(-1),
  }));
}

export function state(round: number, peer = "12D3KooWAhab"): CheckpointState {
  return {
    runId: "pequod",
    config: { seed: 1, strategy: { name: "diloco" } },
    peerId: peer,
    shard: 2,
    round,
    epoch: 3,
    step: round * 20,
    members: [{ peerId: peer, shard: 2 }],
    stateDigest: round.toString(16).padStart(64, "0"),
    random: { seed: 1, stream: 2 },
    createdBy: "gradmesh test",
  };
}

export function contents(round: number, peer?: string): CheckpointContents {
  return {
    state: state(round, peer),
    outer: [...tensors("parameters", round), ...tensors("momentum", round)],
    inner: [...tensors("first", round), ...tensors("second", round)],
  };
}
