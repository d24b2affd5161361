/** How many sockets a link gets, and how many of them carry data. */
import { STREAMS_MAX } from "./link-messages.js";

/** So many, or by the round trip. */
export type StreamsSetting = "auto" | number;

/** Round trips in milliseconds below which a link gets so many sockets: one fills a short link, not a long fat one. */
const steps = [
  [5, 1],
  [15, 2],
  [40, 4],
] as const;
const STREAMS_LONG = 8;

/** Sockets of a link whose control connection has this round trip. */
export function streamsFor(setting: StreamsSetting, roundTripMs: number): number {
  if (setting !== "auto") return Math.min(STREAMS_MAX, Math.max(1, setting));
  return steps.find(([below]) => roundTripMs < below)?.[1] ?? STREAMS_LONG;
}

/** The numbers of streams that a probe tries: powers of two below all of them, and all. */
export function streamTrials(streams: number): number[] {
  const trials: number[] = [];
  for (let count = 1; count < streams; count *= 2) trials.push(count);
  return [...trials, streams];
}

/** A number of streams and what they carried. */
export interface StreamTrial {
  streams: number;
  bytesPerSecond: number;
}

/** Fewer streams cost less; within this share of the best they are as good. */
const AS_GOOD = 0.95;

/** The fewest streams that carry within 5 % of the best. @param trials at least one. */
export function fewestStreams(trials: readonly StreamTrial[]): number {
  const best = Math.max(...trials.map(({ bytesPerSecond }) => bytesPerSecond));
  const good = trials.filter(({ bytesPerSecond }) => bytesPerSecond >= AS_GOOD * best);
  return Math.min(...good.map(({ streams }) => streams));
}
