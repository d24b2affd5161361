/** Atomic files and folders: the new content or the old, and errors that name the path and the cure. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  isTemporaryName,
  removeTemporaries,
  replacedPath,
  writeFileAtomic,
  writeFileDurable,
  writeFolderAtomic,
} from "../../lib/base/atomic-file.js";
import { failure } from "../failure.js";

const folder = mkdtempSync(join(tmpdir(), "gradmesh-atomic-"));
test.after(() => rmSync(folder, { recursive: true, force: true }));

test("a file is written, replaced, and given its mode", async () => {
  const path = join(folder, "key");
  await writeFileAtomic(path, "one", { mode: 0o600 });
  assert.is(readFileSync(path, "utf8"), "one");
  assert.is(statSync(path).mode & 0o777, 0o600);
  await writeFileAtomic(path, [new Uint8Array([1, 2]), new Uint8Array([3])]);
  assert.equal([...readFileSync(path)], [1, 2, 3]);
  await writeFileAtomic(path, new Uint8Array(0));
  assert.is(statSync(path).size, 0);
  assert.equal(readdirSync(folder), ["key"], "nothing temporary stays");
});

test("a content that fails in the middle leaves the old file and nothing else", async () => {
  const path = join(folder, "journal");
  await writeFileAtomic(path, "old");
  async function* content() {
    yield new Uint8Array(1000);
    throw new Error("the source broke");
  }
  const error = await failure(writeFileAtomic(path, content()));
  assert.match(error.message, /journal: the source broke/);
  assert.is(readFileSync(path, "utf8"), "old");
  assert.not(readdirSync(folder).some(isTemporaryName));
});

test("an absent folder, a folder in the place of the file, and a file in the place of a folder are named", async () => {
  const absent = await failure(writeFileAtomic(join(folder, "nowhere", "file"), "x"));
  assert.is(absent.code, "ERR_IO");
  assert.match(
    absent.message,
    /nowhere\/file: the folder that should hold it does not exist: create it first \(ENOENT\)/,
  );
  mkdirSync(join(folder, "taken"));
  assert.match((await failure(writeFileAtomic(join(folder, "taken"), "x"))).message, /EISDIR/);
  const below = await failure(writeFolderAtomic(join(folder, "key", "below"), async () => undefined));
  assert.match(below.message, /ENOTDIR/);
});

test("a folder is written whole, replaced whole, and kept when the new one fails", async () => {
  const path = join(folder, "round");
  const fill = (text: string) => (temporary: string) => writeFileDurable(join(temporary, "data"), text);
  await writeFolderAtomic(path, fill("one"));
  assert.is(readFileSync(join(path, "data"), "utf8"), "one");
  await writeFolderAtomic(path, fill("two"));
  assert.is(readFileSync(join(path, "data"), "utf8"), "two");
  const broken = writeFolderAtomic(path, async (temporary) => {
    await fill("three")(temporary);
    throw new Error("no more");
  });
  await failure(broken);
  assert.is(readFileSync(join(path, "data"), "utf8"), "two");
  assert.not(existsSync(replacedPath(path)));
  assert.not(readdirSync(folder).some(isTemporaryName));
});

test("only temporaries are removed", async () => {
  const path = join(folder, "mixed");
  mkdirSync(join(path, ".round-000001.tmp-0123456789ab"), { recursive: true });
  writeFileSync(join(path, ".round-000001.tmp-0123456789ab", "data"), "half");
  for (const name of ["round-000001", ".hidden", ".a.tmp-xyz", "b.tmp-0123456789ab"])
    writeFileSync(join(path, name), "");
  await removeTemporaries(path);
  assert.equal(readdirSync(path).sort(), [".a.tmp-xyz", ".hidden", "b.tmp-0123456789ab", "round-000001"]);
});

test("a full disk is ERR_IO with the path and the cure, and the old content stays", async () => {
  const disk = join(folder, "disk");
  mkdirSync(disk);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], { stdio: "pipe" });
  } catch (error) {
    console.log(
      `skipped: a full disk needs the right to mount a tmpfs (${(error as Error).message.split("\n")[1]})`,
    );
    return;
  }
  try {
    const path = join(disk, "state");
    await writeFileAtomic(path, "old");
    const error = await failure(writeFileAtomic(path, new Uint8Array(2 << 20)));
    assert.is(error.code, "ERR_IO");
    assert.match(error.message, /disk\/state: the disk is full: free some space.* \(ENOSPC\)/);
    assert.is(readFileSync(path, "utf8"), "old");
    assert.equal(readdirSync(disk), ["state"]);
    await writeFileAtomic(path, "new");
    assert.is(readFileSync(path, "utf8"), "new");
  } finally {
    execFileSync("umount", [disk]);
  }
});

test.run();
