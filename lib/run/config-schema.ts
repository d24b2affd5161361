/** The schema of the run's config: every key with its default, its allowed values and its meaning. */
import { z } from "zod";
import { describeKeys, type KeyWords } from "../base/schema-words.js";
import { STREAMS_MAX } from "../group/link-messages.js";
import { strategySchema } from "../strategy/registry.js";

const integer = (least: number, most: number, value: number, meaning: string) =>
  z.int().min(least).max(most).default(value).describe(meaning);
const milliseconds = (value: number, meaning: string) => integer(1, 86_400_000, value, meaning);
const port = (meaning: string) => integer(0, 65_535, 0, `${meaning}; 0 picks a free one`);
const text = (most: number) => z.string().min(1).max(most);

const trainer = z.strictObject({
  module: text(4096)
    .default("gpt")
    .describe("the trainer: a built-in name, or a module that exports one (a path or a package)"),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("the trainer's own options, which it checks itself"),
  threads: integer(1, 256, 1, "threads of this peer's training step; they change no bit of the result"),
});

const network = z.strictObject({
  host: text(253).default("127.0.0.1").describe("the address that this peer listens on"),
  advertiseHost: text(253)
    .nullable()
    .default(null)
    .describe("the address that others dial where it differs from host (behind NAT); null: host"),
  controlPort: port("the libp2p port"),
  bulkPort: port("the port of the native bulk links"),
  encryption: z
    .enum(["aes-256-gcm", "none"])
    .default("aes-256-gcm")
    .describe(
      "of the bulk links, which carry tensors between peers; none only on a network where every machine is trusted",
    ),
  segmentElements: z
    .int()
    .min(256)
    .max(1 << 24)
    .multipleOf(256)
    .default(65_536)
    .describe("elements sent as one piece, so that coding, sending and receiving overlap"),
  streams: z
    .union([z.enum(["auto"]), z.int().min(1).max(STREAMS_MAX)])
    .default("auto")
    .describe("TCP sockets of a bulk link; auto: by its round trip, and then by probe"),
  congestionControl: z
    .string()
    .max(15)
    .default("")
    .meta({ allowed: "the name of one that the system has, or empty" })
    .describe("the TCP congestion control of the bulk links, as in bbr; empty: the system's"),
  paceMbit: z
    .number()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe("Mbit/s that this peer's training traffic may take; 0: all there is"),
  probeShare: z
    .number()
    .min(0)
    .max(0.2)
    .default(0.01)
    .describe(
      "share of a link that measuring it may take over time, as in 0.01 for 1 %; 0: links are not measured",
    ),
  dialable: z
    .boolean()
    .default(true)
    .describe("whether others can open connections to this peer; false behind NAT: it opens them itself"),
  onLoss: z
    .enum(["exact", "salvage"])
    .default("exact")
    .describe(
      "after a peer is lost in an all-reduce: exact runs it again with the others; salvage keeps what was finished, the lost peer's part included",
    ),
  slowLimitMs: integer(
    0,
    86_400_000,
    0,
    "a peer whose inner steps end so many ms after the median peer's is left out of the round; its work goes into its next contribution; 0: never",
  ),
  silenceLimitMs: milliseconds(5_000, "a peer that sends nothing for so long in a collective is lost"),
  roundLimitMs: milliseconds(600_000, "a peer that does not finish its inner steps in this time is left out"),
  reconnectLimitMs: milliseconds(60_000, "time to reach the coordinator again after a lost connection"),
  recoverLimitMs: milliseconds(10_000, "time for the survivors of a loss to agree on the next epoch"),
  operationLimitMs: milliseconds(120_000, "time for one collective"),
});

const units = (value: number, meaning: string) => integer(0, Number.MAX_SAFE_INTEGER, value, meaning);
const rate = (least: number, value: number, meaning: string) =>
  z.number().min(least).max(1).default(value).describe(meaning);

const trust = z.strictObject({
  verify: z
    .boolean()
    .default(false)
    .describe(
      "whether every peer commits to its inner steps and others replay some of them before they count (docs/trust-submitter.md)",
    ),
  rate: rate(0.000_001, 0.05, "share of all inner steps that a verifier replays, as in 0.05 for 5 %"),
  verifiers: integer(1, 8, 1, "verifiers of each step that is checked, drawn by stake"),
  stake: integer(
    1,
    Number.MAX_SAFE_INTEGER,
    1000,
    "units that a peer must have at stake before its contributions count",
  ),
  grant: units(
    2000,
    "units that the run gives a peer that passes the entry check, to be staked and for bonds",
  ),
  reward: units(600, "units paid for a round in which every peer's work is accepted"),
  slash: rate(0, 1, "part of its stake that a proven offender loses"),
  bond: units(100, "units that accuser and accused each lay down in a dispute"),
  limitMs: milliseconds(60_000, "time for each part of a round's verification; who is late loses by it"),
  moveLimitMs: milliseconds(30_000, "time for one move in a dispute; who is late loses it"),
  lockMs: milliseconds(600_000, "time after its acceptance in which work can still be disputed"),
});

const checkpoint = z.strictObject({
  everyRounds: integer(0, 1_000_000, 5, "rounds between checkpoints; 0: never"),
  keep: integer(1, 1_000_000, 2, "newest checkpoints of each peer that stay on the disk"),
});

/** The whole config; `{}` is valid. */
export const configSchema = z.strictObject({
  name: text(100).default("run").describe("the run's name in tickets, reports and folders"),
  seed: integer(0, Number.MAX_SAFE_INTEGER, 1, "of every random number of the run"),
  rounds: integer(1, 1_000_000_000, 25, "rounds, each with one commit, after which the run ends"),
  peersMin: integer(1, 16, 1, "peers that the run waits for before its first round"),
  peersMax: integer(1, 16, 16, "peers that are admitted at the same time"),
  trainer: trainer.prefault({}),
  strategy: strategySchema.prefault({}),
  network: network.prefault({}),
  trust: trust.prefault({}),
  checkpoint: checkpoint.prefault({}),
});

/** A whole, valid config. */
export type RunConfig = z.infer<typeof configSchema>;

/** One key of the config, for docs and `--help`. */
export type ConfigKey = KeyWords;

/** Every key with what is allowed, its default and its meaning, in the order of the docs; a strategy's own are apart. */
export function describeConfig(): KeyWords[] {
  return describeKeys(configSchema);
}
