/** Validates options whole: an unknown key, a wrong type or an impossible value names the key and what is allowed. */
import { z } from "zod";
import { GradmeshError } from "../base/errors.js";

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

function allowedKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: z.ZodType | undefined = schema;
  for (const key of path) at = at === undefined ? undefined : shapeOf(at)[key as string];
  return at === undefined ? [] : Object.keys(shapeOf(at));
}

/** The fields of an object schema, also behind a default or optional. */
function shapeOf(schema: z.ZodType): Readonly<Record<string, z.ZodType>> {
  if (schema instanceof z.ZodObject) return schema.shape as Record<string, z.ZodType>;
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return shapeOf(schema.unwrap() as z.ZodType);
  }
  return {};
}

function explain(schema: z.ZodType, options: unknown, where: string, issue: z.core.$ZodIssue): string {
  const key = [where, ...issue.path.map(String)].join(".");
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys.map((name) => `"${name}"`).join(", ");
    return `${key}: unknown key ${unknown}; allowed: ${allowedKeys(schema, issue.path).join(", ")}`;
  }
  return `${key} is ${JSON.stringify(valueAt(options, issue.path)) ?? "absent"}: ${issue.message}`;
}

/**
 * The options as the schema makes them, defaults filled in.
 * @throws ERR_CONFIG with one line for each fault, each starting with the key's path under `where`.
 */
export function parseOptions<Schema extends z.ZodType>(
  schema: Schema,
  options: unknown,
  where: string,
): z.output<Schema> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => explain(schema, options, where, issue));
  throw new GradmeshError("ERR_CONFIG", faults.join("\n"));
}
