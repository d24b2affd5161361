/** Every strategy by name, one line each. */
import { GradmeshError } from "../base/errors.js";
import { diloco, dilocoOptions } from "./diloco.js";
import type { Strategy } from "./strategy.js";

/** Makes a strategy from a config's options. @throws ERR_CONFIG naming the key and what is allowed. */
export type StrategyFactory = (options: unknown) => Strategy;

export const strategies: Readonly<Record<string, StrategyFactory>> = {
  diloco,
};

/** The schema of a config's `strategy` section, by its `name`. */
export const strategyOptions = dilocoOptions;

/** The strategy that `options.name` names (diloco when it names none). @throws ERR_CONFIG. */
export function createStrategy(options: unknown): Strategy {
  const name = (options as { name?: unknown } | null | undefined)?.name ?? "diloco";
  const factory = typeof name === "string" && Object.hasOwn(strategies, name) ? strategies[name] : undefined;
  if (factory !== undefined) return factory(options ?? {});
  const known = Object.keys(strategies).join(", ");
  throw new GradmeshError("ERR_CONFIG", `strategy.name is ${JSON.stringify(name)}; allowed: ${known}`);
}
