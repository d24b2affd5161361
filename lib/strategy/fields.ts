/** Options that strategies share, under the same keys with the same meaning in all of them. */
import { z } from "zod";
import { asGradmeshError } from "../base/errors.js";
import { codecsAllowed, openCodec } from "../native/codec.js";
import { allReduceCollectives } from "../reduce/calls.js";
import type { Fault } from "./checks.js";
import type { Route } from "./recipe.js";
import { type Schedule, warmup } from "./schedule.js";

/** The `name` of a strategy's section. @param doc what it is in one line, with its paper. */
export const nameField = <Name extends string>(name: Name, doc: string) =>
  z.literal(name).default(name).describe(doc);

function canonicalCodec(spec: string, context: z.core.$RefinementCtx): string {
  try {
    return openCodec(spec).spec;
  } catch (error) {
    context.addIssue({ code: "custom", message: asGradmeshError(error).message });
    return z.NEVER;
  }
}

/** A codec's specification, made canonical. */
export function codecField(initial: string, meaning: string) {
  return (
    z
      .string()
      .max(200)
      .transform(canonicalCodec)
      .default(initial)
      .describe(meaning)
      // JSON Schema has no default for a value that is transformed.
      .meta({ allowed: codecsAllowed, initial })
  );
}

/** A codec's specification or null. */
export function optionalCodecField(meaning: string, initial: string | null = null) {
  return z
    .string()
    .max(200)
    .nullable()
    .transform((spec, context) => (spec === null ? null : canonicalCodec(spec, context)))
    .default(initial)
    .describe(meaning)
    .meta({ allowed: `${codecsAllowed}, or null`, initial });
}

/** H. */
export const innerStepsField = (initial: number) =>
  z
    .int()
    .min(1)
    .max(1_000_000)
    .default(initial)
    .describe("inner optimizer steps of each peer in a round (H)");

/** The collectives that end with every rank holding the mean, and their choice by what the links were measured to be. */
export const collectiveField = (initial: "auto" | (typeof allReduceCollectives)[number] = "direct") =>
  z
    .enum(["auto", ...allReduceCollectives])
    .default(initial)
    .describe("the all-reduce algorithm; auto: the fastest by the measured links");

/** A number from `least` to `most`, both allowed. */
export const numberField = (least: number, most: number, initial: number, meaning: string) =>
  z.number().min(least).max(most).default(initial).describe(meaning);

/** A decay or momentum: from 0 to less than 1. */
export const decayField = (initial: number, meaning: string) =>
  z.number().min(0).lt(1).default(initial).describe(meaning);

export const wholeField = (least: number, most: number, initial: number, meaning: string) =>
  z.int().min(least).max(most).default(initial).describe(meaning);

/** How what is sent is coded, both ways, and by which all-reduce: `codingOf` and `routeOf` read them. */
export const codingFields = (codec: string) => ({
  codec: codecField(codec, "how what peers send is coded on the wire"),
  downCodec: optionalCodecField(
    "how the mean is coded on its way down; null: as up. Only of the collective direct",
  ),
  ownerFeedback: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .default(null)
    .describe("decay of the error feedback of a chunk's owner on the mean's way down; null: none"),
  collective: collectiveField(),
});

interface CodingOptions {
  readonly codec: string;
  readonly downCodec: string | null;
  readonly ownerFeedback: number | null;
  readonly collective: "auto" | (typeof allReduceCollectives)[number];
}

export const codingOf = ({ codec, downCodec, ownerFeedback }: Omit<CodingOptions, "collective">) => ({
  up: codec,
  down: downCodec,
  ownerFeedback,
});

export const routeOf = ({ collective }: Pick<CodingOptions, "collective">): Route => ({
  kind: "allReduce",
  collective,
});

/** Nesterov's outer step with a momentum that warms up; `outerOf` reads it. */
export const outerFields = (
  learningRate: number,
  momentum: { from: number; to: number; rounds: number },
) => ({
  outerLearningRate: numberField(
    0,
    10,
    learningRate,
    "step size on the mean pseudo-gradient; 1 with momentum 0 is plain averaging",
  ),
  momentumStart: decayField(momentum.from, "outer Nesterov momentum of the first round"),
  momentumEnd: decayField(momentum.to, "outer Nesterov momentum after its warm-up"),
  momentumWarmupRounds: wholeField(
    0,
    1_000_000,
    momentum.rounds,
    "rounds in which the momentum rises from start to end",
  ),
});

interface OuterOptions {
  readonly outerLearningRate: number;
  readonly momentumStart: number;
  readonly momentumEnd: number;
  readonly momentumWarmupRounds: number;
}

/** Schedules and faults of outerFields, to be spread into a definition. */
export function outerOf(options: OuterOptions): {
  readonly learningRate: Schedule<number>;
  readonly momentum: Schedule<number>;
  readonly faults: readonly Fault[];
} {
  const { outerLearningRate, momentumStart: from, momentumEnd: to, momentumWarmupRounds: rounds } = options;
  const problem = `${from}; allowed: at most momentumEnd, which is ${to}`;
  return {
    learningRate: () => outerLearningRate,
    momentum: warmup({ from, to, rounds }),
    faults: from <= to ? [] : [{ key: "momentumStart", problem }],
  };
}
