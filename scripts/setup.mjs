// Sets up a checkout before `npm start`, `npm test` and `npm run bench`: packages, generated files, native code,
// TypeScript. Plain JavaScript for Node 20 or later without dependencies, since it installs them. Quick when nothing
// changed; output of tools is shown only when one fails.
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, homedir, tmpdir, userInfo } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const at = (...parts) => join(root, ...parts);
const modules = at("node_modules");
const lockPath = at("build", ".setup-lock");
const runtimeLeast = [22, 18];
const compilerLeast = [11, 0];
const cmakeLeast = [3, 22];
/** A step that takes longer says what it is. */
const QUIET_MS = 1_000;
/** A setup in another terminal that holds the lock for longer is not a setup: its process id was given anew. */
const LOCK_LIMIT_MS = 600_000;
/** Settings of the outer npm that would change what the inner one installs. */
const npmSettings = [
  "global",
  "dry_run",
  "omit",
  "include",
  "only",
  "production",
  "workspace",
  "workspaces",
  "loglevel",
  "json",
];

const say = (line) => console.log(`setup: ${line}`);

class SetupError extends Error {}

/** Whether a dotted version is at least [major, minor]. */
export function versionAtLeast(text, [major, minor]) {
  const found = /(\d+)(?:\.(\d+))?/.exec(text ?? "");
  if (!found) return false;
  const [foundMajor, foundMinor] = [Number(found[1]), Number(found[2] ?? 0)];
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

/** The first line that a program prints about itself, or null where it cannot be run. */
function firstLine(command, args) {
  const done = spawnSync(command, args, { encoding: "utf8", cwd: root });
  return done.status === 0 ? done.stdout.split("\n")[0].trim() : null;
}

/** The Debian packages that are missing or too old, each with what was found. */
export function missingTools(probe = firstLine, compiler = process.env.CXX) {
  const missing = [];
  const compilerVersion = probe(compiler || "g++", ["-dumpfullversion", "-dumpversion"]);
  if (compilerVersion === null) missing.push({ package: "g++", found: `${compiler || "g++"} cannot be run` });
  else if (!compiler && !versionAtLeast(compilerVersion, compilerLeast))
    missing.push({
      package: "g++-12",
      found: `g++ is ${compilerVersion}, needed is ${compilerLeast[0]} or later`,
    });
  const cmakeVersion = probe("cmake", ["--version"]);
  if (cmakeVersion === null) missing.push({ package: "cmake", found: "cmake cannot be run" });
  else if (!versionAtLeast(cmakeVersion, cmakeLeast))
    missing.push({ package: "cmake", found: `${cmakeVersion}, needed is ${cmakeLeast.join(".")} or later` });
  if (probe("make", ["--version"]) === null && probe("ninja", ["--version"]) === null)
    missing.push({ package: "make", found: "make cannot be run" });
  return missing;
}

function checkTools() {
  const missing = missingTools();
  if (missing.length === 0) return;
  const sudo = userInfo().uid === 0 ? "" : "sudo ";
  throw new SetupError(
    `the native code needs a C++ compiler, cmake and make:\n` +
      missing.map(({ found }) => `  ${found}\n`).join("") +
      `On Debian or Ubuntu: ${sudo}apt-get install ${missing.map((tool) => tool.package).join(" ")}`,
  );
}

/** Runs a tool; its output is kept, and part of the error when it fails. What takes longer is announced. */
async function run(what, command, args, env, announced = false) {
  const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  const slow = announced ? undefined : setTimeout(() => say(what), QUIET_MS);
  const output = [];
  child.stdout.on("data", (piece) => output.push(piece));
  child.stderr.on("data", (piece) => output.push(piece));
  const [code, signal] = await new Promise((resolve) => {
    child.on("error", (error) => resolve([error.message, null]));
    child.on("close", (...end) => resolve(end));
  });
  clearTimeout(slow);
  if (code === 0) return;
  const text = Buffer.concat(output).toString("utf8").trim();
  const end = signal ? `ended by ${signal}` : `exit ${code}`;
  throw new SetupError(`${what} failed (${end}):\n$ ${[command, ...args].join(" ")}\n${text}`);
}

/** PATH with the packages' programs first, so that `node` is the one that the packages bring. */
function toolEnvironment() {
  return { ...process.env, PATH: [join(modules, ".bin"), process.env.PATH].join(delimiter) };
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The environment of an inner npm: none of the outer one's options, none of the packages it may replace. */
export function npmEnvironment(env = process.env, home = homedir()) {
  const inner = { ...env };
  for (const key of Object.keys(inner)) {
    const setting = /^npm_config_(.+)$/i.exec(key)?.[1].toLowerCase();
    if (npmSettings.includes(setting) || key === "NODE_ENV") delete inner[key];
  }
  const path = (env.PATH ?? "").split(delimiter);
  inner.PATH = path.filter((folder) => !folder.startsWith(modules)).join(delimiter);
  // npm keeps its downloads under HOME; where that cannot be written, a folder of the system's does.
  const cache = join(home, ".npm");
  if (!isWritable(existsSync(cache) ? cache : home) && !env.npm_config_cache)
    inner.npm_config_cache = join(tmpdir(), `gradmesh-npm-${userInfo().uid}`);
  return inner;
}

/** The npm that started this script, under its own Node; else the one in PATH. */
function npmCommand() {
  const { npm_execpath: path, npm_node_execpath: node } = process.env;
  const known =
    path && basename(path) === "npm-cli.js" && existsSync(path) && node && !node.startsWith(modules);
  return known ? [node, path] : ["npm"];
}

async function npm(what, ...args) {
  const [command, ...first] = npmCommand();
  await run(what, command, [...first, ...args, "--no-audit", "--no-fund"], npmEnvironment(), true);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

/**
 * Whether an install is complete and of this lock. npm writes node_modules/.package-lock.json last, so an interrupted
 * install has none; packages of other platforms are absent from it.
 */
export function installIsCurrent(lock, installed) {
  if (!lock || !installed) return false;
  return Object.entries(lock.packages ?? {}).every(([path, wanted]) => {
    if (path === "") return true;
    const found = installed.packages?.[path];
    return found ? found.version === wanted.version : wanted.optional === true;
  });
}

async function installPackages() {
  const installed = readJson(join(modules, ".package-lock.json"));
  if (installIsCurrent(readJson(at("package-lock.json")), installed)) return;
  say(`installing the packages${installed ? ", which changed" : ""} (npm install)`);
  // What an interrupted install left may look whole to npm.
  if (!installed) rmSync(modules, { recursive: true, force: true });
  // Not `npm ci`: it refuses a lock that lacks other platforms' optional packages. --no-save keeps to the lock too.
  await npm("npm install", "install", "--no-save", "--include=dev");
}

/** The Node that runs everything after this script. */
function runtime() {
  const local = join(modules, ".bin", "node");
  if (versionAtLeast(firstLine(local, ["--version"]), runtimeLeast)) return local;
  return versionAtLeast(process.version, runtimeLeast) ? process.execPath : null;
}

async function installRuntime() {
  if (runtime()) return;
  const wanted = runtimeLeast.join(".");
  say(`this Node is ${process.version}; fetching the package "node", which brings a newer one`);
  let why = "";
  await npm("npm rebuild node", "rebuild", "node").catch((error) => {
    why = `\n${error.message}`;
  });
  if (runtime()) return;
  throw new SetupError(
    `gradmesh needs Node ${wanted} or later; this is ${process.version}, and the install script of the package "node",\n` +
      `which brings Node 24, has not run. Either allow it:\n` +
      `  npm approve-scripts node && npm rebuild node    (npm 11 or later)\n` +
      `  npm rebuild node --ignore-scripts=false         (where ignore-scripts is set)\n` +
      `or start npm with Node ${wanted} or later.${why}`,
  );
}

async function generate(node) {
  const checks = process.env.CI && !["0", "false"].includes(process.env.CI);
  const args = [at("bindings", "generate.mjs"), ...(checks ? ["--check"] : [])];
  await run(
    checks ? "checking the generated files" : "generating the bindings",
    node,
    args,
    toolEnvironment(),
  );
}

/** What the configured build depends on, beside the CMake files, which CMake watches itself. */
function buildIdentity(args) {
  const lines = [root, args.join(" "), process.env.CXX ?? "", process.env.CXXFLAGS ?? ""];
  lines.push(
    firstLine(process.env.CXX || "g++", ["--version"]) ?? "",
    firstLine("cmake", ["--version"]) ?? "",
  );
  // cmake-js prefers ninja where it is there; a build tree keeps to what it was made for.
  lines.push(`ninja ${firstLine("ninja", ["--version"])}`);
  for (const name of ["node-api-headers", "node-addon-api", "cmake-js"])
    lines.push(`${name} ${readJson(join(modules, name, "package.json"))?.version}`);
  return `${lines.join("\n")}\n`;
}

async function buildNative(node, wasInterrupted) {
  // Not `cmake-js compile`: after a compile error that deletes the whole build folder.
  const configure = [join(modules, "cmake-js", "bin", "cmake-js"), "configure", "--CDGRADMESH_TESTS=ON"];
  const stampPath = at("build", ".configured");
  const identity = buildIdentity(configure);
  const configured = existsSync(stampPath) && readFileSync(stampPath, "utf8") === identity;
  if (!configured || !existsSync(at("build", "CMakeCache.txt"))) {
    for (const name of [".configured", "CMakeCache.txt", "CMakeFiles"])
      rmSync(at("build", name), { recursive: true, force: true });
    await run("configuring the native build", node, configure, toolEnvironment());
    writeFileSync(stampPath, identity);
  }
  const first = !existsSync(at("build", "Release", "gradmesh.node"));
  const build = ["--build", at("build"), "--config", "Release", "--parallel", String(availableParallelism())];
  // A killed compiler may leave half an object file that make takes for a whole one.
  if (wasInterrupted) build.push("--clean-first");
  const what = `building native code${first || wasInterrupted ? " (some minutes the first time)" : ""}`;
  await run(what, "cmake", build, toolEnvironment());
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** One setup at a time in a checkout. Returns the phase in which an earlier one was killed, or null. */
async function takeLock() {
  mkdirSync(dirname(lockPath), { recursive: true });
  const deadline = Date.now() + LOCK_LIMIT_MS;
  let interrupted = null;
  for (let waits = 0; ; waits++) {
    try {
      writeFileSync(lockPath, JSON.stringify({ pid: process.pid, phase: "start" }), { flag: "wx" });
      return interrupted;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const holder = readJson(lockPath);
    // An empty lock is one that is just being written, or was when the machine stopped.
    const isHeld = holder ? isAlive(holder.pid) : waits < 10;
    if (isHeld && Date.now() < deadline) {
      if (waits === 0 && holder) say(`waiting for another setup here (process ${holder.pid})`);
      await sleep(200);
      continue;
    }
    interrupted = holder?.phase ?? interrupted;
    rmSync(lockPath, { force: true });
  }
}

const enterPhase = (phase) => writeFileSync(lockPath, JSON.stringify({ pid: process.pid, phase }));

async function setUp() {
  checkTools();
  let isHalfBuilt = (await takeLock()) === "native";
  try {
    enterPhase(isHalfBuilt ? "native" : "start");
    await installPackages();
    await installRuntime();
    const node = runtime();
    await generate(node);
    enterPhase("native");
    const wasHalfBuilt = isHalfBuilt;
    isHalfBuilt = false;
    await buildNative(node, wasHalfBuilt);
    enterPhase("start");
    await run(
      "compiling TypeScript",
      node,
      [join(modules, "typescript", "bin", "tsc"), "-b"],
      toolEnvironment(),
    );
  } finally {
    // Only a killed setup leaves a build half done; it stays so while a later one fails before it builds.
    if (isHalfBuilt) writeFileSync(lockPath, JSON.stringify({ pid: null, phase: "native" }));
    else rmSync(lockPath, { force: true });
  }
}

async function main() {
  const began = Date.now();
  try {
    await setUp();
    const seconds = (Date.now() - began) / 1000;
    if (seconds > 3) say(`done in ${seconds.toFixed(0)} s`);
  } catch (error) {
    console.error(`setup: ${error instanceof SetupError ? error.message : error.stack}`);
    // `npm test` ends with its closing line also when it could not begin.
    if (process.env.npm_lifecycle_event === "pretest") console.log("0 passed, 1 failed");
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
