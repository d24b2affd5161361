/** The journal: durable, append-only, and never silently wrong. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { createJournal, openJournal } from "../../lib/group/journal.js";
import { type Fact, replay } from "../../lib/group/record.js";
import { charterOf, started } from "./machine.js";

const test = suite<{ folder: string; path: string }>("journal");
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), "gradmesh-journal-"));
  context.path = join(context.folder, "journal.sqlite");
});
test.after.each((context) => rmSync(context.folder, { recursive: true, force: true }));

const charter = charterOf();

/** Facts of a run of 20 rounds in which a peer is lost and comes back. */
function history(): Fact[] {
  const machine = started(["A", "B", "C"]);
  for (let round = 0; round < 20; round += 1) {
    if (round === 7) machine.close("B");
    if (round === 9) machine.hello("B");
    machine.round();
  }
  return machine.facts;
}

function codeOf(work: () => unknown): { code: string; message: string } {
  try {
    work();
  } catch (error) {
    assert.instance(error, GradmeshError);
    return error as GradmeshError;
  }
  return { code: "none", message: "" };
}

test("what was appended is there after opening again, to the bit", ({ path }) => {
  const facts = history();
  const journal = createJournal(path, charter, "secret");
  for (const [at, fact] of facts.entries()) {
    journal.append([fact], at);
    assert.equal(journal.record, replay(charter, facts.slice(0, at + 1)));
  }
  journal.close();
  const again = openJournal(path);
  assert.equal(again.charter, charter);
  assert.is(again.secret, "secret");
  assert.equal(again.facts(), facts);
  assert.equal(again.record, replay(charter, facts));
  again.close();
});

test("the file and its log are readable by their owner alone", ({ path }) => {
  const journal = createJournal(path, charter, "secret");
  journal.append(history().slice(0, 5), 0);
  for (const file of [path, `${path}-wal`]) assert.is(statSync(file).mode & 0o777, 0o600);
  journal.close();
});

test("several facts are appended all or none; contradictions are refused", ({ path }) => {
  const journal = createJournal(path, charter, "secret");
  const facts = history();
  journal.append(facts.slice(0, 6), 0);
  const before = journal.record;
  const twice: Fact[] = [facts[6]!, { type: "state", round: 99, stateDigest: "x" }];
  assert.is(codeOf(() => journal.append(twice, 0)).code, "ERR_INTERNAL");
  assert.is(journal.record, before);
  assert.is(journal.facts().length, 6);
  journal.append(facts.slice(6), 0);
  journal.close();
  assert.is(codeOf(() => journal.append([{ type: "ended", reason: "", code: null }], 0)).code, "ERR_IO");
});

test("an existing file is not overwritten", ({ path }) => {
  createJournal(path, charter, "secret").close();
  const error = codeOf(() => createJournal(path, charter, "other"));
  assert.is(error.code, "ERR_CONFIG");
  assert.match(error.message, path);
  const opened = openJournal(path);
  assert.is(opened.secret, "secret");
  opened.close();
});

test("an impossible charter is refused with its field", ({ path }) => {
  const error = codeOf(() => createJournal(path, charterOf({ rounds: 0 }), "secret"));
  assert.is(error.code, "ERR_INVALID_ARGUMENT");
  assert.match(error.message, "settings.rounds");
  assert.not.ok(existsSync(path));
});

test("a second coordinator cannot open it", async ({ path }) => {
  const journal = createJournal(path, charter, "secret");
  const module = fileURLToPath(new URL("../../lib/group/journal.js", import.meta.url));
  const script = `import(${JSON.stringify(module)}).then(({ openJournal }) => openJournal(${JSON.stringify(path)}))
    .catch((error) => console.log(error.code, error.message))`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
  let output = "";
  child.stdout.on("data", (text) => {
    output += text;
  });
  await once(child, "close");
  assert.match(output, /^ERR_IO another coordinator has the journal/);
  journal.close();
});

test("absent, empty, foreign and tampered files are refused, and foreign ones left as they are", ({
  folder,
  path,
}) => {
  assert.match(codeOf(() => openJournal(path)).message, "there is no journal");
  for (const content of ["", "hello", "x".repeat(5000)]) {
    writeFileSync(path, content);
    assert.is(codeOf(() => openJournal(path)).code, "ERR_CHECKPOINT");
    assert.is(readFileSync(path, "utf8"), content);
  }
  const foreign = join(folder, "foreign.sqlite");
  const database = new DatabaseSync(foreign);
  database.exec("CREATE TABLE precious (x); INSERT INTO precious VALUES (1)");
  database.close();
  const before = readFileSync(foreign);
  assert.match(codeOf(() => openJournal(foreign)).message, "it is not a gradmesh journal");
  assert.equal(readFileSync(foreign), before);

  for (const change of [
    "DELETE FROM fact WHERE sequence = 3",
    'UPDATE fact SET body = \'{"type":"nonsense"}\' WHERE sequence = 3',
    "UPDATE fact SET body = replace(body, '\"epoch\":2', '\"epoch\":1')",
    "UPDATE run SET charter = '{'",
    "DELETE FROM run",
    "PRAGMA user_version = 99",
  ]) {
    rmSync(path, { force: true });
    const journal = createJournal(path, charter, "secret");
    journal.append(history(), 0);
    journal.close();
    const tampered = new DatabaseSync(path);
    tampered.exec(change);
    tampered.close();
    const error = codeOf(() => openJournal(path));
    assert.is(error.code, "ERR_CHECKPOINT", change);
    assert.match(error.message, path);
  }
});

const seed = Number(process.env.GRADMESH_SEED ?? Date.now() % 2 ** 31);

test(`a torn file is refused or gives an earlier record (GRADMESH_SEED=${seed})`, ({ folder, path }) => {
  const facts = history();
  const journal = createJournal(path, charter, "secret");
  for (const fact of facts) journal.append([fact], 0);
  // Copied while open: the file and the log as a power cut would leave them.
  const files = ["", "-wal"].filter((suffix) => existsSync(path + suffix));
  const outcomes = { refused: 0, earlier: 0, whole: 0 };
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.double({ min: 0, max: 1, noNaN: true }), (torn, share) => {
      const copy = join(folder, "torn.sqlite");
      for (const suffix of ["", "-wal", "-shm"]) rmSync(copy + suffix, { force: true });
      for (const suffix of files) copyFileSync(path + suffix, copy + suffix);
      truncateSync(copy + torn, Math.floor(share * statSync(copy + torn).size));
      let found: Fact[] | undefined;
      const error = codeOf(() => {
        const opened = openJournal(copy);
        found = opened.facts();
        assert.equal(opened.record, replay(charter, found));
        opened.close();
      });
      if (found === undefined) {
        assert.is(error.code, "ERR_CHECKPOINT");
        outcomes.refused += 1;
        return;
      }
      assert.equal(found, facts.slice(0, found.length));
      outcomes[found.length < facts.length ? "earlier" : "whole"] += 1;
    }),
    { numRuns: 80, seed },
  );
  journal.close();
  assert.ok(outcomes.refused > 0 && outcomes.earlier > 0, JSON.stringify(outcomes));
});

test("a killed process loses nothing that was appended", async ({ path }) => {
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const script = `
    const { createJournal } = await import(${url("../../lib/group/journal.js")});
    const { charterOf } = await import(${url("./machine.js")});
    const journal = createJournal(${JSON.stringify(path)}, charterOf(), "secret");
    for (let epoch = 1; ; epoch += 1) {
      journal.append([{ type: "view", epoch, round: 0, members: ["A"] }], epoch);
      process.stdout.write(epoch + "\\n");
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.on("data", (text) => {
    output += text;
    if (output.length > 500) child.kill("SIGKILL");
  });
  await once(child, "close");
  const told = Number(output.split("\n").at(-2));
  const journal = openJournal(path);
  assert.ok(told > 50);
  assert.ok(journal.record.epoch >= told, `${journal.record.epoch} facts of ${told}`);
  journal.close();
});

test.run();
