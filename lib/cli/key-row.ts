/** A key of a config for a person to read. */
import type { ConfigKey } from "../run/config.js";

export const keyRow = ({ key, allowed, default: value, meaning }: ConfigKey) =>
  `  ${key} = ${JSON.stringify(value)}\n      ${meaning}; allowed: ${allowed}`;
