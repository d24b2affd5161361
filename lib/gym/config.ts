/** The gym's config: arms, each a run's config with virtual peers; one error lists every problem. */
import { z } from "zod";
import { closestName } from "../base/closest-name.js";
import { GradmeshError } from "../base/errors.js";
import { describeKeys, type KeyWords } from "../base/schema-words.js";
import { readConfig } from "../run/config-text.js";
import { peerSchema } from "./profile.js";

const steps = (meaning: string) => z.int().min(1).max(1_000_000_000).optional().describe(meaning);

const armShape = {
  peers: z
    .array(peerSchema)
    .min(1)
    .max(1024)
    .prefault([{ count: 4 }])
    .describe("its peers, by shard: a number of equal ones, or a list of kinds")
    .meta({ allowed: "a whole number from 1 to 1024, or a list of kinds of peers", initial: 4 }),
  steps: steps("inner steps of each peer, in place of config.rounds"),
  evaluateEvery: steps("inner steps between evaluations; default: about 20 evaluations of the arm"),
  pretrainSteps: z
    .int()
    .min(0)
    .max(1_000_000_000)
    .default(0)
    .describe("inner steps of one worker on all data, before the peers start from its state"),
  config: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("the run's config; of `strategy` the arm's own takes the place of the default's")
    .meta({ allowed: "an object: the run's config (gradmesh run --help)" }),
};

const armSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._+=-]{0,99}$/)
    .describe("names the arm in results and files")
    .meta({ allowed: "1 to 100 letters, digits, and ._+=- after the first" }),
  ...armShape,
});

export const gymSchema = z.strictObject({
  name: z.string().min(1).max(100).default("gym").describe("the title of the report"),
  seeds: z
    .array(z.int().min(0).max(Number.MAX_SAFE_INTEGER))
    .min(1)
    .max(100)
    .optional()
    .describe("each arm runs once with each seed; default: the arms' own config.seed")
    .meta({ allowed: "a list of 1 to 100 integers from 0 to 9007199254740991" }),
  defaults: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("what all arms have in common")
    .meta({ allowed: "an object with any key of an arm but its name" }),
  arms: z.array(armSchema).min(1).max(256).describe("the arms").meta({ allowed: "a list of 1 to 256 arms" }),
});

export type ArmConfig = z.output<typeof armSchema>;
export type GymConfig = Omit<z.output<typeof gymSchema>, "defaults">;

type Plain = Record<string, unknown>;
const isPlain = (value: unknown): value is Plain =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Objects key by key, the second's values first; a `strategy` is whole in one of them. */
function merge(base: unknown, over: unknown, key = ""): unknown {
  if (!isPlain(base) || !isPlain(over) || key === "strategy") return over === undefined ? base : over;
  const keys = new Set([...Object.keys(base), ...Object.keys(over)]);
  return Object.fromEntries([...keys].map((name) => [name, merge(base[name], over[name], name)]));
}

/** `peers: 8` is short for eight of the default kind. */
function spellOut(arm: unknown): unknown {
  return isPlain(arm) && typeof arm.peers === "number" ? { ...arm, peers: [{ count: arm.peers }] } : arm;
}

function withDefaults(value: unknown): unknown {
  if (!isPlain(value) || !Array.isArray(value.arms)) return value;
  const defaults = spellOut(value.defaults ?? {});
  return {
    ...value,
    arms: value.arms.map((arm) => (isPlain(arm) ? merge(defaults, spellOut(arm)) : arm)),
  };
}

/** A value as it stands in the file, cut where it is long. */
export function shown(value: unknown): string {
  const json = value === undefined ? "absent" : (JSON.stringify(value) ?? String(value));
  return json.length <= 80 ? json : `${json.slice(0, 77)}...`;
}

const words = {
  gym: describeKeys(gymSchema),
  arm: describeKeys(armSchema),
  peer: describeKeys(peerSchema),
};

/** The rows that describe the object at this path, and the path within them. */
function rowsAt(path: readonly PropertyKey[]): { rows: readonly KeyWords[]; rest: readonly PropertyKey[] } {
  const [first, index, second, place] = path;
  if (first !== "arms" || typeof index !== "number") return { rows: words.gym, rest: path };
  if (second !== "peers" || typeof place !== "number") return { rows: words.arm, rest: path.slice(2) };
  return { rows: words.peer, rest: path.slice(4) };
}

/** `arms[1] ("diloco").peers[0].upMbit`. */
function place(value: unknown, path: readonly PropertyKey[]): string {
  let text = "";
  let at: unknown = value;
  for (const part of path) {
    at = (at as Record<PropertyKey, unknown> | undefined)?.[part];
    text += typeof part === "number" ? `[${part}]` : `${text === "" ? "" : "."}${String(part)}`;
    if (/^arms\[\d+\]$/.test(text) && isPlain(at)) text += ` (${shown(at.name)})`;
  }
  return text === "" ? "the config" : text;
}

function problemsOf(issue: z.core.$ZodIssue, value: unknown): string[] {
  const { rows, rest } = rowsAt(issue.path);
  const where = place(value, issue.path);
  if (issue.code === "unrecognized_keys") {
    const prefix = rest.map((part) => `${String(part)}.`).join("");
    const siblings = rows
      .filter(({ key }) => key.startsWith(prefix))
      .map(({ key }) => key.slice(prefix.length));
    const names = [...new Set(siblings.map((key) => key.split(".")[0]!))];
    return issue.keys.map((name) => {
      const closest = closestName(name, names);
      const hint = closest === null ? "" : ` (did you mean "${closest}"?)`;
      return `${where}: unknown key "${name}"${hint}; allowed: ${names.join(", ")}`;
    });
  }
  const found = issue.path.reduce<unknown>(
    (at, part) => (at as Record<PropertyKey, unknown> | undefined)?.[part],
    value,
  );
  const allowed = rows.find(({ key }) => key === rest.map(String).join("."))?.allowed ?? "an object";
  return [`${where}: ${shown(found)}; allowed: ${allowed}`];
}

/** @throws ERR_CONFIG with every problem in its own line. */
export function refuse(source: string, problems: readonly string[]): never {
  const lines =
    problems.length === 1 ? ` ${problems[0]}` : problems.map((problem) => `\n  ${problem}`).join("");
  throw new GradmeshError("ERR_CONFIG", `${source}:${lines}`);
}

/** The config with its defaults filled in; what its arms' run configs hold is for planArms to check. @throws ERR_CONFIG. */
export function parseGymConfig(value: unknown, source = "gym config"): GymConfig {
  const whole = withDefaults(value);
  const parsed = gymSchema.safeParse(whole);
  if (!parsed.success)
    refuse(source, [...new Set(parsed.error.issues.flatMap((issue) => problemsOf(issue, whole)))]);
  const { defaults, ...rest } = parsed.data;
  if ("name" in defaults)
    refuse(source, [`defaults.name: ${shown(defaults.name)}; every arm has a name of its own`]);
  return rest;
}

/** @throws ERR_CONFIG with line and column of a syntax error, or every problem; ERR_IO when it cannot be read. */
export async function loadGymConfig(path: string): Promise<GymConfig> {
  return parseGymConfig(await readConfig(path), path);
}

/** Every key of the gym's config, of an arm and of a kind of peer. */
export const describeGymConfig = (): typeof words => words;
