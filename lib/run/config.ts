/** Reads and validates the run's config whole: one error lists every problem with the value and what is allowed. */
import type { z } from "zod";
import { canonicalDigest, canonicalJson } from "../base/canonical-json.js";
import { closestName } from "../base/closest-name.js";
import { GradmeshError } from "../base/errors.js";
import { createStrategies, describeStrategies, roundSteps } from "../strategy/registry.js";
import { impossible } from "../strategy/robust.js";
import { type ConfigKey, configSchema, describeConfig, type RunConfig } from "./config-schema.js";
import { readConfig } from "./config-text.js";
import { OperationNumbers } from "./operations.js";
import { unverifiable } from "./trust/verifiable.js";

export { type ConfigKey, describeConfig, type RunConfig } from "./config-schema.js";

/** A rule over several keys: null when it holds, else the problem in words. */
interface CrossRule {
  readonly keys: readonly string[];
  check(config: RunConfig): string | null;
}

const crossRules: readonly CrossRule[] = [
  {
    keys: ["peersMin", "peersMax"],
    check: ({ peersMin, peersMax }) =>
      peersMin <= peersMax ? null : `peersMin: ${peersMin}; allowed: at most peersMax, which is ${peersMax}`,
  },
  {
    keys: ["rounds", "strategy"],
    check: ({ rounds, strategy }) => {
      const strategies = createStrategies(strategy);
      const most = new OperationNumbers(strategies, roundSteps(strategies)).roundsMax;
      return rounds <= most
        ? null
        : `rounds: ${rounds}; allowed: at most ${most} with this strategy, whose collectives are numbered`;
    },
  },
  {
    keys: ["peersMin", "peersMax", "strategy"],
    check: ({ peersMin, peersMax, strategy }) => {
      for (const { recipe } of createStrategies(strategy)) {
        if (recipe.aggregate.kind !== "robust") continue;
        for (const [key, members] of [["peersMin", peersMin] as const, ["peersMax", peersMax] as const]) {
          const why = impossible(recipe.aggregate, members);
          if (why !== null) return `${key}: ${members}; a round may have so many members, and ${why}`;
        }
      }
      return null;
    },
  },
  {
    keys: ["trust", "strategy", "network.slowLimitMs", "network.onLoss"],
    check: ({ trust, strategy, network: { slowLimitMs, onLoss } }) => {
      if (!trust.verify) return null;
      const why = unverifiable(createStrategies(strategy));
      if (why !== null) return `trust.verify: true; it cannot be verified: ${why}`;
      if (slowLimitMs !== 0)
        return `network.slowLimitMs: ${slowLimitMs}; allowed with trust.verify: 0, since work that goes into a later round was not committed to in it`;
      if (onLoss !== "exact")
        return `network.onLoss: "${onLoss}"; allowed with trust.verify: "exact", since every contribution is compared with its commitment`;
      return null;
    },
  },
  {
    keys: ["trust"],
    check: ({ trust: { verify, stake, bond } }) =>
      verify && bond > stake ? `trust.bond: ${bond}; allowed: at most trust.stake, ${stake}` : null,
  },
  {
    keys: ["trust"],
    check: ({ trust: { verify, stake, grant, bond } }) =>
      verify && grant < stake + bond
        ? `trust.grant: ${grant}; allowed: at least stake and bond, ${stake + bond}`
        : null,
  },
  {
    keys: ["network.silenceLimitMs", "network.operationLimitMs"],
    check: ({ network: { silenceLimitMs, operationLimitMs } }) =>
      silenceLimitMs <= operationLimitMs
        ? null
        : `network.silenceLimitMs: ${silenceLimitMs}; allowed: at most network.operationLimitMs, which is ${operationLimitMs}`,
  },
];

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

/** A value as it stands in the file, cut where it is long. */
function shown(value: unknown): string {
  const json = value === undefined ? "undefined" : (JSON.stringify(value) ?? String(value));
  return json.length <= 80 ? json : `${json.slice(0, 77)}...`;
}

/** @param keys of the config, and of every strategy. */
function unknownKey(path: readonly PropertyKey[], name: string, keys: readonly ConfigKey[]): string {
  const prefix = path.map((part) => `${String(part)}.`).join("");
  const siblings = keys
    .filter(({ key }) => key.startsWith(prefix))
    .map(({ key }) => key.slice(prefix.length).split(".")[0]!);
  const names = [...new Set(siblings)];
  const closest = closestName(name, names);
  // A key at the wrong level: "innerSteps" belongs under "strategy".
  const last = (key: string) => key.split(".").at(-1)!;
  const elsewhere = closestName(
    name,
    keys.map(({ key }) => last(key)),
  );
  const guess = closest ? `${prefix}${closest}` : keys.find(({ key }) => last(key) === elsewhere)?.key;
  const hint = guess ? ` (did you mean "${guess}"?)` : "";
  return `${prefix}${name}: unknown key${hint}; allowed: ${names.join(", ")}`;
}

function issueProblems(issue: z.core.$ZodIssue, value: unknown, keys: readonly ConfigKey[]): string[] {
  if (issue.code === "unrecognized_keys") return issue.keys.map((name) => unknownKey(issue.path, name, keys));
  const key = issue.path.map(String).join(".");
  const known = keys.find((row) => row.key === key);
  // A strategy says itself what is wrong with its options.
  if (issue.code === "custom") return [`${key}: ${issue.message}`];
  const allowed = known?.allowed ?? "an object";
  return [`${key === "" ? "the config" : key}: ${shown(valueAt(value, issue.path))}; allowed: ${allowed}`];
}

/** The value without what the issues complain about, so that the cross-field rules can look at the rest. */
function withoutProblems(value: unknown, issues: readonly z.core.$ZodIssue[]): unknown {
  const copy = structuredClone(value);
  for (const issue of issues) {
    const paths =
      issue.code === "unrecognized_keys" ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
    for (const path of paths) {
      const parent = valueAt(copy, path.slice(0, -1)) as Record<PropertyKey, unknown> | undefined;
      if (path.length > 0 && parent) delete parent[path.at(-1)!];
    }
  }
  return copy;
}

/** Keys of a strategy are judged together once each is sound, so that one look may not show everything. */
const LOOKS_MAX = 3;

/** What is wrong with the value, and with what is left of it without that. */
function problemsOf(value: unknown, keys: () => readonly ConfigKey[]): string[] {
  const problems: string[] = [];
  const broken: string[] = [];
  let rest = value;
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const { data, error } = configSchema.safeParse(rest);
    if (error === undefined) {
      const judged = crossRules.filter((rule) => !rule.keys.some((key) => broken.includes(key)));
      return [...problems, ...judged.map((rule) => rule.check(data)).filter((problem) => problem !== null)];
    }
    problems.push(...error.issues.flatMap((issue) => issueProblems(issue, rest, keys())));
    broken.push(...error.issues.map(({ path }) => path.map(String).join(".")));
    rest = withoutProblems(rest, error.issues);
  }
  return problems;
}

function allKeys(): ConfigKey[] {
  return [...describeConfig(), ...describeStrategies().flatMap(({ keys }) => keys)];
}

function configError(source: string, problems: readonly string[]): GradmeshError {
  const [only] = problems;
  const message =
    problems.length === 1
      ? `${source}: ${only}`
      : `${source}: ${problems.length} problems\n${problems.map((problem) => `  ${problem}`).join("\n")}`;
  return new GradmeshError("ERR_CONFIG", message);
}

/**
 * Validates a config whole and fills in the defaults; `{}` is valid.
 * @param source what the errors call it: the file's path.
 * @throws ERR_CONFIG listing every problem with its key, its value and what is allowed.
 */
export function parseConfig(value: unknown, source = "config"): RunConfig {
  let json: unknown;
  try {
    json = JSON.parse(canonicalJson(value));
  } catch (cause) {
    throw new GradmeshError("ERR_CONFIG", `${source}: ${(cause as Error).message}`, { cause });
  }
  const problems = problemsOf(json, allKeys);
  if (problems.length > 0) throw configError(source, [...new Set(problems)]);
  return configSchema.parse(json);
}

/** @throws ERR_CONFIG with line and column of a syntax error, or every problem; ERR_IO when it cannot be read. */
export async function loadConfig(path: string): Promise<RunConfig> {
  return parseConfig(await readConfig(path), path);
}

/**
 * SHA-256 (64 hex characters) of what every peer of a run must have in common. Names, addresses, threads, time limits
 * and checkpoints are each peer's own and change no bit of the result.
 * @param fingerprint the trainer's: its model, options and data.
 */
export function runRecipe(config: RunConfig, fingerprint: string): string {
  const { seed, rounds, peersMin, peersMax, strategy } = config;
  const { encryption, segmentElements, onLoss } = config.network;
  return canonicalDigest({
    format: "gradmesh-recipe-4",
    seed,
    rounds,
    peersMin,
    peersMax,
    // Options say more than slots do: the schedules of rates.
    strategies: [strategy].flat(),
    recipes: createStrategies(strategy).map(({ recipe }) => recipe),
    trainer: { module: config.trainer.module, fingerprint },
    network: { encryption, segmentElements, onLoss },
    // Runs without verification keep the recipe that they had.
    ...(config.trust.verify ? { trust: config.trust } : {}),
  });
}
