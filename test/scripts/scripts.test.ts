/** The set-up and the test runner: versions, missing tools, interrupted installs, counting, hangs and leftovers. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";

// Plain JavaScript without types; it must run before TypeScript is installed.
const load = (name: string) => import(new URL(`../../../scripts/${name}`, import.meta.url).href);
const setup = await load("setup.mjs");
const runner = await load("test.mjs");

const folder = mkdtempSync(join(tmpdir(), "gradmesh-scripts-"));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test("versions compare by number", () => {
  for (const text of ["12.2.0", "11", "v11.0.1", "cmake version 11.2"])
    assert.ok(setup.versionAtLeast(text, [11, 0]), text);
  for (const text of ["10.9", "9", "", null, "none"])
    assert.not(setup.versionAtLeast(text, [11, 0]), String(text));
  assert.not(setup.versionAtLeast("v22.9.0", [22, 18]));
  assert.ok(setup.versionAtLeast("v22.18.0", [22, 18]));
});

test("missing and old tools are named with their package", () => {
  const machine = (versions: Record<string, string>) => (command: string) => versions[command] ?? null;
  const packages = (versions: Record<string, string>) =>
    setup.missingTools(machine(versions), undefined).map((tool: { package: string }) => tool.package);
  const whole = { "g++": "12.2.0", cmake: "cmake version 3.25.1", make: "GNU Make 4.3" };
  assert.equal(packages(whole), []);
  assert.equal(packages({}), ["g++", "cmake", "make"]);
  assert.equal(packages({ ...whole, "g++": "10.2.1" }), ["g++-12"]);
  assert.equal(packages({ ...whole, cmake: "cmake version 3.18.4" }), ["cmake"]);
  assert.equal(packages({ "g++": "12", cmake: "3.25", ninja: "1.11" }), [], "ninja does what make does");
});

test("an install is current when it holds what the lock says, and was not interrupted", () => {
  const lock = {
    packages: {
      "": {},
      "node_modules/a": { version: "1.0.0" },
      "node_modules/b": { version: "2.0.0", optional: true },
    },
  };
  const installed = (packages: object) => setup.installIsCurrent(lock, { packages });
  assert.ok(installed({ "node_modules/a": { version: "1.0.0" } }));
  assert.not(installed({ "node_modules/a": { version: "1.0.1" } }));
  assert.not(installed({}));
  assert.not(installed({ "node_modules/a": { version: "1.0.0" }, "node_modules/b": { version: "1.0.0" } }));
  assert.not(setup.installIsCurrent(lock, null), "npm writes the list of what it installed last");
});

test("an inner npm gets none of the outer one's options", () => {
  const env = {
    PATH: "/usr/bin",
    NODE_ENV: "production",
    npm_config_omit: "dev",
    npm_config_global: "true",
    npm_config_loglevel: "silent",
    npm_config_registry: "https://registry.example",
  };
  const inner = setup.npmEnvironment(env, folder);
  assert.equal(inner, { PATH: "/usr/bin", npm_config_registry: "https://registry.example" });
  const readOnly = setup.npmEnvironment({ PATH: "/usr/bin" }, join(folder, "absent"));
  assert.match(readOnly.npm_config_cache, /gradmesh-npm/, "a home that cannot be written is not used");
});

const uvu = (total: number, passed: number, skipped = 0) =>
  `• •   (1 / 2)\n\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1ms\n`;

test("results are counted from what tests print, and a bad exit is never a pass", () => {
  const count = (output: string, code: number | null = 0, problem: string | null = null) => {
    const { passed, failed, skipped } = runner.countResults({ output, code, problem });
    return [passed, failed, skipped];
  };
  assert.equal(count(uvu(5, 5)), [5, 0, 0]);
  assert.equal(count(uvu(5, 3, 2), 1), [3, 2, 2]);
  assert.equal(count(uvu(0, 0, 2)), [0, 0, 2]);
  assert.equal(count("noise\n12 passed, 3 failed\n", 1), [12, 3, 0]);
  assert.equal(count("4 passed, 0 failed\n"), [4, 0, 0]);
  assert.equal(count("4 passed, 0 failed\n", null, "ended by SIGSEGV"), [4, 1, 0]);
  assert.equal(count(uvu(5, 5), 1), [5, 1, 0], "passed, but the process failed");
  assert.equal(count(""), [0, 1, 0], "printed nothing");
  assert.equal(count(uvu(0, 0)), [0, 1, 0], "holds no tests");
});

const node = (text: string, limitMs: number, leftoverMs = 200) => {
  const path = join(folder, "script.mjs");
  writeFileSync(path, text);
  return runner.runGroup(process.execPath, [path], { limitMs, leftoverMs });
};

test("a test that hangs is killed with its children, and reported", async () => {
  const pids = join(folder, "pids");
  const result = await node(
    `import { spawn } from "node:child_process"; import { writeFileSync } from "node:fs";
     process.on("SIGTERM", () => {});
     const child = spawn("sleep", ["1000"], { stdio: "inherit" });
     writeFileSync(${JSON.stringify(pids)}, String(child.pid)); console.log("begun");
     setInterval(() => {}, 1000);`,
    2_000,
  );
  assert.match(result.problem, /still running after 2 s: killed/);
  assert.match(result.output, /begun/);
  const child = readFileSync(pids, "utf8");
  // Its entry may outlive it as a zombie where nobody reaps orphans.
  if (existsSync(`/proc/${child}/stat`))
    assert.match(readFileSync(`/proc/${child}/stat`, "utf8"), /\) [ZX] /);
});

test("a test that leaves a process behind is a failure, and the process is ended", async () => {
  const result = await node(
    `import { spawn } from "node:child_process";
     spawn("sleep", ["1000"], { stdio: "inherit" }).unref(); console.log(${JSON.stringify(uvu(1, 1))}); process.exit(0);`,
    20_000,
  );
  assert.is(result.problem, "left processes running: killed");
  assert.is(runner.countResults(result).failed, 1);
});

test("output and exit of an ordinary test; a program that is not there", async () => {
  const result = await node('console.log("a"); console.error("b"); process.exitCode = 3;', 20_000);
  assert.is(result.code, 3);
  assert.is(result.problem, null);
  assert.match(result.output, /a/);
  assert.match(result.output, /b/);
  const absent = await runner.runGroup(join(folder, "absent"), [], { limitMs: 1000 });
  assert.match(absent.problem, /ENOENT/);
});

test.run();
