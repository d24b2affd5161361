/**
 * The matrix of a run's links: what each member last measured towards each other. The coordinator keeps it and sends it
 * with every view, so that all members choose from the same numbers. Pure.
 */
import type { MeasuredLink, ViewLinks } from "./messages.js";

export interface LinkSample {
  readonly bytesPerSecond: number;
  /** One way. */
  readonly seconds: number;
}

/** By who measured, then towards whom. */
export type LinkRecord = ReadonlyMap<string, ReadonlyMap<string, LinkSample>>;

/** The record with what a member has measured. */
export function addMeasured(record: LinkRecord, from: string, measured: readonly MeasuredLink[]): LinkRecord {
  const own = new Map(record.get(from));
  for (const { peerId, bytesPerSecond, seconds } of measured)
    if (peerId !== from) own.set(peerId, { bytesPerSecond, seconds });
  return new Map(record).set(from, own);
}

/** Without the peers that the run does not remember, so that it stays bounded. */
export function keepKnown(record: LinkRecord, known: (peer: string) => boolean): LinkRecord {
  const rows = [...record].filter(([from]) => known(from));
  return new Map(rows.map(([from, row]) => [from, new Map([...row].filter(([to]) => known(to)))]));
}

/** Eighths of an octave: measurements of one link differ by more, and choices should not. */
const STEPS_PER_OCTAVE = 8;

/** The value as a choice sees it: rounded on a logarithmic scale; 0 stays 0. */
export function coarse(value: number): number {
  if (!(value > 0)) return 0;
  const octave = Math.floor(Math.log2(value));
  return Number(
    (2 ** octave * (Math.round((value / 2 ** octave) * STEPS_PER_OCTAVE) / STEPS_PER_OCTAVE)).toPrecision(9),
  );
}

/** The matrix of a view's members, in rank order; null while nobody has measured another of them. */
export function matrixOf(record: LinkRecord, members: readonly string[]): ViewLinks | null {
  const samples = members.flatMap((from) => members.map((to) => record.get(from)?.get(to)));
  if (samples.every((sample) => sample === undefined)) return null;
  return {
    bytesPerSecond: samples.map((sample) => coarse(sample?.bytesPerSecond ?? 0)),
    seconds: samples.map((sample) => coarse(sample?.seconds ?? 0)),
  };
}
