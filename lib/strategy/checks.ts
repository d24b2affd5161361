/** Why a recipe cannot work, with the key, its value, the reason and the cure; and what works badly. */
import { collectives } from "../native/abi.gen.js";
import { codecsThat, openCodec } from "../native/codec.js";
import { fragmentCount } from "./fragments.js";
import type { Recipe } from "./recipe.js";

/** One thing wrong with a strategy's options. */
export interface Fault {
  /** Below the strategy's section, as in "codec". */
  readonly key: string;
  readonly problem: string;
}

type Check = (recipe: Recipe) => readonly Fault[];

const fault = (key: string, problem: string): Fault[] => [{ key, problem }];
const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");

/** Why feedback refuses a codec: an unbiased one's scale overshoots, and the fed back error grows (arXiv 1901.09847). */
function notContractive(spec: string): string {
  const why = openCodec(spec).unbiased
    ? "it is unbiased, so what it makes of an error may be larger than the error, and fed back it grows"
    : "it may make an error larger than it was";
  return `"${spec}": error feedback takes contractive codecs only, and of this one ${why}`;
}

const contractive = () =>
  `allowed with feedback: ${quoted(codecsThat("contractive"))}, and others with scale=least`;

const senderFeedback: Check = ({ feedback, coding: { up } }) =>
  feedback.kind === "none" || openCodec(up).contractive
    ? []
    : fault("codec", `${notContractive(up)}; ${contractive()}; or set feedback to "none"`);

/** What is taken out of the feedback is what others decode of a contribution that is coded once, under its sender's rank. */
const codedOnce: Check = ({ feedback, coding: { up }, route }) => {
  if (feedback.kind === "none" || openCodec(up).identity) return [];
  if (route.kind !== "allReduce" || route.collective === "direct") return [];
  return fault(
    "collective",
    `"${route.collective}": what is fed back is what coding a contribution leaves out, and here partial sums may be coded; ` +
      'set collective to "direct", or feedback to "none"',
  );
};

const ownerFeedback: Check = ({ coding: { up, down, ownerFeedback }, route, aggregate }) => {
  if (ownerFeedback === null || route.kind === "powersgd" || aggregate.kind === "robust") return [];
  const spec = down ?? up;
  const key = down === null ? "codec" : "downCodec";
  const coded = openCodec(spec).contractive
    ? []
    : fault(key, `${notContractive(spec)}; ${contractive()}; or set ownerFeedback to null`);
  const owned = route.kind === "allReduce" && route.collective === "direct";
  return owned
    ? coded
    : [
        ...coded,
        ...fault(
          "ownerFeedback",
          `${ownerFeedback}: only the collective "direct" has owners that code the mean once; ` +
            'set collective to "direct", or ownerFeedback to null',
        ),
      ];
};

const downCodec: Check = ({ coding: { down }, route, aggregate }) =>
  down === null ||
  aggregate.kind === "robust" ||
  route.kind === "powersgd" ||
  (route.kind === "allReduce" && route.collective === "direct")
    ? []
    : fault(
        "downCodec",
        `"${down}": only the collective "direct" codes the mean anew on its way down; ` +
          'set collective to "direct", or downCodec to null',
      );

const plainFactors: Check = ({ coding: { up, down, ownerFeedback }, route }) => {
  if (route.kind !== "powersgd") return [];
  const why = "PowerSGD sends its factors as they are";
  return [
    ...(openCodec(up).identity ? [] : fault("codec", `"${up}": ${why}; set codec to "fp32"`)),
    ...(down === null ? [] : fault("downCodec", `"${down}": ${why}; set downCodec to null`)),
    ...(ownerFeedback === null
      ? []
      : fault("ownerFeedback", `${ownerFeedback}: ${why}; set ownerFeedback to null`)),
  ];
};

/** No member sends anything on after it has aggregated what it gathered. */
const nothingDown: Check = ({ aggregate, coding: { down, ownerFeedback } }) => {
  if (aggregate.kind !== "robust") return [];
  const why = "with aggregate every member makes the result itself, and nothing goes down";
  return [
    ...(down === null ? [] : fault("downCodec", `"${down}": ${why}; set downCodec to null`)),
    ...(ownerFeedback === null
      ? []
      : fault("ownerFeedback", `${ownerFeedback}: ${why}; set ownerFeedback to null`)),
  ];
};

const exactCollective: Check = ({ coding: { up }, route }) => {
  if (route.kind !== "allReduce" || route.collective === "auto") return [];
  if (collectives[route.collective].coded || openCodec(up).identity) return [];
  return fault(
    "codec",
    `"${up}": the collective "${route.collective}" adds float32 sums on the way and takes only ` +
      `${quoted(codecsThat("identity"))}; or set collective to "direct", which takes any`,
  );
};

/** An exchange every `trigger.steps`, fragments in turn, all of them within a round. */
const timing: Check = ({ trigger, commit, fragments, staleness, route }) => {
  if (route.kind === "none") return [];
  const count = fragments.kind === "layers" ? fragmentCount(fragments) : 1;
  if (!Number.isSafeInteger(trigger.steps) || commit.steps % (trigger.steps * count) !== 0)
    return fault(
      "innerSteps",
      count > 1
        ? `${commit.steps}: every fragment has its turn in a round after equally many steps; ` +
            `allowed: a multiple of fragments, which is ${count}`
        : `${commit.steps}: a round holds whole exchanges; allowed: a multiple of ${trigger.steps}`,
    );
  if (staleness.kind !== "overlap")
    return trigger.steps === commit.steps
      ? []
      : fault("innerSteps", `${commit.steps}: a delay of a round takes one exchange a round`);
  if (staleness.steps <= trigger.steps) return [];
  const most = count > 1 ? `innerSteps / fragments, which is ${trigger.steps}` : `${trigger.steps}`;
  return fault(
    "overlapSteps",
    `${staleness.steps}: what is begun must be applied before the round commits; allowed: at most ${most}`,
  );
};

/** An inner optimizer's gradient is used by the step that made it. */
const gradientNow: Check = ({ source, staleness }) =>
  source !== "gradient" || (staleness.kind === "overlap" && staleness.steps === 0)
    ? []
    : fault("overlapSteps", "a gradient is applied in the step that made it; allowed: 0");

const checks: readonly Check[] = [
  senderFeedback,
  codedOnce,
  ownerFeedback,
  downCodec,
  plainFactors,
  nothingDown,
  exactCollective,
  timing,
  gradientNow,
];

/** Everything that forbids the recipe; empty where it can run. */
export function recipeFaults(recipe: Recipe): Fault[] {
  return checks.flatMap((check) => check(recipe));
}

/** Parts of a tensor that a codec of chosen elements sends, by its specification; null: it sends all. */
export function codecDensity(spec: string): number | null {
  const [name, list = ""] = spec.split(":");
  const options = new Map(list.split(",").map((part) => part.split("=") as [string, string | undefined]));
  const number = (option: string, initial: number) => Number(options.get(option) ?? initial);
  if (name === "topk") return number("k", 64) / number("block", 4096);
  if (name !== "dct_topk") return null;
  const side = (extent: number) => {
    for (let divisor = Math.min(64, extent); divisor > 1; divisor--)
      if (extent % divisor === 0) return divisor;
    return 1;
  };
  return Math.min(1, number("k", 64) / (side(number("rows", 64)) * side(number("columns", 64))));
}

/** Below it most elements are hardly ever sent, and the loss is worse than without communication (measured). */
const COVERAGE_MIN = 10;

/**
 * A top-k wants coverage: exchanges of an element times density of at least 10.
 * @param rounds of the run.
 */
export function recipeWarnings({ coding, trigger, commit, fragments }: Recipe, rounds: number): string[] {
  const density = codecDensity(coding.up);
  if (density === null) return [];
  const exchanges = (rounds * commit.steps) / (trigger.steps * fragmentCount(fragments));
  const coverage = exchanges * density;
  if (coverage >= COVERAGE_MIN) return [];
  return [
    `codec "${coding.up}" sends ${(100 * density).toPrecision(3)} % of the elements, in ${exchanges} exchanges ` +
      `${coverage.toPrecision(3)} times all of them; below ${COVERAGE_MIN} the loss suffers: take a larger k, ` +
      "more rounds or fewer inner steps",
  ];
}
