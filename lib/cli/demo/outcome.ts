/** What the peers of a demo ended with, out of their events: how far they trained, and that all hold the same bits. */
import { GradmeshError } from "../../base/errors.js";
import type { TimedEvent } from "../../run/events.js";

export type EventOf<Type extends TimedEvent["type"]> = Extract<TimedEvent, { type: Type }>;

export const ofType = <Type extends TimedEvent["type"]>(events: readonly TimedEvent[], type: Type) =>
  events.filter((event): event is EventOf<Type> => event.type === type);

export const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

export interface Outcome {
  /** The last one's number; rounds count from 1. */
  rounds: number;
  parameters: number;
  validationLoss: { start: number; end: number };
  /** By peer; all equal. */
  stateDigests: Record<string, string>;
}

/**
 * @param nameOf what a peer is called; null for one that does not matter. @param due how many of those that do must finish.
 * @throws ERR_DIVERGED when their last state digests differ; ERR_INTERNAL when one printed no end.
 */
export function outcomeOf(
  events: readonly TimedEvent[],
  due: number,
  nameOf: (peer: string) => string | null,
): Outcome {
  const counts = ({ peer }: { peer: string }) => nameOf(peer) !== null;
  const ends = ofType(events, "ended").filter((event) => event.reason === "complete" && counts(event));
  const rounds = ofType(events, "round").filter(counts);
  const last = rounds.toSorted((a, b) => a.round - b.round).at(-1);
  const [started] = ofType(events, "started");
  const [evaluated] = ofType(events, "evaluated");
  if (ends.length < due || last === undefined || started === undefined || evaluated === undefined)
    throw new GradmeshError("ERR_INTERNAL", `${ends.length} of ${due} peers finished the run`);
  // One that came back when the run was over holds no state of it.
  const holders = ends.filter(({ stateDigest }) => stateDigest !== "");
  const stateDigests = Object.fromEntries(
    holders.map(({ peer, stateDigest }) => [nameOf(peer)!, stateDigest]),
  );
  if (new Set(Object.values(stateDigests)).size !== 1)
    throw new GradmeshError(
      "ERR_DIVERGED",
      `the peers do not hold the same bits: ${Object.entries(stateDigests)
        .map(([name, digest]) => `${name} ${digest}`)
        .join(", ")}`,
    );
  return {
    rounds: last.round,
    parameters: started.parameters,
    validationLoss: { start: evaluated.validationLoss, end: last.validationLoss },
    stateDigests,
  };
}
