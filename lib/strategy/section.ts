/** A config's `strategy` section: a strategy by its name or a preset's, or a list of them that run side by side. */
import { z } from "zod";
import { closestName } from "../base/closest-name.js";
import { GradmeshError } from "../base/errors.js";
import { describeKeys, type KeyWords } from "../base/schema-words.js";
import type { Fault } from "./checks.js";
import { defineStrategy, definitionFaults, type StrategyDefinition } from "./define.js";
import { listFaults } from "./list.js";
import type { Preset } from "./presets.js";
import type { Strategy } from "./strategy.js";

/** A strategy's options, whole: every key has its value. */
export interface StrategyOptions {
  readonly name: string;
  readonly [key: string]: unknown;
}

export type StrategySection = StrategyOptions | readonly StrategyOptions[];

/** At most so many run side by side: their index keys random numbers. */
const STRATEGIES_MAX = 16;

/** A strategy: what its section may hold, and what it becomes. */
export interface StrategyRow {
  readonly options: z.ZodType;
  readonly define: (options: unknown) => StrategyDefinition;
}

export const row = <Schema extends z.ZodType>(
  options: Schema,
  define: (options: z.output<Schema>) => StrategyDefinition,
): StrategyRow => ({ options, define: (parsed) => define(parsed as z.output<Schema>) });

export interface Catalog {
  readonly strategies: Readonly<Record<string, StrategyRow>>;
  readonly presets: Readonly<Record<string, Preset>>;
  /** The strategy of a section without a name. */
  readonly initial: string;
}

type Result<Value> = { readonly value: Value } | { readonly faults: readonly Fault[] };

interface Reading {
  readonly options: StrategyOptions;
  readonly definition: StrategyDefinition;
}

const failed = (key: string, problem: string) => ({ faults: [{ key, problem }] });

/** A value as it stands in the config, cut where it is long. */
function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return json.length <= 80 ? json : `${json.slice(0, 77)}...`;
}

/** The entry that a name of the config names, or why there is none. */
function named<Entry>(table: Readonly<Record<string, Entry>>, key: string, name: unknown): Result<Entry> {
  if (typeof name === "string" && Object.hasOwn(table, name)) return { value: table[name]! };
  const known = Object.keys(table);
  const closest = typeof name === "string" ? closestName(name, known) : null;
  const hint = closest === null ? "" : ` (did you mean "${closest}"?)`;
  return failed(key, `${shown(name)}${hint}; allowed: ${known.map((one) => `"${one}"`).join(", ")}`);
}

function issueFaults(
  issue: z.core.$ZodIssue,
  value: unknown,
  keys: readonly KeyWords[],
  where: string,
): Fault[] {
  const key = issue.path.map(String).join(".");
  if (issue.code === "custom") return [{ key, problem: issue.message }];
  if (issue.code === "unrecognized_keys" && key === "") {
    const names = keys.map((one) => one.key);
    return issue.keys.map((name) => {
      const closest = closestName(name, names);
      const hint = closest === null ? "" : ` (did you mean "${where}.${closest}"?)`;
      return { key: name, problem: `unknown key${hint}; allowed: ${names.join(", ")}` };
    });
  }
  const found = issue.path.reduce<unknown>((at, part) => (at as Record<PropertyKey, unknown>)?.[part], value);
  const allowed = keys.find((one) => one.key === key)?.allowed;
  return [
    { key, problem: `${shown(found)}; ${allowed === undefined ? issue.message : `allowed: ${allowed}`}` },
  ];
}

/** A preset's options, with what the section changes of them. */
function expand(section: object, { presets }: Catalog): Result<Record<string, unknown>> {
  const { preset, ...changes } = section as Record<string, unknown>;
  if (preset === undefined) return { value: changes };
  const found = named(presets, "preset", preset);
  if ("faults" in found) return found;
  const { options } = found.value;
  const { name = options.name } = changes;
  if (name === options.name) return { value: { ...options, ...changes } };
  return failed("name", `${shown(name)}; the preset ${shown(preset)} is of "${options.name}"`);
}

function readOne(value: unknown, catalog: Catalog, where: string): Result<Reading> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return failed("", `${shown(value)}; allowed: ${sectionAllowed}`);
  const section = expand(value, catalog);
  if ("faults" in section) return section;
  const { name = catalog.initial } = section.value;
  const found = named(catalog.strategies, "name", name);
  if ("faults" in found) return found;
  const { options, define } = found.value;
  const parsed = options.safeParse(section.value);
  if (!parsed.success) {
    const keys = describeKeys(options);
    return { faults: parsed.error.issues.flatMap((issue) => issueFaults(issue, section.value, keys, where)) };
  }
  const definition = define(parsed.data);
  const faults = definitionFaults(definition);
  if (faults.length > 0) return { faults };
  return { value: { options: parsed.data as StrategyOptions, definition } };
}

function readList(values: readonly unknown[], catalog: Catalog, where: string): Result<Reading[]> {
  if (values.length < 1 || values.length > STRATEGIES_MAX)
    return failed("", `a list of ${values.length}; allowed: 1 to ${STRATEGIES_MAX} strategies`);
  const results = values.map((value, index) => readOne(value, catalog, `${where}.${index}`));
  const at = (index: number, key: string) => (key === "" ? `${index}` : `${index}.${key}`);
  const faults = results.flatMap((result, index) =>
    "faults" in result ? result.faults.map(({ key, problem }) => ({ key: at(index, key), problem })) : [],
  );
  const readings = results.flatMap((result) => ("value" in result ? [result.value] : []));
  if (faults.length > 0) return { faults };
  const together = listFaults(readings.map(({ definition }) => definition.recipe));
  return together.length > 0 ? { faults: together } : { value: readings };
}

const sectionAllowed = "an object with a strategy's name and options, or a list of them (side by side)";

/** One strategy's docs: every key with what is allowed, its default and its meaning. */
export interface StrategyDoc {
  readonly name: string;
  readonly doc: string;
  readonly keys: readonly KeyWords[];
}

function docOf(name: string, { options }: StrategyRow): StrategyDoc {
  const keys = describeKeys(options, "strategy.");
  return { name, doc: keys.find(({ key }) => key === "strategy.name")?.meaning ?? "", keys };
}

/** What a registry makes of sections. */
export function createSection(catalog: Catalog) {
  const read = (value: unknown, where: string): Result<Reading[]> => {
    if (Array.isArray(value)) return readList(value, catalog, where);
    const one = readOne(value === undefined ? {} : value, catalog, where);
    return "faults" in one ? one : { value: [one.value] };
  };
  return {
    /**
     * Of the config's section, defaults filled in and presets written out. Its issues are "custom", in the config's words:
     * the value, the reason and what is allowed.
     */
    strategySchema: z
      .unknown()
      .transform((value, context): StrategySection => {
        const result = read(value, "strategy");
        if ("faults" in result) {
          for (const { key, problem } of result.faults)
            context.addIssue({ code: "custom", path: key === "" ? [] : key.split("."), message: problem });
          return z.NEVER;
        }
        const options = result.value.map((reading) => reading.options);
        return Array.isArray(value) ? options : options[0]!;
      })
      .describe("what peers exchange and when")
      .meta({ allowed: sectionAllowed, initial: { name: catalog.initial } }),

    /**
     * The strategies of a section: an object, or a list of them that run side by side.
     * @param where the section's key, for messages.
     * @throws ERR_CONFIG with a line for each fault: the key, the value, the reason and the cure.
     */
    createStrategies(options: unknown, where = "strategy"): Strategy[] {
      const result = read(options, where);
      if ("value" in result) return result.value.map(({ definition }) => defineStrategy(definition));
      const lines = result.faults.map(
        ({ key, problem }) => `${where}${key === "" ? "" : `.${key}`}: ${problem}`,
      );
      throw new GradmeshError("ERR_CONFIG", lines.join("\n"));
    },

    describeStrategies: (): StrategyDoc[] =>
      Object.entries(catalog.strategies).map(([name, entry]) => docOf(name, entry)),
  };
}
