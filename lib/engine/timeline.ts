/** What happens when in a round: the strategies' actions sorted by step and phase. Pure. */
import type { Action, ApplyAction, BeginAction, Strategy, StrategyView } from "../strategy/strategy.js";

/** An action and which of the run's strategies it is of. */
export interface Planned<Of extends Action> {
  readonly index: number;
  readonly action: Of;
}

export interface Phase {
  readonly begins: readonly Planned<BeginAction>[];
  readonly applies: readonly Planned<ApplyAction>[];
}

/** What happens around one inner step. */
export interface StepActions {
  /** Between the gradient and the update of the step that makes it `step`. */
  readonly gradient: Phase;
  /** Once `step` inner steps are done. */
  readonly boundary: Phase;
  /** After the boundary's applies, and after the commit where there is one: begins of what ends later. */
  readonly opening: readonly Planned<BeginAction>[];
}

export function actionsAt(strategies: readonly Strategy[], step: number, view: StrategyView): StepActions {
  const gradient = { begins: [] as Planned<BeginAction>[], applies: [] as Planned<ApplyAction>[] };
  const boundary = { begins: [] as Planned<BeginAction>[], applies: [] as Planned<ApplyAction>[] };
  const opening: Planned<BeginAction>[] = [];
  for (const [index, { recipe, actions }] of strategies.entries()) {
    const list = actions(step, view);
    const later = list.findIndex(({ kind }) => kind !== "begin");
    const now = step === 0 ? 0 : later < 0 ? list.length : later;
    const phase = recipe.source === "gradient" ? gradient : boundary;
    for (const [at, action] of list.entries()) {
      if (action.kind === "apply") phase.applies.push({ index, action });
      if (action.kind === "begin") (at < now ? phase.begins : opening).push({ index, action });
    }
  }
  return { gradient, boundary, opening };
}

const isEmpty = ({ begins, applies }: Phase) => begins.length === 0 && applies.length === 0;

/** Of a round that goes from step `start` to step `end`. */
export interface RoundPlan {
  readonly start: number;
  readonly end: number;
  /** Inner steps up to here need no network and no view. */
  readonly trainedTo: number;
  /** At the end: the gradient's exchange waits for the commit, since nothing follows it. */
  readonly defersUpdate: boolean;
  /** State changes between the first exchange and the commit, so a copy must be kept. */
  readonly needsSavepoint: boolean;
  /** Exchanges that begin in the round. */
  readonly exchanges: number;
}

/** No member counts for when things happen, so that a round can be planned before there is a view. */
const nobody = (seed: number): StrategyView => ({ epoch: 0, members: [], seed, measures: {} });

export function planRound(strategies: readonly Strategy[], start: number, end: number): RoundPlan {
  const view = nobody(0);
  const needsView = strategies.some(({ trains }) => trains !== undefined);
  let exchanges = actionsAt(strategies, start, view).opening.length;
  let trainedTo = exchanges > 0 || needsView ? start : -1;
  for (let step = start + 1; step <= end; step += 1) {
    const { gradient, boundary, opening } = actionsAt(strategies, step, view);
    const inGradient = !isEmpty(gradient);
    const opened = step < end ? opening.length : 0;
    exchanges += gradient.begins.length + boundary.begins.length + opened;
    if (trainedTo >= 0) continue;
    if (inGradient) trainedTo = step - 1;
    else if (!isEmpty(boundary) || opened > 0) trainedTo = step;
  }
  if (trainedTo < 0) trainedTo = end;
  const last = actionsAt(strategies, end, view);
  const defersUpdate = !isEmpty(last.gradient) && isEmpty(last.boundary);
  const needsSavepoint = trainedTo < end && !(trainedTo === end - 1 && defersUpdate && !needsView);
  return { start, end, trainedTo, defersUpdate, needsSavepoint, exchanges };
}
