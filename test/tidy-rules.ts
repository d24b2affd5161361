/** The checkout's own rules as pure functions from text to complaints; tidy.test.ts runs them and tests them. */
import { dirname, join, normalize } from "node:path";

/** A file with its path relative to the checkout. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** A room imports only itself and the rooms before it. */
export const libRooms = [
  "base",
  "native",
  "tensor",
  "peer",
  "group",
  "reduce",
  "strategy",
  "trainer",
  "checkpoint",
  "engine",
  "verify",
  "ledger",
  "run",
  "gym",
  "cli",
  "index",
] as const;

/** `include` holds the C ABI's types, which every room may name. */
export const nativeRooms = [
  "include",
  "base",
  "numeric",
  "device",
  "state",
  "codec",
  "ops",
  "transport",
  "topology",
  "collective",
  "verify",
  "abi",
] as const;

const LINES_MAX = 400;

/** Text with comments and the insides of strings blanked; lines and their numbers stay. */
export function codeOnly(text: string): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;
  return text.replace(token, (found) => found.replace(/[^\n]/g, " "));
}

/** Every import and re-export specifier of a TypeScript file. */
export function importsOf(text: string): string[] {
  const statements = text.matchAll(/^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"/gm);
  const dynamic = text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)|new URL\(\s*"(\.[^"]+\.js)"/g);
  return [...statements, ...dynamic].map((found) => (found[1] ?? found[2])!);
}

function libRoom(path: string): string {
  return path === "lib/index.ts" ? "index" : (path.split("/")[1] ?? "");
}

/** The source file that a relative specifier names. */
function targetOf(path: string, specifier: string): string {
  return normalize(join(dirname(path), specifier)).replace(/\.js$/, ".ts");
}

export function libOrder(source: Source): string[] {
  const own = libRooms.indexOf(libRoom(source.path) as (typeof libRooms)[number]);
  if (own < 0)
    return [`${source.path}: lib/${libRoom(source.path)} is not a room; the rooms are ${libRooms.join(" ")}`];
  return importsOf(source.text)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => targetOf(source.path, specifier))
    .filter((target) => target.startsWith("lib/"))
    .filter((target) => libRooms.indexOf(libRoom(target) as (typeof libRooms)[number]) > own)
    .map((target) => `${source.path}: imports ${target}, a later room`);
}

export function nativeOrder(source: Source): string[] {
  const room = source.path.split("/")[1] ?? "";
  const own = nativeRooms.indexOf(room as (typeof nativeRooms)[number]);
  if (own < 0)
    return [`${source.path}: native/${room} is not a room; the rooms are ${nativeRooms.join(" ")}`];
  const included = [...source.text.matchAll(/^\s*#\s*include\s+"([^"/]+)\//gm)].map((found) => found[1]!);
  return included
    .filter((name) => nativeRooms.indexOf(name as (typeof nativeRooms)[number]) > own)
    .map((name) => `${source.path}: includes native/${name}, a later room`);
}

export function fileSize(source: Source): string[] {
  const lines = source.text.split("\n").length - 1;
  return lines <= LINES_MAX ? [] : [`${source.path}: ${lines} lines; at most ${LINES_MAX}`];
}

/** Spelled apart, so that this file does not complain about itself. */
const unfinished = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X".repeat(3), "HA" + "CK"].join("|")})\\b`);

export function unfinishedWork(source: Source): string[] {
  return source.text
    .split("\n")
    .flatMap((line, index) => (unfinished.test(line) ? [`${source.path}:${index + 1}: ${line.trim()}`] : []));
}

export function headComment(source: Source): string[] {
  const begins = /^(#![^\n]*\n)?\s*(\/\*|\/\/)\s*\S|^(#![^\n]*\n)?\s*\/\*\*\n \* \S/.test(source.text);
  return begins ? [] : [`${source.path}: the first line must say what the file is for`];
}

const libm =
  "exp2?|expm1|tanh?|log(?:2|10|1p)?|sqrt|cbrt|pow|sin|cos|atan2?|erfc?|hypot|fma|l?l?rint|nearbyint|l?l?round";
const libmCall = new RegExp(
  `(?:\\bstd|(?<![\\w>]))::(?:${libm})f?\\s*\\(|(?<![\\w:.>])(?:__builtin_)?(?:${libm})f\\s*\\(`,
  "g",
);
/** Without a namespace, in the rooms of kernels: elsewhere `log(` may be someone's own. */
const bareCall = /(?<![\w:.>])(?:exp2?|expm1|tanh?|log(?:2|10|1p)?|sqrt|cbrt|pow|sin|cos|erfc?)\s*\(/g;
const kernelRoom = /^(native\/(numeric|codec|ops|state)|cuda\/(state|codec|ops))\//;
const fastMath =
  /-ffast-math|-Ofast|-funsafe-math|-fassociative-math|-use_fast_math|#\s*pragma\s+GCC\s+optimize/;

/** exact.h alone may call the correctly rounded ones (fma, rint). */
export function exactArithmetic(source: Source): string[] {
  if (source.path === "native/numeric/exact.h") return [];
  const code = codeOnly(source.text);
  const isKernel = kernelRoom.test(source.path);
  const complaints = code
    .split("\n")
    .flatMap((line, index) =>
      [...line.matchAll(libmCall), ...(isKernel ? line.matchAll(bareCall) : [])].map(
        (found) => `${source.path}:${index + 1}: libm's ${found[0].trim()}; use exact::`,
      ),
    );
  if (fastMath.test(source.text)) complaints.push(`${source.path}: fast math changes bits`);
  return complaints;
}

export function napiOnlyInBindings(source: Source): string[] {
  const includes = /#\s*include\s+[<"](?:napi|node_api|js_native_api)\.h[>"]/.test(source.text);
  const allowed = source.path.startsWith("bindings/node/");
  return includes && !allowed ? [`${source.path}: only bindings/node may include napi.h`] : [];
}

/** Files in lib that no other file reaches: neither lib's entry points, nor what they import. */
export function deadFiles(sources: readonly Source[], entries: readonly string[]): string[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const queue = [...entries];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const source = byPath.get(path);
    if (reached.has(path) || !source) continue;
    reached.add(path);
    for (const specifier of importsOf(source.text))
      if (specifier.startsWith(".")) queue.push(targetOf(path, specifier));
  }
  const dead = sources.filter(({ path }) => path.startsWith("lib/") && !reached.has(path));
  return dead.map(({ path }) => `${path}: nothing imports it`);
}

/** Relative links and images of a Markdown file; `exists` takes a path relative to the checkout. */
export function brokenLinks(source: Source, exists: (path: string) => boolean): string[] {
  const prose = source.text.replace(/^```[\s\S]*?^```/gm, "");
  return [...prose.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)]
    .map((found) => found[1]!)
    .filter((link) => !/^([a-z]+:|#)/.test(link))
    .map((link) => normalize(join(dirname(source.path), decodeURI(link.split("#")[0]!))))
    .filter((path) => !exists(path))
    .map((path) => `${source.path}: links to ${path}, which is not there`);
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** The lock must be of this package.json; setup installs what the lock says. */
export function staleLock(manifest: Manifest, lock: { packages?: Record<string, Manifest> }): string[] {
  const locked = lock.packages?.[""] ?? {};
  return (["dependencies", "devDependencies"] as const).flatMap((kind) => {
    const names = new Set([...Object.keys(manifest[kind] ?? {}), ...Object.keys(locked[kind] ?? {})]);
    return [...names]
      .filter((name) => manifest[kind]?.[name] !== locked[kind]?.[name])
      .map(
        (name) =>
          `package-lock.json: ${name} is ${locked[kind]?.[name]}, package.json says ${manifest[kind]?.[name]}`,
      );
  });
}
