/** The key file: its mode, what it refuses, and that it never changes under a peer. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { generateIdentity, loadIdentity } from "../../lib/peer/identity.js";

const test = suite<{ folder: string; path: string }>("identity");
test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), "gradmesh-identity-"));
  context.path = join(context.folder, "peer.key");
});
test.after.each((context) => rm(context.folder, { recursive: true }));

async function refusal(path: string): Promise<GradmeshError> {
  try {
    await loadIdentity(path);
  } catch (error) {
    assert.instance(error, GradmeshError);
    return error as GradmeshError;
  }
  assert.unreachable("the key file was accepted");
  throw new Error("unreachable");
}

test("a new key has mode 0600 and is the same peer ever after", async ({ folder, path }) => {
  const first = await loadIdentity(path);
  assert.match(first.peerId, /^12D3KooW/);
  assert.is((await stat(path)).mode & 0o777, 0o600);
  assert.is((await loadIdentity(path)).peerId, first.peerId);
  assert.equal(await readdir(folder), ["peer.key"], "nothing temporary is left");
  assert.is.not(generateIdentity().peerId, first.peerId);
});

test("folders on the way are made for the owner alone", async ({ folder }) => {
  const path = join(folder, "a", "b", "peer.key");
  await loadIdentity(path);
  assert.is((await stat(join(folder, "a", "b"))).mode & 0o777, 0o700);
});

test("starts at nearly the same moment agree on one key", async ({ folder }) => {
  for (let round = 0; round < 40; round += 1) {
    const path = join(folder, `${round}.key`);
    const starts: Promise<{ peerId: string }>[] = [];
    for (let start = 0; start < 6; start += 1) {
      starts.push(loadIdentity(path));
      for (let turn = 0; turn < round % 8; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
    const ids = new Set((await Promise.all(starts)).map(({ peerId }) => peerId));
    assert.equal([...ids], [(await loadIdentity(path)).peerId]);
  }
  assert.is((await readdir(folder)).length, 40, "nothing temporary is left");
});

test("a file that others may read or write is refused, and left as it is", async ({ path }) => {
  await loadIdentity(path);
  const before = await readFile(path, "utf8");
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777]) {
    await chmod(path, mode);
    const error = await refusal(path);
    assert.is(error.code, "ERR_CONFIG");
    assert.ok(error.message.includes(`0${mode.toString(8)}`) && error.message.includes(`chmod 600 ${path}`));
  }
  await chmod(path, 0o600);
  assert.is(await readFile(path, "utf8"), before);
});

test("a torn key is refused at every length, and left as it is", async ({ path }) => {
  await loadIdentity(path);
  const whole = await readFile(path, "utf8");
  const essential = whole.trimEnd().length;
  for (let length = essential - 1; length >= 0; length -= 1) {
    await truncate(path, length);
    const error = await refusal(path);
    assert.is(error.code, "ERR_CONFIG");
    assert.match(error.message, /torn/);
  }
  assert.is((await stat(path)).size, 0);
});

test("other contents are refused with the reason", async ({ folder, path }) => {
  await writeFile(path, "x".repeat(5000), { mode: 0o600 });
  assert.match((await refusal(path)).message, /5000 bytes and is no key/);
  await rm(path);
  const { generateKeyPairSync } = await import("node:crypto");
  const pem = generateKeyPairSync("x25519").privateKey.export({ format: "pem", type: "pkcs8" });
  await writeFile(path, pem, { mode: 0o600 });
  assert.match((await refusal(path)).message, /does not hold an Ed25519 key/);
  const directory = join(folder, "directory");
  await mkdir(directory);
  assert.match((await refusal(directory)).message, /is not a file/);
});

test.run();
