/** Builds a program of bench/native/ in the checkout's build tree, runs programs, and reads the JSON lines they print. */
import { type SpawnOptions, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { GradmeshError } from "../lib/base/errors.js";

const tree = fileURLToPath(new URL("../../build", import.meta.url));
/** What is kept of a failed program's messages. */
const MESSAGE_CHARACTERS_MAX = 4000;

interface Ended {
  /** Null where the program could not be started or was ended by a signal. */
  readonly code: number | null;
  /** The end of what it wrote to stderr, or why it could not be started. */
  readonly errors: string;
}

/** Runs a program and hands over each line of its output; never rejects. */
export async function runProgram(
  command: string,
  args: readonly string[],
  onLine: (line: string) => void,
  options: SpawnOptions = {},
): Promise<Ended> {
  const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  const keep = (text: string) => {
    errors = (errors + text).slice(-MESSAGE_CHARACTERS_MAX);
  };
  child.on("error", ({ message }) => keep(message));
  child.stderr?.on("data", (piece: Buffer) => keep(piece.toString()));
  if (child.stdout) createInterface({ input: child.stdout }).on("line", onLine);
  const code = await new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  return { code: child.pid === undefined ? null : code, errors: errors.trim() };
}

/**
 * Builds target `name`; the program's path.
 * @throws ERR_INTERNAL where it cannot be built.
 */
export async function buildNative(name: string, folder = tree): Promise<string> {
  const output: string[] = [];
  const build = ["--build", folder, "--config", "Release", "--target", name];
  const built = await runProgram("cmake", build, (line) => output.push(line));
  if (built.code !== 0)
    throw new GradmeshError(
      "ERR_INTERNAL",
      `bench: ${name} was not built:\n${output.join("\n")}\n${built.errors}`,
    );
  return join(folder, "bench", "native", name);
}

/**
 * Builds target `name` and runs it; `onRecord` gets each line of its output, which is JSON.
 * @throws ERR_INTERNAL where it cannot be built, ERR_CONFIG with its own words where it fails.
 */
export async function runNative(
  name: string,
  args: readonly string[],
  onRecord: (record: unknown) => void,
): Promise<void> {
  const program = await buildNative(name);
  const ran = await runProgram(program, args, (line) => onRecord(JSON.parse(line)));
  if (ran.code !== 0)
    throw new GradmeshError("ERR_CONFIG", `${name} ${args.join(" ")}: ${ran.errors || "ended by a signal"}`);
}
