/** What a virtual peer is: its speed, its link, when it comes and goes, and how often it fails; all of it data. */
import { z } from "zod";
import { uniform } from "../base/random.js";

const share = z.number().min(0).max(1);

/** One link's figures by name: up and down in Mbit/s, and the one-way delay between two peers that both have it. */
export const links = {
  lan: { upMbit: 10_000, downMbit: 10_000, delayMs: 0.1 },
  wan: { upMbit: 100, downMbit: 100, delayMs: 20 },
  "1gbit-20ms": { upMbit: 1000, downMbit: 1000, delayMs: 10 },
  "100mbit-20ms": { upMbit: 100, downMbit: 100, delayMs: 10 },
  "100mbit-40ms": { upMbit: 100, downMbit: 100, delayMs: 20 },
  "1gbit-100ms": { upMbit: 1000, downMbit: 1000, delayMs: 50 },
  transatlantic: { upMbit: 400, downMbit: 400, delayMs: 45 },
  "home-10mbit": { upMbit: 10, downMbit: 50, delayMs: 15 },
  "10mbit": { upMbit: 10, downMbit: 10, delayMs: 20 },
  mobile: { upMbit: 5, downMbit: 20, delayMs: 40 },
} as const satisfies Record<string, { upMbit: number; downMbit: number; delayMs: number }>;

export type LinkName = keyof typeof links;
const linkNames = Object.keys(links) as [LinkName, ...LinkName[]];

const faults = z
  .strictObject({
    death: share
      .default(0)
      .describe("probability that the peer dies in a round's exchanges; the last member there does not"),
    returnRounds: z
      .int()
      .min(1)
      .max(1_000_000)
      .nullable()
      .default(null)
      .describe("rounds after which one that died is back, with nothing but its data; null: never"),
    slow: share.default(0).describe("probability that its inner steps of a round are slow"),
    slowFactor: z
      .number()
      .min(1)
      .max(1e6)
      .default(10)
      .describe("how many times longer a slow round's steps take"),
  })
  .describe("drawn by seed for each peer and round");

const round = z.int().min(0).max(1_000_000_000);

/** One line of an arm's `peers`: so many equal peers. */
export const peerSchema = z.strictObject({
  count: z.int().min(1).max(1024).default(1).describe("peers of this kind"),
  link: z.enum(linkNames).default("lan").describe("its link by name"),
  upMbit: z.number().gt(0).max(1e6).optional().describe("Mbit/s that it sends; default: the link's"),
  downMbit: z.number().gt(0).max(1e6).optional().describe("Mbit/s that it receives; default: the link's"),
  delayMs: z
    .number()
    .min(0)
    .max(60_000)
    .optional()
    .describe(
      "one-way delay to a peer like itself; between unlike ones it is the mean of both; default: the link's",
    ),
  secondsPerStep: z.number().gt(0).max(1e6).default(0.1).describe("of one inner step, before `speed`"),
  speed: z.number().gt(0).max(1e6).default(1).describe("inner steps take secondsPerStep / speed"),
  joinRound: round.default(0).describe("rounds committed when it joins; 0: from the start"),
  leaveRound: round.nullable().default(null).describe("rounds committed when it leaves; null: never"),
  faults: faults.prefault({}),
});

/** A virtual peer; what the schema left to the link is filled in. */
export interface PeerProfile {
  readonly upMbit: number;
  readonly downMbit: number;
  readonly delayMs: number;
  /** `speed` is in it. */
  readonly secondsPerStep: number;
  readonly joinRound: number;
  readonly leaveRound: number | null;
  readonly faults: z.output<typeof faults>;
}

/** The peers of one line of an arm's `peers`. */
export function profilesOf(line: z.output<typeof peerSchema>): PeerProfile[] {
  const { count, link, secondsPerStep, speed, joinRound, leaveRound, faults: own } = line;
  const { upMbit, downMbit, delayMs } = links[link];
  const profile = {
    upMbit: line.upMbit ?? upMbit,
    downMbit: line.downMbit ?? downMbit,
    delayMs: line.delayMs ?? delayMs,
    secondsPerStep: secondsPerStep / speed,
    joinRound,
    leaveRound,
    faults: own,
  };
  return new Array<PeerProfile>(count).fill(profile);
}

const MBIT_BYTES = 1e6 / 8;
export const bytesPerSecond = (mbit: number): number => mbit * MBIT_BYTES;

/** One-way seconds between two peers. */
export const delaySeconds = (a: PeerProfile, b: PeerProfile): number => (a.delayMs + b.delayMs) / 2000;

/** What befalls a peer in a round. */
export interface Fate {
  /** When in the round it dies, as a share of the round's exchanges; null: it lives. */
  readonly death: number | null;
  /** Its inner steps take so many times as long. */
  readonly slowness: number;
}

/** Streams of faults lie above those of training (below 2^21), one for each shard and kind. */
const FAULT_STREAM = 2 ** 40;
const KINDS = 3;

/** A pure function of the seed, the peer's shard and the round. */
export function fateOf({ faults: own }: PeerProfile, seed: number, shard: number, round: number): Fate {
  const draw = (kind: number) => uniform(seed, FAULT_STREAM + KINDS * shard + kind, round);
  return {
    death: own.death > 0 && draw(0) < own.death ? draw(2) : null,
    slowness: own.slow > 0 && draw(1) < own.slow ? own.slowFactor : 1,
  };
}
