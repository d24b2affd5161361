/** The ruling on the last transition of a unit, which has no operators: from the last state to the contribution. */
import type { Trainer } from "../trainer/trainer.js";
import { leafHash } from "./merkle.js";
import type { DisputedLeaf, Ruling } from "./referee.js";
import type { ContributionOf } from "./replay.js";
import { fits, loadState, type StateTensors, stateDigest } from "./state.js";

/**
 * Decides a dispute over the last transition of a unit, from its last state to its contribution.
 * @param trainer any of the model, for its sizes and to hash the state, which it is left with.
 * @param step the number of the step that would follow the unit's last.
 * @param state the unit's last state, as the worker has shown it; null: nothing in time.
 */
export async function contributionRuling(
  trainer: Trainer,
  step: number,
  { transition, before, leaf, operator }: DisputedLeaf,
  state: StateTensors | null,
  contributionOf: ContributionOf,
): Promise<Ruling> {
  const ruling = (winner: Ruling["winner"], reason: string): Ruling => ({ winner, operator, reason });
  if (state === null || !fits(trainer, state))
    return ruling("challenger", "the worker shows no state of the model's sizes");
  loadState(trainer, state);
  if ((await stateDigest(trainer, step)) !== before)
    return ruling("challenger", "the state that the worker shows is not the unit's last");
  if (leafHash(transition, await contributionOf(state)) === leaf)
    return ruling("worker", "the contribution follows from the unit's last state");
  return ruling("challenger", "the contribution does not follow from the unit's last state");
}
