/** Control messages as bytes: MessagePack with a 32-bit length in front, and the check of a message against a schema. */
import { Packr } from "msgpackr";
import type { ZodType } from "zod";
import { GradmeshError } from "../base/errors.js";
import { MESSAGE_BYTES_MAX } from "./channel.js";
import { checkShape } from "./message-shape.js";

const packr = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false, int64AsType: "number" });

/** Bytes of the length, big-endian, in front of each message. */
export const LENGTH_BYTES = 4;

/**
 * The message with its length in front.
 * @throws ERR_INVALID_ARGUMENT when it is not plain data, or longer than MESSAGE_BYTES_MAX.
 */
export function frameMessage(message: unknown): Uint8Array {
  const body = packMessage(message);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

/** The message's MessagePack body. @throws as frameMessage does. */
export function packMessage(message: unknown): Uint8Array {
  let body: Uint8Array;
  try {
    body = packr.pack(message);
    checkShape(body);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `a message must be plain data: ${why}`, { cause });
  }
  if (body.length > MESSAGE_BYTES_MAX) {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `a message of ${body.length} bytes is longer than the ${MESSAGE_BYTES_MAX} that are allowed`,
    );
  }
  return body;
}

/**
 * The value of a MessagePack body. Binary values are views of the body: copy what is kept.
 * @throws ERR_PROTOCOL when the body is anything but one plain value.
 */
export function unpackMessage(body: Uint8Array): unknown {
  checkShape(body);
  try {
    return packr.unpack(body);
  } catch (cause) {
    throw new GradmeshError("ERR_PROTOCOL", "a message could not be decoded", { cause });
  }
}

export interface FrameReader {
  push(chunk: Uint8Array): void;
  /** The next whole body, or undefined until more bytes come. @throws ERR_PROTOCOL when a length is above the limit. */
  next(): Uint8Array | undefined;
  /** Bytes that belong to no whole body yet. */
  readonly pending: number;
}

/** Splits a stream of bytes into bodies; a length above the limit is refused before anything is allocated for it. */
export function createFrameReader(bytesMax = MESSAGE_BYTES_MAX): FrameReader {
  let chunks: Uint8Array[] = [];
  let pending = 0;
  let wanted: number | undefined;

  function take(count: number): Uint8Array {
    const all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, pending);
    pending -= count;
    chunks = pending === 0 ? [] : [all.subarray(count)];
    return all.subarray(0, count);
  }

  return {
    push(chunk) {
      if (chunk.length === 0) return;
      chunks.push(chunk);
      pending += chunk.length;
    },
    next() {
      if (wanted === undefined) {
        if (pending < LENGTH_BYTES) return undefined;
        const prefix = take(LENGTH_BYTES);
        const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0);
        if (length > bytesMax) {
          throw new GradmeshError(
            "ERR_PROTOCOL",
            `a message announces ${length} bytes; at most ${bytesMax} are allowed`,
          );
        }
        wanted = length;
      }
      if (pending < wanted) return undefined;
      const body = take(wanted);
      wanted = undefined;
      return body;
    },
    get pending() {
      return pending + (wanted === undefined ? 0 : LENGTH_BYTES);
    },
  };
}

/**
 * The message as the schema's type.
 * @throws ERR_PROTOCOL naming each field that does not fit.
 */
export function parseMessage<T>(schema: ZodType<T>, message: unknown): T {
  const result = schema.safeParse(message);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join(".") || "message"}: ${issue.message}`);
  throw new GradmeshError("ERR_PROTOCOL", `a message does not fit its schema: ${issues.join("; ")}`);
}
