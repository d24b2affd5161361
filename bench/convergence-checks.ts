/** What an experiment is made of: what it reads of the outcomes, and numbers beside their bounds. */
import { codecParts } from "../lib/native/codec.js";
import type { Outcome } from "./convergence-outcomes.js";

/** One measured number beside its bound. */
export interface Check {
  readonly found: string;
  readonly holds: boolean;
}

/** What an experiment reads. */
export interface Readings {
  /** @param arm as in "scratch.ddp". @throws RangeError where it did not run. */
  outcome(arm: string): Outcome;
  loss(arm: string): number;
  /** G; NaN where the phase has no anchors. */
  gap(arm: string): number;
  readonly all: readonly Outcome[];
  /** The short form's model is smaller, and so are its differences. */
  readonly short: boolean;
}

export interface Experiment {
  readonly id: string;
  readonly starred: boolean;
  readonly title: string;
  /** What must have run. */
  readonly arms: readonly string[];
  /** What the papers say, or a prototype of 115 k parameters on other text measured. */
  readonly expected: string;
  /** Set where the bound is others' result that this implementation can miss and still be right. */
  readonly theirs: boolean;
  readonly judge: (at: Readings) => readonly Check[];
}

export const percent = (value: number): string => `${(100 * value).toFixed(Math.abs(value) < 0.1 ? 1 : 0)} %`;
const nats = (value: number) => value.toFixed(3);

type Show = (value: number) => string;

export const atLeast = (what: string, value: number, bound: number, show: Show = nats): Check => ({
  found: `${what} ${show(value)} (>= ${show(bound)})`,
  holds: value >= bound,
});
export const atMost = (what: string, value: number, bound: number, show: Show = nats): Check => ({
  found: `${what} ${show(value)} (<= ${show(bound)})`,
  holds: value <= bound,
});

/** What a codec sends of a parameter. */
export function wireBits(spec: string, elements: number): number {
  const { payload, scales, indices } = codecParts(spec, elements);
  return (8 * (payload + scales + indices)) / elements;
}

export const times = (value: number): string => `${value.toPrecision(4)} times`;
export const bits = (value: number): string => value.toPrecision(4);

interface RowOptions {
  readonly starred?: boolean;
  readonly theirs?: boolean;
}
export const starred: RowOptions = { starred: true };
export const theirs: RowOptions = { theirs: true };

/** @param names of its arms, with spaces between them. */
export function row(
  id: string,
  title: string,
  names: string,
  expected: string,
  judge: Experiment["judge"],
  options: RowOptions = {},
): Experiment {
  const { starred: short = false, theirs: others = false } = options;
  return { id, title, arms: names.split(" "), expected, judge, starred: short, theirs: others };
}

/** The same of arms from scratch, by their names in that phase; its anchors must have run too. */
export function scratchRow(...[id, title, names, ...rest]: Parameters<typeof row>): Experiment {
  const arms = new Set(["single", "ddp", ...names.split(" ")]);
  return row(id, title, [...arms].map((name) => `scratch.${name}`).join(" "), ...rest);
}

/** The difference of the losses of two arms from scratch. */
export const apart = ({ loss }: Readings, one: string, other: string): number =>
  loss(`scratch.${one}`) - loss(`scratch.${other}`);
