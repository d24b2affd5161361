/**
 * The safetensors file format (https://huggingface.co/docs/safetensors): 8 bytes of little-endian header length, a
 * JSON header padded with spaces to 8 bytes, then the tensors' bytes without gaps. Nothing here copies a tensor.
 */
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { endianness } from "node:os";
import { ioError } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";

/** Bytes of one element of every type that other tools may have written. */
const elementBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type TensorType = keyof typeof elementBytes;

/** The arrays that can be written and read into: F32, I32 and U8. */
export type TensorData = Float32Array | Int32Array | Uint8Array;

/** A named tensor in row-major order; the product of the shape is the length of the data. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** Where a tensor lies in a file. */
export interface TensorEntry {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly elements: number;
  /** The first byte in the file, and the byte after the last. */
  readonly begin: number;
  readonly end: number;
}

/** The parsed header of a file. */
export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes. */
  readonly tensors: readonly TensorEntry[];
  readonly fileBytes: number;
}

/** A longer header is refused before anything is allocated for it: a million tensors need less. */
export const HEADER_BYTES_MAX = 16 << 20;
const LENGTH_BYTES = 8;
const DIMENSIONS_MAX = 16;
/** One piece: hashing it takes about a millisecond of the event loop. A multiple of every element size. */
const PIECE_BYTES = 1 << 20;

function requireLittleEndian(): void {
  if (endianness() !== "LE")
    throw new GradmeshError("ERR_UNSUPPORTED", "safetensors files need a little-endian machine");
}

function typeOf(data: TensorData): TensorType {
  if (data instanceof Float32Array) return "F32";
  return data instanceof Int32Array ? "I32" : "U8";
}

function product(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

function checkTensor(tensor: NamedTensor, names: Set<string>): void {
  const refuse = (why: string): never => {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `tensor ${JSON.stringify(tensor.name)}: ${why}`);
  };
  if (tensor.name === "" || tensor.name === "__metadata__")
    refuse("the name must not be empty or __metadata__");
  if (names.has(tensor.name)) refuse("two tensors have this name");
  if (tensor.shape.some((size) => !Number.isSafeInteger(size) || size < 0))
    refuse(`shape [${tensor.shape}] must hold integers from 0`);
  if (product(tensor.shape) !== tensor.data.length)
    refuse(`shape [${tensor.shape}] has ${product(tensor.shape)} elements, the data ${tensor.data.length}`);
  names.add(tensor.name);
}

function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function encodeHeader(tensors: readonly NamedTensor[], metadata: Readonly<Record<string, string>>): Buffer {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(["__metadata__", metadata]);
  let offset = 0;
  for (const { name, shape, data } of tensors) {
    const end = offset + data.byteLength;
    entries.push([name, { dtype: typeOf(data), shape: [...shape], data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)), "utf8");
  const length = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(LENGTH_BYTES + length, " ");
  header.writeBigUInt64LE(BigInt(length), 0);
  json.copy(header, LENGTH_BYTES);
  return header;
}

/**
 * The bytes of a file as pieces: the header, then views of the tensors, which must not change until written.
 * Tensors of wider elements come first, so that each lies aligned to its element.
 * @throws ERR_INVALID_ARGUMENT naming a tensor whose name or shape is impossible.
 */
export function* encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  requireLittleEndian();
  const names = new Set<string>();
  for (const tensor of tensors) checkTensor(tensor, names);
  const ordered = tensors.toSorted((a, b) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  yield encodeHeader(ordered, metadata);
  for (const { data } of ordered) {
    const bytes = bytesOf(data);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
  }
}

function torn(path: string, why: string, cause?: unknown): GradmeshError {
  return new GradmeshError("ERR_CHECKPOINT", `${path}: ${why}`, cause === undefined ? {} : { cause });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value) || Object.values(value).some((text) => typeof text !== "string"))
    throw torn(path, "__metadata__ must map text to text");
  return value as Record<string, string>;
}

function parseEntry(path: string, name: string, value: unknown, dataStart: number): TensorEntry {
  const refuse = (why: string): never => {
    throw torn(path, `tensor ${JSON.stringify(name.slice(0, 200))} ${why}`);
  };
  if (!isRecord(value)) return refuse("is not described by an object");
  const { dtype, shape, data_offsets: offsets, ...others } = value;
  if (Object.keys(others).length > 0) refuse(`has the unknown key ${JSON.stringify(Object.keys(others)[0])}`);
  if (typeof dtype !== "string" || !Object.hasOwn(elementBytes, dtype))
    return refuse(`has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!Array.isArray(shape) || shape.length > DIMENSIONS_MAX || !shape.every(isCount))
    return refuse("has an impossible shape");
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return refuse("has impossible data_offsets");
  const [first, last] = offsets as [number, number];
  const elements = product(shape as number[]);
  const bytes = elements * elementBytes[dtype as TensorType];
  // A product past 2^53 is no longer exact, but it is larger than any file.
  if (last < first || last - first !== bytes)
    refuse(`has shape [${shape}] of ${dtype} (${bytes} bytes), but data_offsets [${first}, ${last}]`);
  return {
    name,
    type: dtype as TensorType,
    shape,
    elements,
    begin: dataStart + first,
    end: dataStart + last,
  };
}

function parseHeader(path: string, text: string, dataStart: number, fileBytes: number): SafetensorsHeader {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw torn(path, "the header is not valid JSON", cause);
  }
  if (!isRecord(json)) throw torn(path, "the header is not a JSON object");
  const metadata = parseMetadata(path, json.__metadata__);
  const tensors = Object.entries(json)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => parseEntry(path, name, value, dataStart))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = dataStart;
  for (const tensor of tensors) {
    if (tensor.begin !== end)
      throw torn(
        path,
        `tensor ${JSON.stringify(tensor.name)} begins at byte ${tensor.begin}, expected ${end}`,
      );
    end = tensor.end;
  }
  if (end !== fileBytes) throw torn(path, `the header describes ${end} bytes, the file has ${fileBytes}`);
  return { metadata, tensors, fileBytes };
}

async function readExactly(
  handle: FileHandle,
  path: string,
  target: Uint8Array,
  from: number,
): Promise<void> {
  let done = 0;
  while (done < target.byteLength) {
    const length = Math.min(PIECE_BYTES, target.byteLength - done);
    const { bytesRead } = await handle.read(target, done, length, from + done);
    if (bytesRead === 0) throw torn(path, `the file ends at byte ${from + done}, in the middle of a tensor`);
    done += bytesRead;
  }
}

/** Opens a file for the time of `use`; the system's errors become ERR_CHECKPOINT (absent) or ERR_IO. */
async function withFile<T>(path: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  requireLittleEndian();
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw torn(path, "the file is missing", error);
    throw ioError("read", path, error);
  }
  try {
    return await use(handle);
  } catch (error) {
    throw ioError("read", path, error);
  } finally {
    await handle.close();
  }
}

async function headerOf(handle: FileHandle, path: string): Promise<SafetensorsHeader> {
  const { size: fileBytes } = await handle.stat();
  if (fileBytes < LENGTH_BYTES + 2) throw torn(path, `${fileBytes} bytes are too few for a header`);
  const prefix = Buffer.alloc(LENGTH_BYTES);
  await readExactly(handle, path, prefix, 0);
  const claimed = prefix.readBigUInt64LE(0);
  const available = BigInt(Math.min(HEADER_BYTES_MAX, fileBytes - LENGTH_BYTES));
  if (claimed < 2n || claimed > available)
    throw torn(path, `the header claims ${claimed} bytes; allowed here: 2 to ${available}`);
  const header = Buffer.alloc(Number(claimed));
  await readExactly(handle, path, header, LENGTH_BYTES);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
  } catch (cause) {
    throw torn(path, "the header is not UTF-8", cause);
  }
  if (!text.startsWith("{")) throw torn(path, "the header does not begin with {");
  return parseHeader(path, text, LENGTH_BYTES + Number(claimed), fileBytes);
}

/**
 * Reads and checks the header of a file.
 * @throws ERR_CHECKPOINT naming the file and what is wrong with it; ERR_IO when it cannot be read.
 */
export function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, (handle) => headerOf(handle, path));
}

function matchTargets(
  path: string,
  header: SafetensorsHeader,
  targets: readonly NamedTensor[],
): TensorEntry[] {
  const entries = new Map(header.tensors.map((entry) => [entry.name, entry]));
  const matched = targets.map((target) => {
    const entry = entries.get(target.name);
    if (!entry) throw torn(path, `it holds no tensor ${JSON.stringify(target.name)}`);
    if (entry.type !== typeOf(target.data) || entry.shape.join() !== target.shape.join())
      throw torn(
        path,
        `tensor ${JSON.stringify(target.name)} is ${entry.type} [${entry.shape}], ` +
          `expected ${typeOf(target.data)} [${target.shape}]`,
      );
    entries.delete(target.name);
    return entry;
  });
  for (const name of entries.keys())
    throw torn(path, `it holds an unexpected tensor ${JSON.stringify(name)}`);
  return matched;
}

/**
 * Reads a file into given arrays. The file must hold exactly the targets' names, shapes and types; nothing is
 * written into any target before that is sure.
 * @throws ERR_CHECKPOINT naming the file and what is wrong with it; ERR_IO when it cannot be read.
 */
export function readSafetensors(path: string, targets: readonly NamedTensor[]): Promise<SafetensorsHeader> {
  const names = new Set<string>();
  for (const target of targets) checkTensor(target, names);
  return withFile(path, async (handle) => {
    const header = await headerOf(handle, path);
    const entries = matchTargets(path, header, targets);
    for (const [index, entry] of entries.entries())
      await readExactly(handle, path, bytesOf(targets[index]!.data), entry.begin);
    return header;
  });
}

/** Calls `visit` with each tensor's bytes in pieces, in the order of the file; a piece is valid until it returns. */
export function scanSafetensors(
  path: string,
  visit: (entry: TensorEntry, piece: Uint8Array) => void,
): Promise<SafetensorsHeader> {
  return withFile(path, async (handle) => {
    const header = await headerOf(handle, path);
    const buffer = new Uint8Array(PIECE_BYTES);
    for (const entry of header.tensors) {
      for (let at = entry.begin; at < entry.end; at += PIECE_BYTES) {
        const piece = buffer.subarray(0, Math.min(PIECE_BYTES, entry.end - at));
        await readExactly(handle, path, piece, at);
        visit(entry, piece);
      }
    }
    return header;
  });
}
