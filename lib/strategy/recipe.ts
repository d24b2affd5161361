/** Canonical JSON of plain data and its digest, so that a recipe can be hashed into a run's id. */
import { createHash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";

/**
 * JSON with sorted keys and no spaces: equal data, equal text, whatever order the keys were written in.
 * @throws ERR_INVALID_ARGUMENT for what JSON cannot hold: undefined, NaN, an infinity, a function, a class instance.
 */
export function canonicalJson(value: unknown, path = "value"): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => canonicalJson(item, `${path}[${index}]`)).join(",")}]`;
  }
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item, `${path}.${key}`)}`).join(",")}}`;
  }
  throw new GradmeshError("ERR_INVALID_ARGUMENT", `${path} is ${String(value)}, which JSON cannot hold`);
}

/** SHA-256 of the canonical JSON, 64 hex characters. */
export function recipeDigest(recipe: unknown): string {
  return createHash("sha256").update(canonicalJson(recipe)).digest("hex");
}
