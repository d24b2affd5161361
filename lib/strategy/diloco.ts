/** DiLoCo (arXiv 2311.08105): H inner steps on each peer, then an outer Nesterov step on the mean pseudo-gradient. */
import { z } from "zod";
import { GradmeshError } from "../base/errors.js";
import { collectives } from "../native/abi.gen.js";
import { codecsThat, openCodec } from "../native/codec.js";
import { allReduceCollectives } from "../reduce/calls.js";
import { codecOption, parseOptions } from "./options.js";
import { momentumAt, type Recipe, type Strategy } from "./strategy.js";

/** The collectives that end with every rank holding the mean, and their choice by what the links were measured to be. */
const meanCollectives = ["auto", ...allReduceCollectives] as const;

const momentum = z.number().min(0).lt(1);

/** The config's `strategy` section for DiLoCo; every key has a default. */
export const dilocoOptions = z.strictObject({
  name: z.enum(["diloco"]).default("diloco").describe("what peers exchange and when (arXiv 2311.08105)"),
  innerSteps: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20)
    .describe("inner optimizer steps of each peer in a round (H)"),
  outerLearningRate: z
    .number()
    .min(0)
    .max(10)
    .default(0.7)
    .describe("step size on the mean pseudo-gradient; 1 with momentum 0 is plain averaging"),
  momentumStart: momentum.default(0.5).describe("outer Nesterov momentum of the first round"),
  momentumEnd: momentum.default(0.9).describe("outer Nesterov momentum after its warm-up"),
  momentumWarmupRounds: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(10)
    .describe("rounds in which the momentum rises from start to end"),
  codec: codecOption("int8_block", "how pseudo-gradients are coded on the wire"),
  collective: z
    .enum(meanCollectives)
    .default("direct")
    .describe("the all-reduce algorithm; auto: the fastest by the measured links"),
});

/** A recipe from a run's options. @throws ERR_CONFIG naming the key and the allowed values. */
export function dilocoRecipe(options: unknown): Recipe {
  const { name, innerSteps, codec, collective, ...outer } = parseOptions(dilocoOptions, options, "strategy");
  if (collective !== "auto" && !collectives[collective].coded && !openCodec(codec).identity) {
    throw new GradmeshError(
      "ERR_CONFIG",
      `strategy.codec is "${codec}": collective "${collective}" adds float32 sums on the way and takes only ` +
        `${codecsThat("identity").join(", ")}; collective "direct" takes any`,
    );
  }
  return {
    strategy: name,
    trigger: { kind: "every", steps: innerSteps },
    source: "delta",
    fragments: "all",
    feedback: "none",
    codec,
    collective,
    aggregate: "mean",
    outer: {
      kind: "nesterov",
      learningRate: outer.outerLearningRate,
      momentum: {
        from: outer.momentumStart,
        to: outer.momentumEnd,
        warmupRounds: outer.momentumWarmupRounds,
      },
    },
    staleness: 0,
    commit: "everyRound",
  };
}

/** DiLoCo by its options. @throws ERR_CONFIG as dilocoRecipe(). */
export function diloco(options: unknown): Strategy {
  const recipe = dilocoRecipe(options);
  const { trigger, source, fragments, codec, collective, aggregate, outer } = recipe;
  return {
    recipe,
    actions(step) {
      if (step === 0 || step % trigger.steps !== 0) return [];
      const round = step / trigger.steps - 1;
      return [
        { kind: "reduce", round, source, fragment: fragments, codec, collective, aggregate },
        { kind: "outer", round, learningRate: outer.learningRate, momentum: momentumAt(outer, round) },
        { kind: "commit", round },
      ];
    },
    cost({ parameters, peers, rank, collectiveCost }) {
      const assumed = collective === "auto" ? "direct" : collective;
      const { latencySteps, bytesSent } = collectiveCost(assumed, codec, peers, rank, parameters);
      return { bytesPerStep: bytesSent / trigger.steps, latencyStepsPerStep: latencySteps / trigger.steps };
    },
  };
}
