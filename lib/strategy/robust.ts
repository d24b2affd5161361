/**
 * Rules over all members' contributions, which every member gathers whole, for runs that cannot verify everyone: so many of
 * them, `faulty`, may be anything, and cannot lead the result astray. Pure: which rule goes with how many members.
 */
import { z } from "zod";
import type { Fault } from "./checks.js";
import { type Aggregate, type Route, robustRules } from "./recipe.js";

export type RobustAggregate = Extract<Aggregate, { readonly kind: "robust" }>;

/** As many contributions as the sorting networks of native/ops take. */
export const CONTRIBUTIONS_MAX = 32;
/** Of CenteredClip, where nothing else is said, and at most. */
const ITERATIONS = 5;
const ITERATIONS_MAX = 20;

const rule = z.strictObject({
  rule: z
    .enum(robustRules)
    .describe(
      "median, trimmedMean, krum, multiKrum, centeredClip, normClip; or the mean, which bears no faulty peer",
    ),
  faulty: z
    .int()
    .min(0)
    .max(CONTRIBUTIONS_MAX)
    .default(0)
    .describe("of the members, how many may send anything (f)"),
  selected: z.int().min(1).max(CONTRIBUTIONS_MAX).nullable().default(null),
  radius: z.number().gt(0).max(1e30).nullable().default(null),
  iterations: z.int().min(1).max(ITERATIONS_MAX).default(ITERATIONS),
});

const allowed =
  `null, or an object as in {"rule": "median", "faulty": 1}; rules: ${robustRules.join(", ")}; ` +
  "selected (of multiKrum; null: n - f - 2), radius (of centeredClip and normClip; null: the median distance or norm), " +
  `iterations (of centeredClip; 1 to ${ITERATIONS_MAX})`;

/** Of strategies whose contributions may be gathered: `gatheringOf` reads it. */
export const aggregateField = () => ({
  aggregate: rule
    .nullable()
    .default(null)
    .describe(
      "null: the mean, summed on the way; else every member gets every contribution, and a rule makes one of them that " +
        "`faulty` members cannot lead astray (arXiv 1703.02757, 1803.01498, 2012.10333)",
    )
    .meta({ allowed, initial: null }),
});

interface GatheringOptions {
  readonly aggregate: z.output<typeof rule> | null;
  readonly collective?: string;
}

interface Gathering {
  readonly route: Route;
  readonly aggregate: Aggregate;
  readonly faults: readonly Fault[];
}

/** Route and aggregate of a recipe: those given, or with `aggregate` every member's contribution to every member. */
export function gatheringOf(
  { aggregate, collective = "direct" }: GatheringOptions,
  plain: Pick<Gathering, "route" | "aggregate">,
): Gathering {
  if (aggregate === null) return { ...plain, faults: [] };
  const robust: RobustAggregate = { kind: "robust", ...aggregate };
  const problem = `"${collective}": with aggregate every member gets every contribution; leave it at "direct"`;
  return {
    route: { kind: "gather" },
    aggregate: robust,
    faults: [
      ...(collective === "direct" ? [] : [{ key: "collective", problem }]),
      ...ruleFaults(robust).map(({ key, problem }) => ({ key: `aggregate.${key}`, problem })),
    ],
  };
}

/** What no number of members makes possible. */
function ruleFaults({ rule: name, faulty, selected, radius, iterations }: RobustAggregate): Fault[] {
  const faults: Fault[] = [];
  if (name === "mean" && faulty > 0)
    faults.push({
      key: "faulty",
      problem: `${faulty}: one faulty peer moves a mean anywhere; allowed with "mean": 0`,
    });
  if (selected !== null && name !== "multiKrum")
    faults.push({ key: "selected", problem: `${selected}: only "multiKrum" selects; leave it null` });
  if (radius !== null && name !== "centeredClip" && name !== "normClip")
    faults.push({
      key: "radius",
      problem: `${radius}: only "centeredClip" and "normClip" clip; leave it null`,
    });
  if (iterations !== ITERATIONS && name !== "centeredClip")
    faults.push({ key: "iterations", problem: `${iterations}: only "centeredClip" iterates; leave it out` });
  const least = membersLeast({ rule: name, faulty, selected });
  if (least.members > CONTRIBUTIONS_MAX)
    faults.push({
      key: "faulty",
      problem: `${faulty}: "${name}" needs ${least.inequality}; at most ${CONTRIBUTIONS_MAX} members can be aggregated`,
    });
  return faults;
}

/** The fewest members that a rule works with, and why, n being the members and f the faulty ones. */
export function membersLeast({
  rule: name,
  faulty,
  selected,
}: Pick<RobustAggregate, "rule" | "faulty" | "selected">): {
  readonly members: number;
  readonly inequality: string;
} {
  switch (name) {
    case "mean":
      return { members: 1, inequality: "n >= 1" };
    case "krum":
      return { members: 2 * faulty + 3, inequality: "n >= 2f + 3" };
    case "multiKrum": {
      const members = Math.max(2 * faulty + 3, (selected ?? 1) + faulty + 2);
      return { members, inequality: "n >= 2f + 3 and selected <= n - f - 2" };
    }
    default:
      return { members: 2 * faulty + 1, inequality: "2f < n" };
  }
}

/** Why the rule cannot aggregate so many contributions; null where it can. */
export function impossible(aggregate: RobustAggregate, members: number): string | null {
  const { rule: name, faulty } = aggregate;
  const { members: least, inequality } = membersLeast(aggregate);
  if (members > CONTRIBUTIONS_MAX)
    return `the rule "${name}" of ${members} contributions; allowed: at most ${CONTRIBUTIONS_MAX}`;
  if (members >= least) return null;
  return (
    `the rule "${name}" with faulty f = ${faulty} needs ${inequality}, that is ${least} members at least, ` +
    `and there are n = ${members}`
  );
}
