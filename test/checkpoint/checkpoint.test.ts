/** Checkpoints: round trips, every kind of damage, a full disk, and SIGKILL in the middle of saving. */
import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isTemporaryName } from "../../lib/base/atomic-file.js";
import { GradmeshError } from "../../lib/base/errors.js";
import {
  type CheckpointSearch,
  loadCheckpoints,
  readCheckpoint,
  saveCheckpoint,
} from "../../lib/checkpoint/checkpoint.js";
import { inspectCheckpoints } from "../../lib/checkpoint/inspect.js";
import { failure } from "../failure.js";
import { contents, state, targets, tensors } from "./example.js";

const seed = Number(process.env.GRADMESH_TEST_SEED ?? Date.now() % 2 ** 31);
console.log(`GRADMESH_TEST_SEED=${seed}`);
let drawn = seed;
/** An integer in [0, below): Park and Miller's generator is random enough for places of damage. */
function random(below: number): number {
  drawn = (drawn * 48_271) % 2_147_483_647 || 1;
  return drawn % below;
}

const base = mkdtempSync(join(tmpdir(), "gradmesh-checkpoint-"));
test.after(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
function freshFolder(): string {
  folders += 1;
  return join(base, `peer-${folders}`);
}

/** The round of the only checkpoint found, all of whose tensors are compared. */
async function loadedRound(search: CheckpointSearch): Promise<number> {
  assert.is(search.checkpoints.length, 1);
  const checkpoint = search.checkpoints[0]!;
  const { round } = checkpoint.manifest;
  const { config: _, ...rest } = state(round);
  for (const [key, value] of Object.entries(rest))
    assert.equal(checkpoint.manifest[key as keyof typeof rest], value, key);
  for (const [part, first, second] of [
    ["outer.safetensors", "parameters", "momentum"],
    ["inner.safetensors", "first", "second"],
  ] as const) {
    const read = [...targets(second), ...targets(first)];
    await readCheckpoint(checkpoint, part, read);
    assert.equal(read, [...tensors(second, round), ...tensors(first, round)]);
  }
  return round;
}

test("what is saved is loaded, and only the newest stay", async () => {
  const folder = freshFolder();
  for (const round of [1, 2, 3, 12]) {
    const saved = await saveCheckpoint(folder, contents(round), { keep: 2 });
    assert.is(saved.folder, join(folder, `round-${String(round).padStart(6, "0")}`));
    assert.is(await loadedRound(await loadCheckpoints(folder)), round);
  }
  assert.equal(readdirSync(folder), ["round-000003", "round-000012"]);
  assert.is(await loadedRound(await loadCheckpoints(join(folder, "round-000003"))), 3);
  assert.is(await loadedRound(await loadCheckpoints(folder, { round: 3 })), 3);
  assert.match(
    (await failure(loadCheckpoints(folder, { round: 4 }))).message,
    /no intact checkpoint of round 4/,
  );
});

test("after a return to an earlier round, what is saved then is the newest", async () => {
  const folder = freshFolder();
  for (const round of [5, 10, 15]) await saveCheckpoint(folder, contents(round), { keep: 3 });
  await saveCheckpoint(folder, contents(6), { keep: 3 });
  assert.is(await loadedRound(await loadCheckpoints(folder)), 6);
  assert.equal(readdirSync(folder), ["round-000006", "round-000010", "round-000015"]);
});

test("a run's folder gives the newest of every peer, in the order of their names", async () => {
  const run = freshFolder();
  for (const [name, round] of [
    ["b", 4],
    ["a", 5],
    ["c", 6],
  ] as const)
    await saveCheckpoint(join(run, "peers", name, "checkpoints"), contents(round, name), { keep: 1 });
  mkdirSync(join(run, "peers", "d"));
  const rounds = async (path: string) =>
    (await loadCheckpoints(path)).checkpoints.map(({ manifest }) => [manifest.peerId, manifest.round]);
  assert.equal(await rounds(run), [
    ["a", 5],
    ["b", 4],
    ["c", 6],
  ]);
  assert.equal(await rounds(join(run, "peers", "c")), [["c", 6]]);
  writeFileSync(join(run, "peers", "b", "checkpoints", "round-000004", "manifest.json"), "{}");
  const search = await loadCheckpoints(run);
  assert.equal(
    search.checkpoints.map(({ manifest }) => manifest.peerId),
    ["a", "c"],
  );
  assert.match(
    search.warnings.join(),
    /skipped the torn checkpoint .*peers\/b\/.*not the manifest of a gradmesh/,
  );
});

test("a path without a checkpoint is named with what belongs there", async () => {
  for (const path of [join(base, "absent"), base]) {
    const error = await failure(loadCheckpoints(path));
    assert.is(error.code, "ERR_CHECKPOINT");
    assert.match(error.message, /no checkpoint is there; give a round's folder/);
  }
});

const files = ["outer.safetensors", "inner.safetensors", "manifest.json"] as const;

/** Every kind of damage: what it does to a file, and whether the file must be given up. */
const damages: Record<string, (path: string, size: number) => void> = {
  truncated: (path, size) => truncateSync(path, random(size)),
  emptied: (path) => truncateSync(path, 0),
  missing: (path) => rmSync(path),
  "with a flipped bit": (path, size) => {
    const bytes = readFileSync(path);
    const place = random(size);
    bytes[place] = bytes[place]! ^ (1 << random(8));
    writeFileSync(path, bytes);
  },
  "with bytes appended": (path) =>
    writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from("\n")])),
  "of another round": (path) => cpSync(path.replace("000007", "000006"), path),
};

for (const [damage, inflict] of Object.entries(damages)) {
  test(`a file ${damage}: the previous round loads, with a warning that names the file`, async () => {
    const folder = freshFolder();
    const times = damage === "truncated" || damage === "with a flipped bit" ? 12 : 1;
    for (const file of files) {
      for (let time = 0; time < times; time++) {
        rmSync(folder, { recursive: true, force: true });
        for (const round of [6, 7]) await saveCheckpoint(folder, contents(round), { keep: 2 });
        const path = join(folder, "round-000007", file);
        inflict(path, readFileSync(path).length);
        const search = await loadCheckpoints(folder);
        // A whole manifest of round 6 in the folder of round 7 disagrees with round 7's files.
        assert.is(await loadedRound(search), 6, `${file} ${damage}`);
        assert.is(search.warnings.length, 1);
        const expected = damage === "of another round" ? "round-000007/" : `round-000007/${file}: `;
        assert.ok(search.warnings[0]!.includes(expected), search.warnings[0]);
        const error = await failure(loadCheckpoints(join(folder, "round-000007")));
        assert.is(error.code, "ERR_CHECKPOINT");
      }
    }
  });
}

test("when every round is torn, all are named; the next save starts anew without deleting them first", async () => {
  const folder = freshFolder();
  for (const round of [6, 7]) await saveCheckpoint(folder, contents(round), { keep: 2 });
  truncateSync(join(folder, "round-000007", "inner.safetensors"), 100);
  truncateSync(join(folder, "round-000006", "manifest.json"), 100);
  const error = await failure(loadCheckpoints(folder));
  assert.match(
    error.message,
    /no intact checkpoint is there\n.*round-000006\/manifest.json.*\n.*round-000007\/inner/,
  );
  await saveCheckpoint(folder, contents(8), { keep: 2 });
  assert.is(await loadedRound(await loadCheckpoints(folder)), 8);
});

test("an extra file does no harm and is named", async () => {
  const folder = freshFolder();
  await saveCheckpoint(folder, contents(3), { keep: 2 });
  writeFileSync(join(folder, "round-000003", "notes.txt"), "mine");
  const search = await loadCheckpoints(folder);
  assert.is(await loadedRound(search), 3);
  assert.match(search.warnings.join(), /ignored files that are not of the checkpoint: notes.txt/);
});

test("a round that had stepped aside for its own replacement is still found, and goes once it is not needed", async () => {
  const folder = freshFolder();
  for (const round of [3, 4]) await saveCheckpoint(folder, contents(round), { keep: 2 });
  renameSync(join(folder, "round-000004"), join(folder, "round-000004.old"));
  assert.is(await loadedRound(await loadCheckpoints(folder)), 4);
  await saveCheckpoint(folder, contents(4), { keep: 1 });
  assert.equal(readdirSync(folder), ["round-000004"]);
  assert.is(await loadedRound(await loadCheckpoints(folder)), 4);
});

test("an impossible state is refused by name and leaves nothing", async () => {
  const folder = freshFolder();
  const wrong = { ...contents(1), state: { ...state(1), stateDigest: "short" } };
  const error = await failure(saveCheckpoint(folder, wrong, { keep: 2 }));
  assert.is(error.code, "ERR_INVALID_ARGUMENT");
  assert.match(error.message, /stateDigest/);
  assert.equal(readdirSync(folder), []);
  assert.match((await failure(saveCheckpoint(folder, contents(1), { keep: 0 }))).message, /keep is 0/);
});

test("an aborted save leaves the older checkpoint and nothing else", async () => {
  const folder = freshFolder();
  await saveCheckpoint(folder, contents(1), { keep: 2 });
  const controller = new AbortController();
  const saving = saveCheckpoint(folder, contents(2), { keep: 2, signal: controller.signal });
  controller.abort(new GradmeshError("ERR_ABORTED", "enough"));
  assert.is((await failure(saving)).message, "enough");
  assert.equal(readdirSync(folder), ["round-000001"]);
});

test("a full disk: ERR_IO, and the older checkpoint still loads", async () => {
  const disk = freshFolder();
  mkdirSync(disk);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], { stdio: "pipe" });
  } catch {
    console.log("skipped: a full disk needs the right to mount a tmpfs");
    return;
  }
  try {
    const folder = join(disk, "checkpoints");
    await saveCheckpoint(folder, contents(1), { keep: 2 });
    writeFileSync(join(disk, "ballast"), Buffer.alloc((1 << 20) - 32_768 - 4096));
    const large = {
      ...contents(2),
      inner: [{ name: "big", shape: [1 << 18], data: new Float32Array(1 << 18) }],
    };
    const error = await failure(saveCheckpoint(folder, large, { keep: 1 }));
    assert.is(error.code, "ERR_IO");
    assert.match(error.message, /round-000002: the disk is full/);
    assert.equal(readdirSync(folder), ["round-000001"]);
    assert.is(await loadedRound(await loadCheckpoints(folder)), 1);
  } finally {
    execFileSync("umount", [disk]);
  }
});

test("inspect tells what is there, intact or not", async () => {
  const folder = freshFolder();
  for (const round of [1, 2]) await saveCheckpoint(folder, contents(round), { keep: 2 });
  const path = join(folder, "round-000002", "inner.safetensors");
  const bytes = readFileSync(path);
  bytes.writeFloatLE(Number.NaN, bytes.length - 4);
  writeFileSync(path, bytes);
  const [second, first] = await inspectCheckpoints(folder);
  assert.is(first!.intact, true);
  assert.is(first!.manifest!.round, 1);
  const table = first!.files[0]!.tensors.find(({ name }) => name === "parameters/embedding/table");
  assert.equal(table, {
    name: "parameters/embedding/table",
    type: "F32",
    shape: [7, 4],
    elements: 28,
    bytes: 112,
    minimum: 1000,
    maximum: 1000 + 27 / 8,
    nonFinite: 0,
  });
  assert.is(second!.intact, false);
  assert.match(second!.problems.join(), /inner.safetensors: its bytes were changed/);
  assert.is(second!.files[1]!.tensors.at(-1)!.nonFinite, 1);
  truncateSync(join(folder, "round-000001", "manifest.json"), 10);
  const torn = (await inspectCheckpoints(join(folder, "round-000001")))[0]!;
  assert.is(torn.intact, false);
  assert.match(torn.problems.join(), /not valid JSON/);
});

test("a checkpoint of another format is refused with the format and what to do, not as damaged", async () => {
  const folder = freshFolder();
  await saveCheckpoint(folder, contents(1), { keep: 1 });
  const path = join(folder, "round-000001", "manifest.json");
  const text = readFileSync(path, "utf8");
  for (const [version, cure] of [
    [1, /checkpoint format 1, and .* reads format 2; resume it with the older release that wrote it/],
    [3, /checkpoint format 3, and .* reads format 2; resume it with the release that wrote it/],
  ] as const) {
    writeFileSync(path, text.replace('"version": 2', `"version": ${version}`));
    const error = await failure(loadCheckpoints(folder));
    assert.is(error.code, "ERR_CHECKPOINT");
    assert.match(error.message, cure);
  }
});

/** Whether the folder shows a save at a stage: so many files written (0 to 3), or (4) a round stepped aside. */
function isAtStage(folder: string, stage: number): boolean {
  const names = readdirSync(folder);
  if (stage === 4) return names.some((name) => name.endsWith(".old"));
  const temporary = names.find(isTemporaryName);
  try {
    return temporary !== undefined && readdirSync(join(folder, temporary)).length >= stage;
  } catch {
    return false; // It was renamed meanwhile.
  }
}

/** Lets a process save in a loop, and kills it with SIGKILL when a save is seen at the stage. Returns the last told. */
async function killAtStage(folder: string, first: number, stage: number): Promise<number> {
  const script = fileURLToPath(new URL("./save-loop.js", import.meta.url));
  const child = spawn(process.execPath, [script, folder, String(first)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise((resolve) => child.on("exit", resolve));
  let last = 0;
  const told = (async () => {
    for await (const line of createInterface({ input: child.stdout })) last = Number(line);
  })();
  try {
    while (last < first + 1 || !isAtStage(folder, stage)) {
      assert.is(child.exitCode, null, "the saving process ended by itself");
      assert.ok(last < first + 300, `stage ${stage} was not seen in 300 saves`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    child.kill("SIGKILL");
  }
  await exited;
  await told;
  return last;
}

test("SIGKILL in the middle of saving, 30 times: the newest or the previous checkpoint is intact", async () => {
  const folder = freshFolder();
  let next = 1;
  let caught = 0;
  for (let time = 0; time < 30; time++) {
    const last = await killAtStage(folder, next, time % 5);
    if (readdirSync(folder).some((name) => isTemporaryName(name) || name.endsWith(".old"))) caught += 1;
    const search = await loadCheckpoints(folder);
    assert.equal(search.warnings, [], "nothing that bears a round's name is torn");
    const round = await loadedRound(search);
    assert.ok(round === last || round === last + 1, `round ${round} after ${last} was told`);
    next = round + 1;
  }
  console.log(`${caught} of 30 kills came in the middle of a save`);
  assert.ok(caught > 0, "no kill came in the middle of a save: the test tested nothing");
});

test.run();
