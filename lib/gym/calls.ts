/** One collective of a group: the members' calls checked against each other, run over all their tensors, and counted. */
import { GradmeshError } from "../base/errors.js";
import { runLocal } from "../reduce/local.js";
import type { StrategyMember } from "../strategy/strategy.js";
import type { GroupCall, PlanSet } from "./plans.js";

/** What must be the same on all members, as text. */
function commonOf({ input, output, ...rest }: GroupCall): string {
  const owner = "owner" in rest && rest.owner !== null ? rest.owner.decay : null;
  return JSON.stringify({ ...rest, owner, elements: input.length, outputs: output.length });
}

/** @throws ERR_MISMATCH naming the members and what each of them asked for. */
export function checkAlike(calls: readonly GroupCall[], members: readonly StrategyMember[]): void {
  const common = commonOf(calls[0]!);
  const other = calls.findIndex((call) => commonOf(call) !== common);
  if (other < 0) return;
  throw new GradmeshError(
    "ERR_MISMATCH",
    `members ask for different collectives in slot ${calls[0]!.slot}: ${members[0]!.peerId} ${common}, ` +
      `${members[other]!.peerId} ${commonOf(calls[other]!)}`,
  );
}

/** Of collectives whose codec draws nothing. */
export const unkeyed = { seed: 0, step: 0 };

/** What a call sends: of words, a place for each rank's, its own filled in. */
function inputOf(call: GroupCall, rank: number): Float32Array {
  if (call.kind !== "gatherWords") return call.input;
  const words = new Float32Array(call.output.length);
  words.set(call.input, call.input.length * rank);
  return words;
}

/** Runs all ranks' schedules. @throws as native collectives do. */
export async function runCalls(set: PlanSet, calls: readonly GroupCall[]): Promise<void> {
  const { order, plans } = set;
  const owners = order.flatMap((rank) => {
    const call = calls[rank]!;
    return call.kind === "allReduce" && call.owner !== null ? [call.owner] : [];
  });
  const first = calls[0]!;
  const keyed = first.kind === "allReduce" || first.kind === "mix";
  await runLocal({
    plans,
    key: keyed ? first.key : unkeyed,
    inputs: order.map((rank) => inputOf(calls[rank]!, rank)),
    outputs: order.map((rank) => calls[rank]!.output),
    states: owners.map(({ state }) => state),
    nexts: owners.map(({ next }) => next),
  });
}
