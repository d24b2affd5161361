/** The README's code blocks are executed: the config is valid, the commands run, the program and its trainer work. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseConfig } from "../../lib/run/config.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const mainPath = join(root, "dist/lib/cli/main.js");
const run = promisify(execFile);

/** The README's fenced blocks of a language, in order. */
async function blocks(language: string): Promise<string[]> {
  const text = await readFile(join(root, "README.md"), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter((m) => m[1] === language)
    .map((m) => m[2]!);
}

/** Each command of the README without its comment. */
async function commands(): Promise<string[]> {
  const lines = (await blocks("sh")).flatMap((block) => block.trim().split("\n"));
  return lines.map((line) => line.replace(/\s+#.*$/, ""));
}

/** A folder of a reader who installed gradmesh. */
async function readersFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-readme-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules/gradmesh"));
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  return folder;
}

test("every npm command names a script of package.json", async () => {
  const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  for (const command of await commands()) {
    const name = /^npm (?:run )?(\w+)/.exec(command)?.[1];
    assert.ok(name !== undefined && name in scripts, command);
  }
});

test("the program and its trainer end with the same bits on both peers", async () => {
  const folder = await readersFolder();
  const [program, trainer] = await blocks("js");
  await writeFile(join(folder, "line.js"), trainer!);
  await writeFile(join(folder, "program.js"), program!);
  const { stdout } = await run(process.execPath, ["program.js"], { cwd: folder });
  const lines = stdout.trim().split("\n");
  assert.is(lines.length, 4);
  assert.match(lines[2]!, /^3 \d/);
  assert.is(lines[3], "true");
  await rm(folder, { recursive: true });
});

/** Starts a command of the README in the reader's folder. */
function start(folder: string, command: string): { child: ChildProcess; ended: Promise<string> } {
  const args = command.replace(/^npm run gradmesh -- /, "").split(" ");
  const child = spawn(process.execPath, [mainPath, ...args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stdout!.on("data", (data) => {
    text += data;
  });
  child.stderr!.on("data", (data) => {
    text += data;
  });
  const ended = new Promise<string>((resolve, reject) => {
    child.on("close", (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${command}: ${code}\n${text}`)),
    );
  });
  return { child, ended };
}

/** The ticket that the first peer prints. */
async function ticketOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const ticket = /gradmesh1\S+/.exec(line)?.[0];
    if (ticket !== undefined) return ticket;
  }
  throw new Error("the first peer printed no ticket");
}

test("the config is valid, and the commands run, join, inspect and resume it", async () => {
  const folder = await readersFolder();
  const config = JSON.parse((await blocks("json"))[0]!);
  parseConfig(config);
  // The same config with a smaller model, so that the test takes seconds.
  config.rounds = 6;
  Object.assign(config.trainer.options, { layers: 1, width: 32, heads: 2, context: 16, batch: 4 });
  await writeFile(join(folder, "moby.json"), JSON.stringify(config));
  const all = (await commands()).filter((command) =>
    /^npm run gradmesh -- (doctor|run|join|inspect|resume)\b/.test(command),
  );
  const [doctor, first, join_, inspect, resume] = all as [string, string, string, string, string];
  assert.is(all.length, 5);
  assert.match(await start(folder, doctor).ended, /golden op vectors/);
  const leader = start(folder, first);
  const joiner = start(folder, join_.replace("$TICKET", await ticketOf(leader.child)));
  await Promise.all([leader.ended, joiner.ended]);
  assert.match(await start(folder, inspect).ended, /round-000006: intact/);
  const resumed = start(folder, resume.replace(/--rounds \d+/, "--rounds 8"));
  assert.match(await resumed.ended, /round 8\/8/);
  await rm(folder, { recursive: true });
});

test("the demo with cheaters finds one, and its ledger is verified, explained and replayed", async () => {
  const folder = await readersFolder();
  const all = (await commands()).filter((command) => /-- (demo|ledger|reward|audit)\b/.test(command));
  const [demo, verify, reward, plan, replay] = all as [string, string, string, string, string];
  assert.is(all.length, 5);
  // Fewer and shorter rounds, and more checks, so that the test takes seconds.
  const small = "--peers 4 --cheaters 1 --rounds 8 --inner-steps 4 --rate 0.95 --folder cheaters";
  // The folder was used before: none of these is the run's ledger.
  const peerFolder = join(folder, "cheaters/peers/peer-0");
  await mkdir(peerFolder, { recursive: true });
  for (let index = 0; index < 8; index++)
    await writeFile(join(peerFolder, `ledger-${index}.sqlite`), "of another run");
  const text = await start(folder, `${demo.replace(/ --cheaters \d+/, "")} ${small}`).ended;
  assert.match(text, /peer-3 \(leaves out every second step from round 3 on\): found in round \d/);
  assert.match(text, /state digests {5}3 of 3 honest peers equal/);
  const [ledger] = /cheaters\/\S+\.sqlite/.exec(text) ?? [""];
  const command = (line: string) =>
    start(folder, line.replace("$LEDGER", ledger).replace("config.json", "cheaters/config.json")).ended;
  assert.match(await command(verify), /records hold/);
  const [, cheater] = /^(\w+) \(ejected\)/m.exec(await command(reward)) ?? [];
  assert.ok(cheater, "the reward table names who was ejected");
  assert.match(await command(plan), /stake/);
  // A cheater that was found in its first round never counted; else the replay names it, and the round.
  const replayed = await command(replay).catch((error: Error) => error.message);
  const found = `ERR_DIVERGED: round [3-8] of \\S+ is not what honest work gives: \\w+${cheater}: `;
  assert.match(replayed, /round 2 equal/);
  assert.match(replayed, new RegExp(`all 8 rounds of \\S+ are what honest work gives|${found}`));
  const lines = (await command(`${replay} --rounds 1 --json`)).trim().split("\n");
  const [round, report] = lines.map((line) => JSON.parse(line));
  assert.equal([lines.length, round.type, round.round, round.difference], [2, "replayed", 1, null]);
  assert.equal([report.type, report.closed, report.equal, report.state], ["report", 8, true, round.state]);
  await rm(folder, { recursive: true });
});

test("the gym's example is a config that the gym takes, and its report is where the README says", async () => {
  const folder = await readersFolder();
  const all = (await commands()).filter((command) => command.startsWith("npm run gradmesh -- gym"));
  const [example, gym] = all as [string, string];
  assert.is(all.length, 2);
  const [print, file] = example.split(" > ") as [string, string];
  const config = JSON.parse(await start(folder, print).ended);
  // The same arms with a smaller model and fewer steps.
  config.defaults.steps = 20;
  config.arms = config.arms.slice(0, 2);
  Object.assign(config.defaults.config.trainer.options, {
    layers: 1,
    width: 32,
    heads: 2,
    context: 16,
    batch: 2,
  });
  await writeFile(join(folder, file), JSON.stringify(config));
  const text = await start(folder, gym).ended;
  const [report] = /\S+\.html/.exec(text) ?? [""];
  assert.ok(report.startsWith("runs/gym/first/"), text);
  assert.match(await readFile(join(folder, report), "utf8"), /<svg/);
  await rm(folder, { recursive: true });
});

test.run();
