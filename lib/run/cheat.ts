/** For tests and the demo: a peer that does not do its work, and commits to what it did instead. */
import type { StepContext, Trainer } from "../trainer/trainer.js";

/**
 * skip: leaves out every second inner step. copy: does the work of the run's first peer over again instead of its own. accuse:
 * works, and says of the first step that it checks in a round that it is wrong.
 */
export const cheatKinds = ["skip", "copy", "accuse"] as const;
export type CheatKind = (typeof cheatKinds)[number];

export interface CheatPlan {
  readonly kind: CheatKind;
  /** From this round on; from 1, as people count rounds. */
  readonly round: number;
}

/** The shard whose work a copying peer does. */
export const COPIED_SHARD = 0;

/**
 * The trainer as its owner makes it out to be.
 * @param steps inner steps of a round. @param other who copies: a trainer of the copied shard, which is closed with the first.
 */
export function cheatingTrainer(
  trainer: Trainer,
  { kind, round }: CheatPlan,
  steps: number,
  other: Trainer | null,
): Trainer {
  const cheats = ({ step }: StepContext) => step >= (round - 1) * steps;
  const skipped = ({ step }: StepContext) => step % 2 === 1;
  const step = async (context: StepContext) => {
    if (!cheats(context)) return trainer.step(context);
    if (kind === "skip" && skipped(context)) return { loss: 0, tokens: 0 };
    if (other === null) return trainer.step(context);
    copyState(trainer, other);
    const result = await other.step({ ...context, last: true });
    copyState(other, trainer);
    return result;
  };
  const close = () => {
    trainer.close();
    other?.close();
  };
  return new Proxy(trainer, {
    get(target, name) {
      if (name === "step") return step;
      if (name === "close") return close;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function copyState(from: Trainer, to: Trainer): void {
  to.parameters.set(from.parameters);
  for (const [index, { data }] of to.innerState.entries()) data.set(from.innerState[index]!.data);
  to.parametersChanged?.();
}
