/** What must hold of every run, whatever was done to its processes: checked over all their events and exits. */
import type { PeerExit } from "../../lib/cli/swarm.js";
import type { TimedEvent } from "../../lib/run/events.js";

export type NamedEvent = TimedEvent & { name: string };

/** What the driver did to a process, or what its end was expected to be. */
export type Fate = "none" | "killed" | "interrupted";

/** One process of a peer, from its start to its end. */
export interface Life {
  name: string;
  fate: Fate;
  /** A signal is planned in one of its all-reduces. */
  faulty: boolean;
  /** Its own events. */
  events: NamedEvent[];
  exit: PeerExit | null;
  stderr(): string;
}

/** Every round has one digest, whoever saw it, in whichever process. */
function digestProblems(lives: readonly Life[]): string[] {
  const digests = new Map<number, string>();
  const problems: string[] = [];
  for (const life of lives)
    for (const event of life.events) {
      if (event.type !== "round" && event.type !== "ended") continue;
      if (event.type === "ended" && event.stateDigest === "") continue;
      const known = digests.get(event.round);
      if (known !== undefined && known !== event.stateDigest)
        problems.push(`round ${event.round} is ${event.stateDigest} on ${life.name}, elsewhere ${known}`);
      digests.set(event.round, event.stateDigest);
    }
  return problems;
}

/** Rounds only go up within a process, and no round is done with contributors that its epoch did not have. */
function orderProblems(life: Life): string[] {
  const rounds = life.events.flatMap((event) => (event.type === "round" ? [event.round] : []));
  const back = rounds.findIndex((round, index) => index > 0 && round <= rounds[index - 1]!);
  return back < 0 ? [] : [`${life.name} saw round ${rounds[back]} after ${rounds[back - 1]}`];
}

/** A process ends by the signal that was sent, or with 0 and an `ended` event, or with an error that is allowed. */
function exitProblems(life: Life, allowedErrors: readonly string[]): string[] {
  const { name, exit, fate, faulty, events } = life;
  if (exit === null) return [`${name} is still there`];
  const stderr = life.stderr();
  if (/ERR_INTERNAL|Unhandled|at .*\.js:\d+/.test(stderr)) return [`${name} ended with: ${stderr}`];
  if (exit.signal !== null) {
    // An interrupt that comes before Node runs any of our code ends it as it ends any process.
    const early = exit.signal === "SIGINT" && fate === "interrupted" && events.length === 0;
    const expected = early || (exit.signal === "SIGKILL" && (fate === "killed" || faulty));
    return expected ? [] : [`${name} ended by ${exit.signal}`];
  }
  if (exit.code === 0) {
    return events.at(-1)?.type === "ended" ? [] : [`${name} ended with 0 without an "ended" event`];
  }
  if (exit.code === 130 && fate === "interrupted") return [];
  const code = /error (ERR_\w+): .{20,}/.exec(stderr)?.[1];
  if (code !== undefined && allowedErrors.includes(code)) return [];
  return [`${name} ended with ${exit.code}: ${stderr || "(it said nothing)"}`];
}

/** When the run was complete for the first that heard of it. */
function completedAt(lives: readonly Life[]): number {
  const ends = lives.flatMap(({ events }) => events.filter((event) => event.type === "ended"));
  return Math.min(...ends.filter(({ reason }) => reason === "complete").map(({ at }) => at));
}

/** Everything that is wrong with a run, in words; empty when all is well. */
export function violations(lives: readonly Life[], allowedErrors: readonly string[]): string[] {
  const complete = completedAt(lives);
  // Who slept through the end of the run finds no coordinator any more when it wakes.
  const allowed = ({ exit }: Life) =>
    exit !== null && exit.at > complete ? [...allowedErrors, "ERR_UNREACHABLE"] : allowedErrors;
  return [
    ...digestProblems(lives),
    ...lives.flatMap(orderProblems),
    ...lives.flatMap((life) => exitProblems(life, allowed(life))),
  ];
}
