/** Which runs can be verified: those whose inner steps follow from what is committed, and whose contributions everybody sees. */
import type { Strategy } from "../../strategy/strategy.js";

interface Rule {
  readonly holds: (strategy: Strategy) => boolean;
  /** Why it must, and what to do where it does not. */
  readonly because: string;
}

const rules: readonly Rule[] = [
  {
    holds: ({ recipe }) => recipe.source === "delta" && recipe.fragments.kind === "all",
    because:
      "a round must be inner steps and then one exchange of all pseudo-gradients, as of diloco and fedavg",
  },
  {
    holds: ({ recipe }) => recipe.staleness.kind === "overlap" && recipe.staleness.steps === 0,
    because: "what is exchanged must be applied in the same round; choose a strategy without overlap",
  },
  {
    holds: ({ recipe }) => recipe.commit.equal && recipe.trigger.steps === recipe.commit.steps,
    because: "all peers must hold the same bits after each round; choose a strategy without gossip",
  },
  {
    holds: ({ recipe }) =>
      recipe.feedback.kind === "none" && recipe.coding.ownerFeedback === null && recipe.local.kind === "none",
    because:
      "feedback and proximal terms are state that nobody commits to; leave out feedback, ownerFeedback and mu",
  },
  {
    holds: ({ trains, trainerOptions }) => trains === undefined && trainerOptions === undefined,
    because: "every peer must take the same steps of the same model; choose a strategy of equal peers",
  },
  {
    holds: ({ recipe }) => recipe.aggregate.kind === "robust",
    because:
      'every peer must see every contribution to compare it with what was committed; give the strategy "aggregate": {"rule": "mean"}, or a robust rule',
  },
];

/** Why a run of these strategies cannot be verified, or null. */
export function unverifiable(strategies: readonly Strategy[]): string | null {
  if (strategies.length !== 1) return "a list of strategies; a verified run has one";
  const [strategy] = strategies;
  const broken = rules.find(({ holds }) => !holds(strategy!));
  return broken === undefined ? null : `strategy "${strategy!.recipe.strategy}": ${broken.because}`;
}
