/** What the built-in trainers ask of a run's context, and how their streams of random numbers are numbered. */
import { GradmeshError } from "../base/errors.js";
import type { TrainerContext } from "./trainer.js";

/** Streams below are the data shards'; initial parameters draw from this one, each element at its own index. */
export const INITIAL_STREAM = 2 ** 20;
/** What the partition of the data among the shards draws from. */
export const PARTITION_STREAM = INITIAL_STREAM + 1;

/** @throws ERR_INVALID_ARGUMENT for a seed that is none, or a shard that does not exist. */
export function checkShard({ seed, shard, shards }: TrainerContext): void {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `trainer: seed is ${seed}, not an integer from 0 to 2^53 - 1`,
    );
  }
  if (!(Number.isSafeInteger(shard) && shard >= 0 && shard < shards && shards < INITIAL_STREAM)) {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `trainer: shard is ${shard} of ${shards} shards`);
  }
}
