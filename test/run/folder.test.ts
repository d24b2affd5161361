/** A peer's folder: one peer at a time, also across processes, and what it remembers. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { PeerFolder } from "../../lib/run/folder.js";

const base = await mkdtemp(join(tmpdir(), "gradmesh-folder-"));
test.after(() => rm(base, { recursive: true, force: true }));

async function newFolder(name: string): Promise<string> {
  const path = join(base, name);
  await new PeerFolder(path).prepare();
  return path;
}

const taken = (error: unknown) =>
  (error as GradmeshError).code === "ERR_CONFIG" && /another peer uses the folder/.test(String(error));

test("a folder has one peer at a time in a process, and another once it is released", async () => {
  const path = await newFolder("one");
  const [first, second] = [new PeerFolder(path), new PeerFolder(path)];
  first.claim();
  assert.throws(() => second.claim(), taken);
  first.release();
  second.claim();
  second.release();
});

test("another process holds it until it ends, also by SIGKILL", async () => {
  const path = await newFolder("two");
  const module = new URL("../../lib/run/folder.js", import.meta.url).href;
  const code = `import { PeerFolder } from ${JSON.stringify(module)};
    new PeerFolder(${JSON.stringify(path)}).claim(); console.log("held"); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", code]);
  await once(holder.stdout, "data");
  assert.throws(() => new PeerFolder(path).claim(), taken);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  const heir = new PeerFolder(path);
  heir.claim();
  heir.release();
});

test("it remembers its last run, and says so when that is torn", async () => {
  const folder = new PeerFolder(await newFolder("three"));
  assert.is(await folder.last(), null);
  const last = { runId: "run", controlPort: 4001, leads: true, over: false };
  await folder.remember(last);
  assert.equal(await folder.last(), last);
  await writeFile(join(folder.path, "peer.json"), '{"runId":');
  await folder.last().then(
    () => assert.unreachable(),
    (error: GradmeshError) => {
      assert.is(error.code, "ERR_CONFIG");
      assert.match(error.message, /peer\.json is torn; delete it/);
    },
  );
});

test.run();
