/**
 * Replays a verified run from its ledger alone: takes every inner step again that its aggregates are made of, and compares. So
 * anybody can show that the run's state is what honest work gives, needing no peer of it and believing none.
 */
import { availableParallelism } from "node:os";
import { secondsSince } from "../base/clock.js";
import { GradmeshError } from "../base/errors.js";
import type { Hash } from "../ledger/events.js";
import { type RunConfig, runRecipe } from "../run/config.js";
import { freshDigests, runFingerprint } from "../run/replica.js";
import { termsOf } from "../run/trust/terms.js";
import { type RunHistory, readHistory } from "./audit-ledger.js";
import { type RoundReplay, RoundReplayer } from "./audit-rounds.js";

export type { LeftOut, RoundReplay } from "./audit-rounds.js";

export interface ReplayOptions {
  /** The ledger's file, or a binary export of one. */
  readonly ledger: string;
  /** The run's. */
  readonly config: RunConfig;
  /** What a relative trainer module is relative to. Default: the process's. */
  readonly folder?: string;
  /** The first so many; default: all that were closed. */
  readonly rounds?: number;
  /** Threads of the inner steps, which change no bit. Default: the machine's. */
  readonly threads?: number;
  /**
   * Goes on after a difference with honest work in the place of what differs, and evaluates each round: what the run would
   * have been, had all whose work counted done it. Default: the first difference ends the replay.
   */
  readonly honest?: boolean;
  /** Hears of each round as soon as it is compared. */
  readonly onRound?: (round: RoundReplay) => void;
  readonly signal?: AbortSignal;
}

export interface ReplayReport {
  readonly ledgerId: Hash;
  readonly records: number;
  /** Closed rounds of the ledger. */
  readonly closed: number;
  /** Those that were replayed; without options.honest the last one is the first that differs, if one does. */
  readonly rounds: readonly RoundReplay[];
  /** Whether all that was replayed is equal. */
  readonly equal: boolean;
  /** The state after the last one that is equal; "" of none. */
  readonly state: Hash;
  readonly steps: number;
  readonly seconds: number;
}

/** @throws ERR_CONFIG where the config is not that of the ledger's run, naming what differs. */
async function checkConfig(config: RunConfig, { terms }: RunHistory, folder: string): Promise<void> {
  const refuse = (why: string) => {
    throw new GradmeshError("ERR_CONFIG", `this is not the config of the ledger's run: ${why}`);
  };
  if (!config.trust.verify) refuse("its trust.verify is false, and only verified runs have a ledger");
  const recipe = runRecipe(config, await runFingerprint(config, folder));
  if (recipe !== terms.recipe)
    refuse(
      `its recipe is ${recipe}, the ledger's ${terms.recipe}; seed, rounds, peers, strategy, trainer with its data, or terms of trust differ`,
    );
  const own = termsOf(config, recipe, terms.firstRound, await freshDigests(config, folder));
  for (const [name, value] of Object.entries(own))
    if (`${terms[name as keyof typeof terms]}` !== `${value}`)
      refuse(`its ${name} comes to ${value}, the ledger's is ${terms[name as keyof typeof terms]}`);
  if (terms.firstRound > 0)
    throw new GradmeshError(
      "ERR_UNSUPPORTED",
      `the ledger begins with round ${terms.firstRound + 1}, from a checkpoint, whose state no ledger holds; replay the ledger of the run from its start`,
    );
}

/**
 * Audits the ledger, then replays its rounds up to the first that differs.
 * @throws ERR_LEDGER where the ledger does not hold; ERR_CONFIG for another run's config; as trainers do; the signal's reason.
 */
export async function replayRun(options: ReplayOptions): Promise<ReplayReport> {
  const { ledger, folder = process.cwd(), rounds: most, honest = false, onRound, signal } = options;
  const startedAt = performance.now();
  const history = await readHistory(ledger, signal);
  const threads = options.threads ?? availableParallelism();
  const config = { ...options.config, trainer: { ...options.config.trainer, threads } };
  await checkConfig(config, history, folder);
  const replay = await RoundReplayer.create(config, folder);
  const rounds: RoundReplay[] = [];
  try {
    for (const round of history.rounds.slice(0, most)) {
      const compared = await replay.take(round, honest, signal);
      rounds.push(compared);
      onRound?.(compared);
      if (compared.difference !== null && !honest) break;
    }
  } finally {
    await replay.close();
  }
  const { ledgerId, records } = history;
  return {
    ledgerId,
    records,
    closed: history.rounds.length,
    rounds,
    equal: rounds.every(({ difference }) => difference === null),
    state: rounds.findLast(({ difference }) => difference === null)?.state ?? "",
    steps: rounds.reduce((sum, { steps }) => sum + steps, 0),
    seconds: secondsSince(startedAt),
  };
}
