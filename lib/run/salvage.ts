/**
 * What is kept of a failed all-reduce: the parts of its result that were final on this peer. The survivors tell each
 * other in an all-gather of a fixed number of words before they reduce again, so all of them hold the same list, or
 * all fail together and begin anew.
 */
import type { Range } from "../reduce/tensor.js";

/** A part of a result, and how many peers contributed to it. */
export interface Part extends Range {
  readonly peers: number;
}

/** What this peer holds of a failed operation. */
export interface Kept {
  readonly operation: number;
  readonly parts: readonly Part[];
}

/** Parts that one peer tells of; of more it tells the largest. */
const PARTS_MAX = 64;
const HEADER_WORDS = 3;
const PART_WORDS = 5;
/** Words of each peer in the all-gather. */
export const KEPT_WORDS = HEADER_WORDS + PARTS_MAX * PART_WORDS;

const HALF = 2 ** 32;
const pair = (value: number) => [Math.floor(value / HALF), value % HALF];

/** As the bits of float32 elements, [KEPT_WORDS], which travel as they are. */
export function packKept(kept: Kept | null): Float32Array {
  const words = new Uint32Array(KEPT_WORDS);
  if (kept === null) return new Float32Array(words.buffer);
  const largest = [...kept.parts].sort((a, b) => b.elements - a.elements).slice(0, PARTS_MAX);
  const parts = largest.sort((a, b) => a.begin - b.begin);
  words.set([...pair(kept.operation), parts.length]);
  for (const [index, { begin, elements, peers }] of parts.entries())
    words.set([...pair(begin), ...pair(elements), peers], HEADER_WORDS + index * PART_WORDS);
  return new Float32Array(words.buffer);
}

/** What each peer holds, by rank, of the last operation that any of them began; of an earlier one nothing counts. */
export function unpackKept(gathered: Float32Array): { operation: number; parts: Part[][] } {
  const ranks = gathered.length / KEPT_WORDS;
  const all = new Uint32Array(gathered.buffer, gathered.byteOffset, gathered.length);
  const rows = Array.from({ length: ranks }, (_, rank) =>
    all.subarray(rank * KEPT_WORDS, (rank + 1) * KEPT_WORDS),
  );
  const number = (row: Uint32Array, at: number) => row[at]! * HALF + row[at + 1]!;
  const operation = Math.max(...rows.map((row) => number(row, 0)));
  const partsOf = (row: Uint32Array): Part[] =>
    Array.from({ length: Math.min(row[2]!, PARTS_MAX) }, (_, index) => {
      const at = HEADER_WORDS + index * PART_WORDS;
      return { begin: number(row, at), elements: number(row, at + 2), peers: row[at + 4]! };
    });
  return {
    operation,
    parts: rows.map((row) => (operation > 0 && number(row, 0) === operation ? partsOf(row) : [])),
  };
}

/** The counted parts, cut to the ranges. */
export function cutParts(parts: readonly Part[], ranges: readonly Range[]): Part[] {
  return ranges.flatMap(({ begin, elements }) =>
    parts.flatMap((part) => {
      const first = Math.max(begin, part.begin);
      const last = Math.min(begin + elements, part.begin + part.elements);
      return last > first ? [{ begin: first, elements: last - first, peers: part.peers }] : [];
    }),
  );
}

/** Parts in ascending order; neighbours with the same peers are one. */
export function mergeParts(parts: readonly Part[]): Part[] {
  const merged: Part[] = [];
  for (const part of [...parts].sort((a, b) => a.begin - b.begin)) {
    const last = merged.at(-1);
    if (last !== undefined && last.begin + last.elements === part.begin && last.peers === part.peers)
      merged[merged.length - 1] = { ...last, elements: last.elements + part.elements };
    else merged.push(part);
  }
  return merged;
}

/**
 * How many peers contributed to each part of a result that keeps what `kept` names: those of the failed operation, or
 * the `peers` that reduced it again.
 * @param reused the ranges that were really kept: a codec's blocks are kept whole or not at all.
 */
export function countPeers(
  elements: number,
  peers: number,
  kept: readonly (readonly Part[])[],
  reused: readonly Range[],
): Part[] {
  const old: Part[] = [];
  for (const part of kept.flat().sort((a, b) => a.begin - b.begin)) {
    // Several peers hold the same part.
    const begin = Math.max(part.begin, (old.at(-1)?.begin ?? 0) + (old.at(-1)?.elements ?? 0));
    const rest = part.begin + part.elements - begin;
    if (rest > 0) old.push({ begin, elements: rest, peers: part.peers });
  }
  const again: Part[] = [];
  let at = 0;
  for (const { begin, elements: length } of [...reused, { begin: elements, elements: 0 }]) {
    if (begin > at) again.push({ begin: at, elements: begin - at, peers });
    at = begin + length;
  }
  return mergeParts([...cutParts(old, reused), ...again]);
}
