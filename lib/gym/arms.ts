/** What an arm is to do, checked whole: its run's config, its peers' profiles, its rounds and evaluations. */
import { canonicalDigest } from "../base/canonical-json.js";
import { asGradmeshError } from "../base/errors.js";
import { parseConfig, type RunConfig } from "../run/config.js";
import { createStrategies, roundSteps } from "../strategy/registry.js";
import { type ArmConfig, type GymConfig, parseGymConfig, refuse, shown } from "./config.js";
import { type PeerProfile, profilesOf } from "./profile.js";

/** Plain data, so that another process can take it. */
export interface ArmPlan {
  /** Unique, and fit for a file's name: the arm's, with the seed where there are several. */
  readonly name: string;
  /** The arm's own name, the same for all seeds. */
  readonly arm: string;
  readonly config: RunConfig;
  /** Parts into which the data is cut: the run's peersMax, or as many as there are peers. */
  readonly shards: number;
  /** By shard. */
  readonly profiles: readonly PeerProfile[];
  /** Inner steps of a round. */
  readonly roundSteps: number;
  readonly rounds: number;
  /** Rounds between evaluations. */
  readonly evaluateRounds: number;
  readonly pretrainSteps: number;
  /** SHA-256 of all of the above, 64 hex characters: results of another arm are not taken for this one's. */
  readonly digest: string;
}

/** Peers of one run that the coordinator's messages have room for; the gym's are as many as memory has. */
const RUN_PEERS_MAX = 16;
/** Evaluations of an arm that does not say how many. */
const EVALUATIONS = 20;

type Problem = (key: string, problem: string) => void;

/** The run's config. It knows fewer peers than the gym. */
function runConfig(raw: Record<string, unknown>, peers: number, problem: Problem): RunConfig | null {
  const { peersMax } = raw;
  if (typeof peersMax === "number" && peersMax < peers)
    problem("peers", `${peers} peers; allowed: at most config.peersMax, which is ${peersMax}`);
  try {
    return parseConfig(
      { ...raw, ...(peersMax === undefined ? { peersMax: Math.min(peers, RUN_PEERS_MAX) } : {}) },
      "config",
    );
  } catch (error) {
    const { message } = asGradmeshError(error);
    for (const line of message.replace(/^config:( \d+ problems\n)?/, "").split("\n"))
      problem(`config.${line.trim()}`, "");
    return null;
  }
}

function roundsOf(arm: ArmConfig, config: RunConfig, length: number, problem: Problem): number {
  if (arm.steps === undefined) return config.rounds;
  if (arm.config.rounds !== undefined)
    problem("steps", `${arm.steps}, and config.rounds is ${shown(arm.config.rounds)}; say one of them`);
  if (arm.steps % length !== 0) {
    const near = Math.max(1, Math.round(arm.steps / length)) * length;
    problem(
      "steps",
      `${arm.steps}; allowed: a multiple of the strategy's round of ${length} steps, as ${near}`,
    );
  }
  return Math.max(1, Math.floor(arm.steps / length));
}

function checkPeers(profiles: readonly PeerProfile[], rounds: number, problem: Problem): void {
  if (!profiles.some(({ joinRound }) => joinRound === 0))
    problem("peers", "nobody is there at the start; allowed: at least one peer with joinRound 0");
  for (const [shard, { joinRound, leaveRound }] of profiles.entries()) {
    if (leaveRound !== null && leaveRound <= joinRound)
      problem(
        "peers",
        `peer ${shard} leaves in round ${leaveRound}; allowed: after it joins, in round ${joinRound}`,
      );
    if (joinRound >= rounds)
      problem("peers", `peer ${shard} joins in round ${joinRound}; allowed: before the last, ${rounds}`);
  }
}

function planArm(
  arm: ArmConfig,
  seed: number | undefined,
  several: boolean,
  problem: Problem,
): ArmPlan | null {
  const profiles = arm.peers.flatMap(profilesOf);
  const raw = seed === undefined ? arm.config : { ...arm.config, seed };
  const config = runConfig(raw, profiles.length, problem);
  if (config === null) return null;
  const length = roundSteps(createStrategies(config.strategy));
  const rounds = roundsOf(arm, config, length, problem);
  checkPeers(profiles, rounds, problem);
  const every = arm.evaluateEvery ?? Math.ceil((rounds * length) / EVALUATIONS);
  const plan = {
    name: several ? `${arm.name}.seed-${config.seed}` : arm.name,
    arm: arm.name,
    config: { ...config, rounds },
    shards: typeof raw.peersMax === "number" ? config.peersMax : profiles.length,
    profiles,
    roundSteps: length,
    rounds,
    evaluateRounds: Math.max(1, Math.round(every / length)),
    pretrainSteps: arm.pretrainSteps,
  };
  return { ...plan, digest: canonicalDigest({ format: "gradmesh-gym-1", ...plan }) };
}

/**
 * Every arm with every seed.
 * @param source what the errors call the config: the file's path.
 * @throws ERR_CONFIG listing every problem with its key, its value and what is allowed.
 */
export function planArms(gym: GymConfig, source = "gym config"): ArmPlan[] {
  const problems: string[] = [];
  const seeds = gym.seeds ?? [undefined];
  const plans = gym.arms.flatMap((arm, index) => {
    const say: Problem = (key, problem) =>
      problems.push(`arms[${index}] (${shown(arm.name)}).${key}${problem === "" ? "" : `: ${problem}`}`);
    return seeds.flatMap((seed) => planArm(arm, seed, seeds.length > 1, say) ?? []);
  });
  const names = Map.groupBy(plans, ({ name }) => name);
  for (const [name, same] of names)
    if (same.length > 1)
      problems.push(`arms: ${same.length} of them are named "${name}"; each needs a name of its own`);
  if (problems.length > 0) refuse(source, [...new Set(problems)]);
  return plans;
}

/** One arm, for programs: `{name, peers, steps, config, ...}` as in the gym's config. @throws ERR_CONFIG. */
export function planOne(arm: unknown): ArmPlan {
  return planArms(parseGymConfig({ arms: [arm] }, "arm"), "arm")[0]!;
}
