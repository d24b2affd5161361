/** The exchange that a recipe asks for. */
import { GradmeshError } from "../base/errors.js";
import type { DeltaOptions } from "./delta.js";
import { DeltaExchange } from "./delta.js";
import { EagerExchange } from "./eager.js";
import type { Exchange } from "./exchange.js";
import { GradientExchange } from "./gradient.js";
import { MixExchange } from "./mix.js";
import { ParameterExchange } from "./parameters.js";
import { PowerSgdExchange } from "./powersgd.js";

/** @throws ERR_CONFIG for slots that do not go together. */
export function createExchange(options: DeltaOptions): Exchange | null {
  const { source, route, staleness, strategy } = options.recipe;
  if (route.kind === "none") return null;
  if (route.kind === "powersgd") return new PowerSgdExchange(options);
  if (route.kind === "mix") return new MixExchange(options);
  switch (source) {
    case "gradient":
      return new GradientExchange(options);
    case "parameters":
      return new ParameterExchange(options);
    case "delta":
      return staleness.kind === "overlap" ? new DeltaExchange(options) : new EagerExchange(options);
    default:
      throw new GradmeshError("ERR_CONFIG", `strategy "${strategy}": "${source}" is sent by a mix only`);
  }
}
