/** What a zod schema of JSON allows, in words: a row for every key, for docs, help and errors. */
import { z } from "zod";

/** One key of a section. */
export interface KeyWords {
  /** With dots: "strategy.innerSteps". */
  readonly key: string;
  readonly allowed: string;
  readonly default: unknown;
  readonly meaning: string;
}

interface JsonSchema {
  /** In words, where the schema cannot say it. */
  readonly allowed?: string;
  readonly initial?: unknown;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly maxLength?: number;
  readonly items?: JsonSchema;
  /** Of a list whose entries differ. */
  readonly prefixItems?: readonly JsonSchema[];
  readonly maxItems?: number;
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
}

function numberWords(node: JsonSchema): string {
  const multiple = node.multipleOf === undefined ? "an integer" : `a multiple of ${node.multipleOf}`;
  const subject = node.type === "integer" ? multiple : "a number";
  if (node.minimum === undefined && node.exclusiveMinimum === undefined) return subject;
  const lower =
    node.exclusiveMinimum === undefined ? `from ${node.minimum}` : `above ${node.exclusiveMinimum}`;
  const upper =
    node.exclusiveMaximum === undefined ? `to ${node.maximum}` : `to less than ${node.exclusiveMaximum}`;
  return `${subject} ${lower} ${upper}`;
}

/** What a value may be, in words: "an integer from 1 to 16". */
function allowedWords(node: JsonSchema): string {
  if (node.allowed) return node.allowed;
  if (node.anyOf) return node.anyOf.map(allowedWords).join(", or ");
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum) return node.enum.map((name) => JSON.stringify(name)).join(", ");
  if (node.type === "string") return `text of 1 to ${node.maxLength} characters`;
  if (node.type === "object") return "an object";
  if (node.prefixItems) return `[${node.prefixItems.map(allowedWords).join(", ")}]`;
  if (node.type === "array") {
    const most = node.maxItems === undefined ? "" : ` of at most ${node.maxItems} entries`;
    return `a list${most}, each ${allowedWords(node.items ?? {})}`;
  }
  if (node.type === "null") return "null";
  if (node.type === "boolean") return "true or false";
  return numberWords(node);
}

function flatten(node: JsonSchema, prefix: string): KeyWords[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const key = `${prefix}${name}`;
    if (child.properties) return flatten(child, `${key}.`);
    const value = child.initial === undefined ? child.default : child.initial;
    return [{ key, allowed: allowedWords(child), default: value, meaning: child.description ?? "" }];
  });
}

/** Every key of an object schema with what is allowed, its default and its meaning, in the schema's order. */
export function describeKeys(schema: z.ZodType, prefix = ""): KeyWords[] {
  return flatten(z.toJSONSchema(schema, { io: "input" }) as JsonSchema, prefix);
}
