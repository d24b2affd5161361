/**
 * Checks a MessagePack body before it is decoded: a decoder allocates what an array's or map's header announces, so
 * five bytes could ask for gigabytes. Only plain data passes: no extension types, no dates, no references.
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */
import { GradmeshError } from "../base/errors.js";

/** Deepest nesting of arrays and maps in one message. */
export const MESSAGE_DEPTH_MAX = 32;

interface Item {
  /** Bytes of the item's own header and payload. */
  bytes: number;
  /** Items that follow as its children. */
  children: number;
}

/** Payload bytes of the type bytes 0xc0 to 0xdf whose length is fixed; the others are handled by name. */
const fixedPayload: Record<number, number> = {
  192: 0, // nil
  194: 0, // false
  195: 0, // true
  202: 4, // float 32
  203: 8, // float 64
  204: 1, // uint 8 to 64
  205: 2,
  206: 4,
  207: 8,
  208: 1, // int 8 to 64
  209: 2,
  210: 4,
  211: 8,
};

/** Width of the length that follows these type bytes, and how many children or bytes each unit of it stands for. */
const counted: Record<number, { width: 1 | 2 | 4; children: 0 | 1 | 2 }> = {
  196: { width: 1, children: 0 }, // bin 8 to 32
  197: { width: 2, children: 0 },
  198: { width: 4, children: 0 },
  217: { width: 1, children: 0 }, // str 8 to 32
  218: { width: 2, children: 0 },
  219: { width: 4, children: 0 },
  220: { width: 2, children: 1 }, // array 16 and 32
  221: { width: 4, children: 1 },
  222: { width: 2, children: 2 }, // map 16 and 32
  223: { width: 4, children: 2 },
};

function refuse(why: string): never {
  throw new GradmeshError("ERR_PROTOCOL", `a message is not plain MessagePack: ${why}`);
}

function readItem(view: DataView, at: number): Item {
  const type = view.getUint8(at);
  if (type <= 0x7f || type >= 0xe0) return { bytes: 1, children: 0 };
  if (type <= 0x8f) return { bytes: 1, children: 2 * (type & 15) };
  if (type <= 0x9f) return { bytes: 1, children: type & 15 };
  if (type <= 0xbf) return { bytes: 1 + (type & 31), children: 0 };
  const payload = fixedPayload[type];
  if (payload !== undefined) return { bytes: 1 + payload, children: 0 };
  const header = counted[type];
  if (header === undefined) {
    // msgpackr writes undefined as the extension of type 0 with one byte of 0.
    if (type === 0xd4 && at + 2 < view.byteLength && view.getUint16(at + 1) === 0)
      return { bytes: 3, children: 0 };
    return refuse(`type byte 0x${type.toString(16)} at byte ${at} is not allowed`);
  }
  if (at + 1 + header.width > view.byteLength) return refuse(`it ends inside a length at byte ${at}`);
  const lengths = { 1: view.getUint8, 2: view.getUint16, 4: view.getUint32 };
  const length = lengths[header.width].call(view, at + 1);
  if (header.children === 0) return { bytes: 1 + header.width + length, children: 0 };
  return { bytes: 1 + header.width, children: header.children * length };
}

/**
 * Passes a body that holds exactly one plain value, whose lengths all fit into the body.
 * @throws ERR_PROTOCOL saying what is wrong and at which byte.
 */
export function checkShape(body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const open: number[] = [1]; // items still to come at each depth
  let at = 0;
  while (open.length > 0) {
    const left = open.at(-1)!;
    if (left === 0) {
      open.pop();
      continue;
    }
    if (at >= view.byteLength) refuse(`it ends at byte ${at}, where ${left} more values were announced`);
    open[open.length - 1] = left - 1;
    const item = readItem(view, at);
    at += item.bytes;
    if (at > view.byteLength) refuse(`a length at byte ${at - item.bytes} is past its end`);
    if (item.children > 0) open.push(item.children);
    if (open.length > MESSAGE_DEPTH_MAX + 1) refuse(`it is nested deeper than ${MESSAGE_DEPTH_MAX}`);
  }
  if (at !== view.byteLength) refuse(`${view.byteLength - at} bytes follow its value`);
}
