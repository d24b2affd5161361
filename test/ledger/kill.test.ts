/** Killed while it appends, over and over: every acknowledged record is there, and the ledger goes on where it was. */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { uniform } from "../../lib/base/random.js";
import { audit } from "../../lib/ledger/audit.js";
import type { Head } from "../../lib/ledger/head.js";
import { openStore } from "../../lib/ledger/store.js";
import { loadIdentity } from "../../lib/peer/identity.js";
import { tinyRules } from "./tiny-rules.js";

const kills = Number(process.env.GRADMESH_KILLS ?? 15);
const seed = Number(process.env.GRADMESH_SEED ?? randomInt(2 ** 31 - 1));
process.stdout.write(`seed ${seed}, ${kills} kills\n`);

const folder = mkdtempSync(join(tmpdir(), "gradmesh-kill-"));
const path = join(folder, "ledger.db");
const key = join(folder, "key");
const program = fileURLToPath(new URL("./append-child.js", import.meta.url));

type Known = Pick<Head, "count" | "hash"> | null;

/**
 * Starts a child, kills it a moment after so many acknowledgements (or, below zero, wherever it is in starting), and gives
 * the last one that was heard.
 */
async function killAfter(acknowledgements: number, momentMs: number): Promise<Known> {
  const child = spawn(process.execPath, [program, path, key], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  if (acknowledgements < 0) setTimeout(() => child.kill("SIGKILL"), 10 * momentMs);
  let last: Known = null;
  let heard = 0;
  for await (const line of createInterface(child.stdout)) {
    const [seq, count, hash] = line.split(" ");
    if (seq !== "open" && hash?.length === 64) last = { count: Number(count), hash };
    if (heard++ === acknowledgements) setTimeout(() => child.kill("SIGKILL"), momentMs);
  }
  const [, signal] = await ended;
  assert.is(signal, "SIGKILL", "the child ended by itself");
  return last;
}

test("threat 23, a crash while appending: what was acknowledged survives, and the chain holds", async () => {
  // Both keys are there before two processes could make them.
  await Promise.all([loadIdentity(key), loadIdentity(`${key}-author`)]);
  let count = 0;
  for (let kill = 0; kill < kills; kill++) {
    const acknowledged = await killAfter(
      Math.floor(uniform(seed, 1, kill) * 5) - 1,
      uniform(seed, 2, kill) * 12,
    );
    if (!existsSync(path)) continue;
    const store = openStore(path, { readOnly: true });
    const known = acknowledged === null ? {} : { known: acknowledged };
    const report = await audit(store, { rules: tinyRules, threads: 0, ...known });
    store.close();
    assert.is(report.fault, null, `kill ${kill}: ${report.fault?.reason}`);
    assert.ok(report.count >= (acknowledged?.count ?? 0) && report.count >= count, `kill ${kill}`);
    assert.is(report.head?.count, report.count);
    count = report.count;
  }
  assert.ok(count > kills, `${count} records`);
  process.stdout.write(`${count} records\n`);
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
