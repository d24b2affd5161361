/** What an attack is made of: numbers drawn from its seed, the config of its run, and traps that wait for an event. */
import { uniform } from "../../lib/base/random.js";
import type { NamedEvent } from "./chaos-checks.js";

export const SILENCE_MS = 1500;
const RECOVER_MS = 6000;
/** Below the time in which a run must end for everybody, also for those who slept through its end. */
const RECONNECT_MS = 20_000;

/** Numbers that follow from the seed, one after the other. */
export class Draw {
  #drawn = 0;
  constructor(readonly seed: number) {}

  /** In [0, 1). */
  next(): number {
    return uniform(this.seed, 1, this.#drawn++);
  }
  between(least: number, most: number): number {
    return Math.floor(least + this.next() * (most - least + 1));
  }
  pick<T>(list: readonly T[]): T {
    return list[this.between(0, list.length - 1)]!;
  }
}

/** Kills processes at the event that it waits for. */
export interface Trap {
  readonly name: string;
  springs(event: NamedEvent): boolean;
  victims(event: NamedEvent): string[];
}

const sourceOf = (event: NamedEvent) => (event.type === "view" ? event.source : null);

/**
 * Every trap there is.
 * @param nameOf a peer's name by its id.
 * @param anyone the name of some living peer.
 */
export function traps(nameOf: (peer: string) => string | undefined, anyone: () => string): Trap[] {
  const transfer = (event: NamedEvent) => sourceOf(event) !== null;
  const first = () => ["first"];
  return [
    {
      name: "source of a transfer",
      springs: transfer,
      victims: (event) => [nameOf(sourceOf(event)!) ?? "first"],
    },
    {
      name: "joiner in a transfer",
      springs: (event) => transfer(event) && nameOf(sourceOf(event)!) !== event.name,
      victims: (event) => [event.name],
    },
    { name: "coordinator in a transfer", springs: transfer, victims: first },
    { name: "coordinator at a commit", springs: ({ type }) => type === "round", victims: first },
    { name: "coordinator at a vote", springs: ({ type }) => type === "trained", victims: first },
    { name: "coordinator in a recovery", springs: ({ type }) => type === "failed", victims: first },
    {
      name: "coordinator at the end",
      springs: ({ type, name }) => type === "ended" && name !== "first",
      victims: first,
    },
    {
      name: "another in a recovery",
      springs: ({ type }) => type === "failed",
      victims: () => [anyone()],
    },
    {
      name: "coordinator and another at a commit",
      springs: ({ type }) => type === "round",
      victims: () => ["first", anyone()],
    },
  ];
}

/**
 * A run's config as the seed says: strategies that exchange at a round's end and within it, both collectives, both link
 * protections, a state that takes a while to send.
 */
export function configOf(seed: number, rounds: number): Record<string, unknown> {
  const pick = <T>(element: number, list: readonly T[]) =>
    list[Math.floor(uniform(seed, 2, element) * list.length)]!;
  const exchange = pick(0, [
    { collective: "direct", codec: "int8_block" },
    { collective: "ring", codec: "fp32" },
  ]);
  const innerSteps = pick(1, [150, 500]);
  return {
    peersMin: 2,
    peersMax: 5,
    rounds,
    strategy: pick(4, [
      { name: "diloco", innerSteps, ...exchange },
      { name: "local-sgd", innerSteps, ...exchange },
      { name: "streaming-diloco", innerSteps, overlapSteps: 10 },
      { name: "fedavg", innerSteps, fraction: 0.6, ...exchange },
      { name: "ddp", commitSteps: 40, ...exchange },
    ]),
    network: {
      segmentElements: pick(2, [256, 4096]),
      encryption: pick(3, ["aes-256-gcm", "none"]),
      silenceLimitMs: SILENCE_MS,
      recoverLimitMs: RECOVER_MS,
      reconnectLimitMs: RECONNECT_MS,
    },
    checkpoint: { everyRounds: 5, keep: 2 },
  };
}
