/** One rank's memory while a schedule is run on paper: whose contributions each element is made of. */
import * as assert from "uvu/assert";

export interface Region {
  space: "input" | "output" | "staging" | "floats";
  offset: number;
  elements: number;
  bytes: number;
}

export interface Step {
  kind:
    | "encode"
    | "send"
    | "recv"
    | "combine"
    | "reduce"
    | "divide"
    | "scale"
    | "fold"
    | "hop"
    | "decode"
    | "copy";
  peer?: number;
  tag?: number;
  sources: Region[];
  target?: Region;
  waits: number[];
}

export interface Schedule {
  stagingBytes: number;
  steps: Step[];
}

/** What an element holds: how often each rank is in it, and whether it was divided. */
export interface Piece {
  counts: readonly number[];
  mean: boolean;
}

/** What lies in scratch memory, from a byte on. */
interface Stored {
  begin: number;
  end: number;
  pieces: Piece[];
}

/** The part of what was stored that lies between two bytes; its elements are all of the same length. */
function slice({ begin, end, pieces }: Stored, from: number, to: number): Stored[] {
  const [first, last] = [Math.max(begin, from), Math.min(end, to)];
  if (first >= last) return [];
  const at = (byte: number) => Math.round(((byte - begin) / (end - begin)) * pieces.length);
  return [{ begin: first, end: last, pieces: pieces.slice(at(first), at(last)) }];
}

const sums = new Set<Step["kind"]>(["combine", "reduce", "hop"]);

export class Rank {
  readonly done = new Set<number>();
  readonly output: (Piece | undefined)[];
  readonly #own: Piece;
  #stored: Stored[] = [];
  sent = 0;

  constructor(
    readonly rank: number,
    ranks: number,
    readonly elements: number,
    readonly schedule: Schedule,
  ) {
    this.output = new Array<Piece | undefined>(elements).fill(undefined);
    this.#own = { counts: Array.from({ length: ranks }, (_, other) => +(other === rank)), mean: false };
  }

  read({ space, offset, elements, bytes }: Region): Piece[] {
    if (space === "input") return new Array<Piece>(elements).fill(this.#own);
    if (space === "output") {
      const pieces = this.output.slice(offset, offset + elements);
      assert.ok(
        pieces.every((piece) => piece !== undefined),
        `rank ${this.rank} reads output that nobody wrote`,
      );
      return pieces as Piece[];
    }
    const parts = this.#stored.flatMap((stored) => slice(stored, offset, offset + bytes));
    const pieces = parts.sort((a, b) => a.begin - b.begin).flatMap((part) => part.pieces);
    assert.is(pieces.length, elements, `rank ${this.rank} reads scratch ${offset}, which nobody wrote`);
    return pieces;
  }

  write({ space, offset, elements, bytes }: Region, pieces: Piece[]): void {
    assert.is.not(space, "input");
    assert.is(pieces.length, elements);
    if (space === "output") {
      assert.ok(offset + elements <= this.elements);
      for (const [index, piece] of pieces.entries()) this.output[offset + index] = piece;
      return;
    }
    assert.ok(offset + bytes <= this.schedule.stagingBytes);
    this.#stored = this.#stored.flatMap((stored) => [
      ...slice(stored, stored.begin, offset),
      ...slice(stored, offset + bytes, stored.end),
    ]);
    this.#stored.push({ begin: offset, end: offset + bytes, pieces });
  }

  compute(step: Step): Piece[] {
    const parts = step.sources.map((source) => this.read(source));
    const [first = []] = parts;
    if (!sums.has(step.kind))
      return step.kind === "divide" ? first.map((piece) => ({ ...piece, mean: true })) : first;
    // Neighbours mostly hold the same pieces, so that their sum is made once.
    const made = new Map<Piece, { others: (Piece | undefined)[]; sum: Piece }>();
    return first.map((piece, element) => {
      const others = parts.map((part) => part[element]);
      const known = made.get(piece);
      if (known?.others.every((other, index) => other === others[index])) return known.sum;
      assert.not(others.some((other) => other!.mean));
      const counts = piece.counts.map((_, rank) =>
        others.reduce((total, other) => total + other!.counts[rank]!, 0),
      );
      const sum = { counts, mean: step.kind === "reduce" };
      made.set(piece, { others, sum });
      return sum;
    });
  }
}

export interface Frame {
  tag: number;
  bytes: number;
  pieces: Piece[];
}

export class Wires {
  readonly #wires = new Map<string, Frame[]>();

  between(sender: number, receiver: number): Frame[] {
    const name = `${sender} ${receiver}`;
    if (!this.#wires.has(name)) this.#wires.set(name, []);
    return this.#wires.get(name)!;
  }

  get empty(): boolean {
    return [...this.#wires.values()].every((wire) => wire.length === 0);
  }
}
