/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), bit for bit the same as
 * native/base/prng.h: a number is a pure function of (seed, stream, element). Give every use a stream of its own.
 * Seeds, streams and elements are integers from 0 to Number.MAX_SAFE_INTEGER; others throw a RangeError.
 */

/** Four 32-bit words. */
export type Words = readonly [number, number, number, number];

const TWO_32 = 2 ** 32;

/** The upper 32 bits of the 64-bit product of two 32-bit integers, from 16-bit halves. */
function highProduct(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16); // below 2^32, as (2^16 - 1)^2 + 2^16 is
  const middleLow = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + Math.floor(middleLow / 0x10000)) >>> 0;
}

/** The bare generator: ten rounds over a counter, as in the paper. All arguments and results are unsigned 32-bit. */
export function philoxRounds(counter: Words, key: readonly [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const next0 = (highProduct(0xcd9e8d57, c2) ^ c1 ^ k0) >>> 0;
    const next2 = (highProduct(0xd2511f53, c0) ^ c3 ^ k1) >>> 0;
    c1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c3 = Math.imul(0xd2511f53, c0) >>> 0;
    c0 = next0;
    c2 = next2;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

function block(seed: number, stream: number, number: number): Words {
  const high = (value: number) => Math.floor(value / TWO_32);
  return philoxRounds([number >>> 0, high(number), stream >>> 0, high(stream)], [seed >>> 0, high(seed)]);
}

function check(seed: number, stream: number, element: number, elementMax: number): void {
  for (const [name, value, most] of [
    ["seed", seed, Number.MAX_SAFE_INTEGER],
    ["stream", stream, Number.MAX_SAFE_INTEGER],
    ["element", element, elementMax],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 0 || value > most)
      throw new RangeError(`random ${name} is ${value}; allowed is an integer from 0 to ${most}`);
  }
}

/** 32 random bits of an element, from 0 to 2^32 - 1. */
export function philox(seed: number, stream: number, element: number): number {
  check(seed, stream, element, Number.MAX_SAFE_INTEGER);
  return block(seed, stream, Math.floor(element / 4))[element % 4] as number;
}

/** A number in [0, 1) in steps of 2^-24, the same that native randomUniform writes. */
export function uniform(seed: number, stream: number, element: number): number {
  return (philox(seed, stream, element) >>> 8) * 2 ** -24;
}

/**
 * A normal deviate of mean 0 as a float32, the same that native randomNormal writes: the sum of 12 uniforms less 6
 * (Irwin-Hall), times the deviation. Elements go up to MAX_SAFE_INTEGER / 3 - 2, since each takes three blocks.
 */
export function normal(seed: number, stream: number, element: number, deviation: number): number {
  check(seed, stream, element, Math.floor(Number.MAX_SAFE_INTEGER / 3) - 2);
  let sum = -(6 * 2 ** 24);
  for (let i = 0; i < 3; i++) for (const word of block(seed, stream, 3 * element + i)) sum += word >>> 8;
  return Math.fround(Math.fround(sum) * 2 ** -24 * Math.fround(deviation));
}
