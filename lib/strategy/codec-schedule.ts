/** Which codecs a round travels by: by its number, and earlier where the peers' contributions turn out to agree little. */
import { openCodec } from "../native/codec.js";
import type { Fault } from "./checks.js";
import type { Moment, Schedule } from "./schedule.js";

/** Codecs from a round on, up and down; `down` null: as up. */
export type CodecStage = readonly [fromRound: number, up: string, down: string | null];

export interface CodecScheduleOptions {
  /** From round 0. */
  readonly first: CodecStage;
  /** Ascending by round, finer codecs later. */
  readonly later: readonly CodecStage[];
  /**
   * The most coding noise in the mean, as a part of its squared norm, before the next stage is taken ahead of its round;
   * null: rounds alone decide.
   */
  readonly noise: number | null;
}

export interface CodecSchedule {
  readonly up: Schedule<string>;
  readonly down: Schedule<string | null>;
  readonly faults: readonly Fault[];
}

/** EDEN's squared error at 1 to 4 bits, of any tensor's squared norm: rotation makes it free of the data (2108.08842). */
const edenErrors = [0.571, 0.133, 0.0358, 0.0096] as const;

/** Part of a tensor's squared norm that an unbiased coding adds to it, where it does not depend on the tensor. */
function codingError(spec: string): number | null {
  const [name, list = ""] = spec.split(":");
  if (name === "fp32") return 0;
  if (name !== "eden" || list.includes("scale=least")) return null;
  const bits = Number(/(?:^|,)bits=(\d)/.exec(list)?.[1] ?? 4);
  return edenErrors[bits - 1]!;
}

/**
 * Noise of independently coded contributions in their mean, as a part of the mean's squared norm: n contributions of
 * squared norm |x|^2 and coding error e leave e |x|^2 / n beside |mean|^2 = signal |x|^2.
 */
function noiseOf(spec: string, { measures, members }: Moment["view"]): number {
  const { signal = 0 } = measures;
  // It is 0 before the first exchange; and nobody is there when a round is only planned.
  if (signal === 0 || members.length === 0) return 0;
  if (signal < 0) return Number.POSITIVE_INFINITY;
  return codingError(spec)! / (members.length * signal);
}

/**
 * The last stage whose round has come, or the first one after it whose noise is allowed; the last of all where none is. A
 * function of the round and what members agreed on alone, so the same on all of them.
 */
function stageAt({ first, later, noise }: CodecScheduleOptions, { round, view }: Moment): CodecStage {
  const come = later.findLastIndex(([from]) => from <= round);
  const stage = later[come] ?? first;
  if (noise === null || noiseOf(stage[1], view) <= noise) return stage;
  const ahead = later.slice(come + 1);
  return ahead.find(([, up]) => noiseOf(up, view) <= noise) ?? ahead.at(-1) ?? stage;
}

/** Elements at whose multiples chunks are cut. */
const blockOf = ([, up, down]: CodecStage) =>
  Math.max(openCodec(up).blockElements, openCodec(down ?? up).blockElements);

/** What is wrong with a stage after the one before it. */
function orderFaults(stage: CodecStage, before: CodecStage, key: string): Fault[] {
  const [from, up] = stage;
  const blocks =
    `"${up}" cuts chunks at multiples of ${blockOf(stage)} elements, the stage before at ${blockOf(before)}, and what ` +
    "an owner feeds back belongs to its chunk; choose codecs of equal blocks";
  return [
    ...(from > before[0]
      ? []
      : [{ key: `${key}.0`, problem: `${from}; allowed: above ${before[0]}, the one before` }]),
    ...(blockOf(stage) === blockOf(before) ? [] : [{ key: `${key}.1`, problem: blocks }]),
  ];
}

function stageFaults({ first, later, noise }: CodecScheduleOptions): Fault[] {
  const known = (up: string, key: string): Fault[] => {
    const problem = `"${up}": how much noise it makes depends on what it codes; allowed with noise: eden and fp32, or set noise to null`;
    return noise === null || codingError(up) !== null ? [] : [{ key, problem }];
  };
  return [
    ...known(first[1], "codec"),
    ...later.flatMap((stage, index) => [
      ...orderFaults(stage, later[index - 1] ?? first, `bits.${index}`),
      ...known(stage[1], `bits.${index}.1`),
    ]),
  ];
}

/** Schedules of both ways, and what is wrong with the options, under the keys `codec` and `bits`. */
export function codecSchedule(options: CodecScheduleOptions): CodecSchedule {
  return {
    up: (moment) => stageAt(options, moment)[1],
    down: (moment) => stageAt(options, moment)[2],
    faults: stageFaults(options),
  };
}
