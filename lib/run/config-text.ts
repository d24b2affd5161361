/** Reads a config's file; where its text stops being JSON, says so. */
import { readFile } from "node:fs/promises";
import { ioError } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";

function parseMessage(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Where the text stops being JSON. V8 names the position in most messages; for an unexpected token it does not, but a
 * prefix that ends before the token is merely incomplete, so the place is found by bisection.
 */
function errorPosition(text: string, message: string): number {
  const named = /at position (\d+)/.exec(message);
  if (named) return Number(named[1]);
  if (!message.startsWith("Unexpected token")) return text.length;
  let viable = 0;
  let broken = text.length;
  while (broken - viable > 1) {
    const middle = (viable + broken) >> 1;
    if (parseMessage(text.slice(0, middle))?.startsWith("Unexpected token")) broken = middle;
    else viable = middle;
  }
  return viable;
}

/** ":2:7: not valid JSON: Unexpected token '}'": line and column count from 1. */
export function syntaxProblem(text: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const before = text.slice(0, errorPosition(text, message)).split("\n");
  const short = message.replace(/ in JSON at position.*$| at position.*$|, .* is not valid JSON$/s, "");
  return `:${before.length}:${before.at(-1)!.length + 1}: not valid JSON: ${short}`;
}

/** @throws ERR_CONFIG when there is no such file, or with line and column of a syntax error; ERR_IO when it cannot be read. */
export async function readConfig(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new GradmeshError("ERR_CONFIG", `${path}: there is no such file`, { cause: error });
    throw ioError("read", path, error);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GradmeshError("ERR_CONFIG", `${path}${syntaxProblem(text, cause)}`, { cause });
  }
}
