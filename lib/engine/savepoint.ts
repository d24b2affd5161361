/** A copy of all state at one moment of a round, to begin its exchanges again from there with other members. */
import type { NamedTensor } from "../tensor/layout.js";

export class Savepoint {
  readonly #tensors: readonly Float32Array[];
  readonly #copies: readonly Float32Array[];
  #taken = false;

  /** @param tensors live views; their memory is copied into memory that is kept for the next time. */
  constructor(tensors: readonly NamedTensor[]) {
    this.#tensors = tensors.map(({ data }) => data);
    this.#copies = runsOf(this.#tensors).flatMap(memoryLike);
  }

  get taken(): boolean {
    return this.#taken;
  }

  take(): void {
    for (const [index, tensor] of this.#tensors.entries()) this.#copies[index]!.set(tensor);
    this.#taken = true;
  }

  /** The state is as it was when it was taken. */
  restore(): void {
    for (const [index, tensor] of this.#tensors.entries()) tensor.set(this.#copies[index]!);
  }

  /** The tensors as they were when it was taken; those that it does not keep as they are. */
  copiesOf(tensors: readonly NamedTensor[]): NamedTensor[] {
    return tensors.map((tensor) => {
      const index = this.#tensors.indexOf(tensor.data);
      return index < 0 ? tensor : { ...tensor, data: this.#copies[index]! };
    });
  }

  /** The round is over. */
  drop(): void {
    this.#taken = false;
  }
}

/** Tensors that lie behind one another in memory, together: a joining peer receives them as one piece, so they are sent so. */
function runsOf(tensors: readonly Float32Array[]): Float32Array[][] {
  const runs: Float32Array[][] = [];
  for (const tensor of tensors) {
    const last = runs.at(-1)?.at(-1);
    const follows = last?.buffer === tensor.buffer && last.byteOffset + last.byteLength === tensor.byteOffset;
    if (follows) runs.at(-1)!.push(tensor);
    else runs.push([tensor]);
  }
  return runs;
}

/** Memory that is cut as the run's is. */
function memoryLike(run: readonly Float32Array[]): Float32Array[] {
  const memory = new Float32Array(run.reduce((sum, { length }) => sum + length, 0));
  const first = run[0]!.byteOffset;
  return run.map(({ byteOffset, length }) => {
    const begin = (byteOffset - first) / memory.BYTES_PER_ELEMENT;
    return memory.subarray(begin, begin + length);
  });
}
