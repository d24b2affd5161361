/** DiLoCo (arXiv 2311.08105): H inner steps on each peer, then an outer Nesterov step on the mean pseudo-gradient. */
import { z } from "zod";
import { GradmeshError } from "../base/errors.js";
import { type CodecName, codecs, collectives } from "../native/abi.gen.js";
import { parseOptions } from "./options.js";
import { momentumAt, type Recipe, type Strategy } from "./strategy.js";

const codecNames = Object.keys(codecs) as [CodecName, ...CodecName[]];
/** The collectives that end with every rank holding the mean. */
const meanCollectives = ["ring", "direct"] as const;

const momentum = z.number().min(0).lt(1);

/** What a run's config says about DiLoCo; every key has a default, the paper's where the paper has one. */
export const dilocoOptions = z.strictObject({
  strategy: z.literal("diloco").default("diloco"),
  /** H: inner steps between exchanges. */
  every: z.int().min(1).default(50),
  codec: z.enum(codecNames).default("int8_block"),
  collective: z.enum(meanCollectives).default("direct"),
  outer: z
    .strictObject({
      learningRate: z.number().gt(0).max(10).default(0.7),
      momentum: z
        .strictObject({
          from: momentum.default(0.5),
          to: momentum.default(0.9),
          warmupRounds: z.int().min(0).default(20),
        })
        .prefault({}),
    })
    .prefault({}),
});

/** A recipe from a run's options. @throws ERR_CONFIG naming the key and the allowed values. */
export function dilocoRecipe(options: unknown): Recipe {
  const { strategy, every, codec, collective, outer } = parseOptions(dilocoOptions, options, "strategy");
  if (!collectives[collective].coded && !codecs[codec].linear) {
    const linear = codecNames.filter((name) => codecs[name].linear).join(", ");
    throw new GradmeshError(
      "ERR_CONFIG",
      `strategy.codec is "${codec}": collective "${collective}" adds coded values and takes only linear codecs ` +
        `(${linear}); collective "direct" takes any`,
    );
  }
  return {
    strategy,
    trigger: { kind: "every", steps: every },
    source: "delta",
    fragments: "all",
    feedback: "none",
    codec,
    collective,
    aggregate: "mean",
    outer: { kind: "nesterov", ...outer },
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
      const { latencySteps, bytesSent } = collectiveCost(collective, codec, peers, rank, parameters);
      return { bytesPerStep: bytesSent / trigger.steps, latencyStepsPerStep: latencySteps / trigger.steps };
    },
  };
}
