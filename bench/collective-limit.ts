/** What no all-reduce can beat: the time that the wire of a link, or copies in memory, need for its bytes. */

/** A link between two hosts; every host has one to the outside, in both directions at once. */
export interface LinkProfile {
  readonly name: string;
  readonly bitsPerSecond: number;
  /** What TCP can carry of it: the rest are headers. */
  readonly payloadBitsPerSecond: number;
  /** One way, without queues. */
  readonly delaySeconds: number;
  /** Share of packets lost. */
  readonly loss: number;
}

/** Loopback is a profile without a rate: memory is what limits it. */
export const loopback: LinkProfile = {
  name: "loopback",
  bitsPerSecond: Number.POSITIVE_INFINITY,
  payloadBitsPerSecond: Number.POSITIVE_INFINITY,
  delaySeconds: 0,
  loss: 0,
};

/** Bytes that each rank must send, and receive, of an all-reduce of `bytes`: reduce-scatter and all-gather. */
export const bytesSentLeast = (ranks: number, bytes: number): number => (2 * (ranks - 1) * bytes) / ranks;

/**
 * One-way delays that every all-reduce needs that sends no more than bytesSentLeast: what a rank adds must reach an
 * owner, and the sum must come back. It is the cost line of `direct`; a ring has 2(n-1), but sends other segments
 * meanwhile, so that its delays are no limit of their own.
 */
export const LATENCY_STEPS_LEAST = 2;

/** Seconds: `2(n-1)/n x bytes / bandwidth + latency steps x one-way delay`, `bytes` as the codec has them on the wire. */
export function wireSeconds(profile: LinkProfile, ranks: number, wireBytes: number): number {
  const transfer = (8 * bytesSentLeast(ranks, wireBytes)) / profile.payloadBitsPerSecond;
  return transfer + LATENCY_STEPS_LEAST * profile.delaySeconds;
}

/** Seconds of the bytes alone at the line's whole rate, as published figures of other libraries have it. */
export const lineSeconds = (profile: LinkProfile, ranks: number, wireBytes: number): number =>
  (8 * bytesSentLeast(ranks, wireBytes)) / profile.bitsPerSecond;

/**
 * Seconds on loopback: what each rank sends is copied into the kernel and out again, so `4(n-1) x bytes`
 * are copied by all, at `copyRate`, the bytes a second of memcpy on all cores that the ranks can use.
 */
export function copySeconds(ranks: number, wireBytes: number, copyRate: number): number {
  return (2 * ranks * bytesSentLeast(ranks, wireBytes)) / copyRate;
}

/** What one socket can have under way with room to spare: 4 MiB of Linux's tcp_wmem, half of it bookkeeping. */
const WINDOW_BYTES = 1_600_000;
const STREAMS_MOST = 16;

/** Sockets that a link needs so that windows don't limit it: its share of the host's rate for one round trip. */
export function streamsFor(profile: LinkProfile, collective: string, ranks: number): number {
  if (profile.delaySeconds === 0) return 1;
  const links = collective === "ring" ? 1 : ranks - 1;
  const underWay = ((profile.bitsPerSecond / 8) * 2 * profile.delaySeconds) / links;
  return Math.min(STREAMS_MOST, Math.max(1, Math.ceil(underWay / WINDOW_BYTES)));
}
