// Runs every test and ends with one line, "N passed, N failed". `npm test -- <part of a name>` runs the matching ones.
// Each test file is a process of its own with a time limit; output is shown only of those that fail.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const FILE_LIMIT_MS = 120_000;
const E2E_LIMIT_MS = 240_000;
/** Of all tests of a native room, which under sanitizers and on an emulated GPU take minutes. */
const NATIVE_LIMIT_MS = 600_000;
const BUILD_LIMIT_MS = 1_800_000;
/** How long processes that a test started may take to end after it. */
const LEFTOVER_LIMIT_MS = 3_000;
/** Output kept of one test; the beginning of longer output is dropped. */
const OUTPUT_BYTES_MAX = 1 << 20;

/** A process's group and state from /proc; null when it is gone. */
function groupAndState(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before it, in parentheses, may hold anything.
    const [state, , group] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state, group: Number(group) };
  } catch {
    return null;
  }
}

/** Whether a process of the group runs. Dead ones that nobody reaps, as in a container without an init, do not count. */
function groupIsAlive(pid) {
  try {
    process.kill(-pid, 0);
  } catch {
    return false;
  }
  return readdirSync("/proc").some((name) => {
    const found = /^\d+$/.test(name) ? groupAndState(name) : null;
    return found?.group === pid && !["Z", "X"].includes(found.state);
  });
}

function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The group has just ended.
  }
}

/** The groups that run now, so that an interrupt of the runner ends them too. */
const groups = new Set();

/** Keeps the end of a stream's text. */
function collect(child) {
  const pieces = [];
  let bytes = 0;
  const add = (piece) => {
    pieces.push(piece);
    bytes += piece.length;
    while (bytes - pieces[0].length > OUTPUT_BYTES_MAX) bytes -= pieces.shift().length;
  };
  child.stdout.on("data", add);
  child.stderr.on("data", add);
  return () => stripVTControlCharacters(Buffer.concat(pieces).toString("utf8"));
}

/**
 * Runs a command as a process group of its own. A group that runs past the limit is killed; so is what a test leaves
 * behind, and both are failures.
 * @returns {Promise<{code: number | null, problem: string | null, output: string, seconds: number}>}
 */
export async function runGroup(
  command,
  args,
  { limitMs, cwd = root, env = process.env, leftoverMs = LEFTOVER_LIMIT_MS },
) {
  const began = performance.now();
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const output = collect(child);
  if (child.pid) groups.add(child.pid);
  let problem = null;
  const guard = setTimeout(() => {
    problem = `still running after ${limitMs / 1000} s: killed`;
    killGroup(child.pid);
  }, limitMs);
  const code = await new Promise((resolve) => {
    child.on("error", (error) => {
      problem = error.message;
      resolve(null);
    });
    child.on("exit", (status, signal) => {
      if (signal) problem ??= `ended by ${signal}`;
      resolve(status);
    });
  });
  clearTimeout(guard);
  if (child.pid) {
    const deadline = performance.now() + leftoverMs;
    while (groupIsAlive(child.pid) && performance.now() < deadline) await sleep(20);
    if (groupIsAlive(child.pid)) {
      problem ??= "left processes running: killed";
      killGroup(child.pid);
    }
    groups.delete(child.pid);
    await Promise.all([child.stdout, child.stderr].map((stream) => stream.closed || ended(stream)));
  }
  return { code, problem, output: output(), seconds: (performance.now() - began) / 1000 };
}

/** A pipe that a process outside the group keeps open does not hold up the runner. */
function ended(stream) {
  return Promise.race([
    new Promise((resolve) => stream.once("close", resolve)),
    sleep(1_000, undefined, { ref: false }),
  ]);
}

/** Passed, failed and skipped as a test's own output states them (uvu's or check.h's closing lines). */
export function countResults({ code, problem, output }) {
  const number = (pattern) => {
    const found = [...output.matchAll(pattern)].at(-1);
    return found ? Number(found[1]) : null;
  };
  let total = number(/^\s*Total:\s+(\d+)$/gm);
  let passed = number(/^\s*Passed:\s+(\d+)$/gm);
  const skipped =
    number(/^\s*Skipped:\s+(\d+)$/gm) ?? number(/\d+ passed, \d+ failed, (\d+) skipped$/gm) ?? 0;
  if (total === null) {
    passed = number(/^(\d+) passed, \d+ failed/gm);
    total = passed === null ? null : passed + number(/^\d+ passed, (\d+) failed/gm);
  }
  const why = problem ?? (code === 0 ? null : `exit ${code}`);
  if (total === null) return { passed: 0, failed: 1, skipped: 0, why: why ?? "printed no result" };
  if (total + skipped === 0) return { passed: 0, failed: 1, skipped: 0, why: why ?? "holds no tests" };
  const failed = total - passed;
  return { passed, failed: failed === 0 && why ? 1 : failed, skipped, why };
}

/** Every file below a folder whose name ends so, sorted, relative to the checkout. */
function filesBelow(folder, suffix) {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(suffix));
  return files.map((entry) => relative(root, join(entry.parentPath, entry.name))).sort();
}

const totals = { passed: 0, failed: 0, skipped: 0 };

function report(name, result, { passed, failed, skipped, why }) {
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += skipped;
  const counts = `${passed} passed${failed ? `, ${failed} failed` : ""}${skipped ? `, ${skipped} skipped` : ""}`;
  console.log(
    `${failed ? "FAIL" : "ok  "}  ${name.padEnd(46)} ${counts.padEnd(22)} ${result.seconds.toFixed(1)} s`,
  );
  for (const reason of result.output.match(/^\s*skipped: .*$/gm) ?? []) console.log(`      ${reason.trim()}`);
  if (failed) console.log(`${result.output.trimEnd()}\n----  ${name}${why ? `: ${why}` : ""}`);
}

/** A check that passes when its command succeeds. */
async function check(name, command, args, limitMs = FILE_LIMIT_MS) {
  const result = await runGroup(command, args, { limitMs });
  const why = result.problem ?? (result.code === 0 ? null : `exit ${result.code}`);
  report(name, result, { passed: why ? 0 : 1, failed: why ? 1 : 0, skipped: 0, why });
  return why === null;
}

async function runTest({ name, command, args, limitMs, env }) {
  const result = await runGroup(command, args, { limitMs, env });
  report(name, result, countResults(result));
}

/** Runs tests, so many at a time, in order. */
async function runTests(tests, width) {
  const queue = [...tests];
  const worker = async () => {
    for (let test = queue.shift(); test; test = queue.shift()) await runTest(test);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** The tests that CMake registered in a build tree. */
function nativeTests(tree, label) {
  const listed = spawnSync("ctest", ["--test-dir", join(root, tree), "--show-only=json-v1"], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (listed.status !== 0) return null;
  const tests = JSON.parse(listed.stdout).tests.filter((test) => test.command);
  const env = { ...process.env, UBSAN_OPTIONS: "print_stacktrace=1" };
  const cost = ({ properties = [] }) => properties.find(({ name }) => name === "COST")?.value ?? 0;
  // The longest first, so that none of them runs alone at the end.
  tests.sort((a, b) => cost(b) - cost(a));
  return tests.map(({ name, command: [command, ...args] }) => ({
    name: `${label}/${name}`,
    command,
    args,
    limitMs: NATIVE_LIMIT_MS,
    env,
  }));
}

async function runNative(tree, label, wanted) {
  const tests = nativeTests(tree, label);
  if (tests !== null)
    return runTests(
      tests.filter(({ name }) => wanted(name)),
      2,
    );
  const result = { output: `ctest cannot list the tests of ${tree}`, seconds: 0 };
  report(label, result, { passed: 0, failed: 1, skipped: 0, why: "no native tests" });
}

/** The core and its tests alone, by plain cmake without Node, under AddressSanitizer and UBSan. */
async function runSanitized(wanted) {
  const tree = "build/sanitize";
  const options = ["-DGRADMESH_NODE=OFF", "-DGRADMESH_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=Release"];
  const configured = await check("sanitize: configure", "cmake", [
    "-S",
    root,
    "-B",
    join(root, tree),
    ...options,
  ]);
  const build = ["--build", join(root, tree), "--parallel", String(availableParallelism())];
  if (configured && (await check("sanitize: build", "cmake", build, BUILD_LIMIT_MS)))
    await runNative(tree, "sanitize", wanted);
}

/** The TypeScript tests; a compiled test whose source is gone is not among them. */
function scriptTests() {
  return filesBelow("test", ".test.ts").map((name) => ({
    name,
    command: process.execPath,
    args: [join(root, "dist", name.replace(/\.ts$/, ".js"))],
    limitMs: name.startsWith(join("test", "e2e")) ? E2E_LIMIT_MS : FILE_LIMIT_MS,
  }));
}

async function runAll(filter) {
  const wanted = (name) => name.includes(filter);
  const generate = join(root, "bindings", "generate.mjs");
  const biome = join(root, "node_modules", "@biomejs", "biome", "bin", "biome");
  if (wanted("generated files")) await check("generated files", process.execPath, [generate, "--check"]);
  if (wanted("lint")) await check("lint", process.execPath, [biome, "check", "--error-on-warnings"]);
  const rooms = readdirSync(join(root, "test", "native"), { withFileTypes: true });
  const nativeNames = [
    ...rooms.filter((entry) => entry.isDirectory()).map((entry) => entry.name),
    "isa_symbols",
  ];
  if (nativeNames.some((room) => wanted(`native/${room}`))) await runNative("build", "native", wanted);
  if (nativeNames.some((room) => wanted(`sanitize/${room}`))) await runSanitized(wanted);
  const scripts = scriptTests().filter(({ name }) => wanted(name));
  const isE2e = ({ name }) => name.startsWith(join("test", "e2e"));
  await runTests(
    scripts.filter((test) => !isE2e(test)),
    2,
  );
  await runTests(scripts.filter(isE2e), 1);
}

async function main() {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.once(signal, () => {
      for (const pid of groups) killGroup(pid);
      process.exit(130);
    });
  const filter = process.argv[2] ?? "";
  await runAll(filter);
  const { passed, failed, skipped } = totals;
  if (passed + failed + skipped === 0) console.log(`no test's name contains ${JSON.stringify(filter)}`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
