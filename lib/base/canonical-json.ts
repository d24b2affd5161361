/** Canonical JSON of plain data and its digest: equal values, equal text, equal digest, however they were written. */
import { createHash } from "node:crypto";

/** Deeper values are refused; they would overflow the stack of whoever reads them. */
const DEPTH_MAX = 64;

/**
 * JSON with sorted keys (by UTF-16 code units) and no spaces: equal values have equal text (as RFC 8785).
 * @throws TypeError naming the place of a value that JSON cannot hold, or that is too deep.
 */
export function canonicalJson(value: unknown, place = "", depth = 0): string {
  if (depth > DEPTH_MAX) throw new TypeError(`${place || "the value"}: nested deeper than ${DEPTH_MAX}`);
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (Number.isFinite(value)) return JSON.stringify(value);
    throw new TypeError(`${place || "the value"}: ${value} is not a JSON number`);
  }
  if (Array.isArray(value))
    return `[${value.map((item, index) => canonicalJson(item, `${place}[${index}]`, depth + 1)).join(",")}]`;
  if (typeof value !== "object")
    throw new TypeError(`${place || "the value"}: JSON cannot hold a ${typeof value}`);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError(`${place || "the value"}: must be a plain object`);
  const prefix = place === "" ? "" : `${place}.`;
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field, `${prefix}${key}`, depth + 1)}`);
  return `{${fields.join(",")}}`;
}

/** SHA-256 of the canonical JSON, 64 hex characters. @throws as canonicalJson does. */
export function canonicalDigest(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}
