/** gradmesh ledger: shows, audits, says who has what, exports; and errors that name file, record and cure. */
import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ledgerCommand } from "../../lib/cli/commands/ledger.js";
import type { LedgerEvent } from "../../lib/ledger/events.js";
import { Sequencer } from "../../lib/ledger/ledger.js";
import { runRules } from "../../lib/ledger/rules/apply.js";
import { peerIdOfAccount, signEvent } from "../../lib/ledger/sign.js";
import { genesis, newSigner } from "../ledger/tiny-rules.js";
import { runCommand } from "./run-command.js";

const folder = mkdtempSync(join(tmpdir(), "gradmesh-cli-"));
const path = join(folder, "ledger.db");
const signer = newSigner();
const alice = newSigner();

const registered: LedgerEvent = {
  kind: "Registered",
  capabilities: 2,
  commission: 0,
  entry: "00".repeat(32),
  name: "alice's machine",
};

let time = 1_700_000_000_000;
const clock = { wall: () => time++ };
const ledger = Sequencer.open({ path, signer, clock, rules: runRules, genesis, threads: 0 });
await ledger.append({ kind: "Deposited", account: alice.account, amount: 10n ** 18n });
await ledger.submit(signEvent(alice, ledger.ledgerId, 1n, registered));
const receipt = await ledger.submit(signEvent(alice, ledger.ledgerId, 2n, { kind: "Bonded", amount: 400n }));
for (let nonce = 3n; nonce < 20n; nonce++)
  await ledger.submit(signEvent(alice, ledger.ledgerId, nonce, { kind: "Bonded", amount: 1n }));
const { count, head, ledgerId } = ledger;
await ledger.close();

const run = (...args: string[]) => runCommand(ledgerCommand(), ...args);

test("show prints records in their order, whole as JSON", async () => {
  const { text } = await run("show", path, "--from", "2", "--limit", "2");
  const lines = text.trimEnd().split("\n");
  assert.is(lines.length, 2);
  assert.match(
    lines[0]!,
    /^ +2 {2}2023-11-14T22:13:20\.\d{3}Z {2}[0-9a-f]{12}… {2}Registered: capabilities 2/,
  );
  assert.match(lines[0]!, /name "alice's machine"/);
  assert.match(lines[1]!, /Bonded: amount 400/);
  const json = JSON.parse((await run("show", path, "--from", "1", "--limit", "1", "--json")).text);
  assert.equal(
    [json.seq, json.kind, json.body.amount, json.author],
    [1, "Deposited", "1000000000000000000", signer.account],
  );
  assert.is((await run("show", path, "--from", "99")).text, "");
  assert.match((await run("show", path, "--limit", "none")).error, /a whole number from 1/);
});

test("a reader that goes before the end ends the command, without a word", async () => {
  const main = fileURLToPath(new URL("../../lib/cli/main.js", import.meta.url));
  // head -n 0 is gone before the first record is written; head -n 1 may come too late to be missed.
  const line = '{ "$0" "$1" ledger show "$2"; echo "ended with $?" >&2; } | head -n 0';
  const { stderr } = await promisify(execFile)("sh", ["-c", line, process.execPath, main, path]);
  assert.is(stderr, "ended with 141\n");
});

test("verify as JSON has all that its lines have, also of a ledger that does not hold", async () => {
  const report = JSON.parse((await run("verify", path, "--json")).text);
  assert.equal(
    [report.count, report.hash, report.ledgerId, report.sequencer, report.fault],
    [count, head.hash, ledgerId, signer.account, null],
  );
  assert.match(report.stateDigest, /^[0-9a-f]{64}$/);
  const { text, error } = await run("verify", path, "--json", "--id", "00".repeat(32));
  const { fault, stateDigest } = JSON.parse(text);
  assert.equal([fault.seq, stateDigest], [0, null]);
  assert.match(error, fault.reason);
});

test("verify says that all holds, and checks what is known from elsewhere", async () => {
  const { text, error } = await run("verify", path);
  assert.is(error, "");
  assert.match(text, `all ${count} records hold`);
  assert.match(text, `head       ${count}:${head.hash}`);
  assert.match(text, /deposited 1000000000000000000, free 999999999999999583, bonded 417/);
  assert.is(
    (await run("verify", path, "--id", ledgerId, "--head", `${receipt.head.count}:${receipt.head.hash}`))
      .error,
    "",
  );
  assert.match(
    (await run("verify", path, "--id", "00".repeat(32))).error,
    /record 0 of .* does not hold: this is the ledger/,
  );
  assert.match(
    (await run("verify", path, "--head", `${count + 1}:${head.hash}`)).error,
    /record 21 is missing/,
  );
  assert.match((await run("verify", path, "--head", "5")).error, /COUNT:HASH is allowed/);
});

test("balance says who has what", async () => {
  const { text } = await run("balance", path);
  assert.match(text, `${alice.account}  ${peerIdOfAccount(alice.account)}  "alice's machine"`);
  assert.match(text, /in all: deposited 1000000000000000000/);
  const one = JSON.parse((await run("balance", path, peerIdOfAccount(alice.account), "--json")).text);
  assert.is(one[alice.account].bonded, "417");
  assert.equal((await run("balance", path, alice.account)).text.split("\n").length, 3);
  assert.match((await run("balance", path, "11".repeat(32))).error, /has no account 1111/);
  assert.match((await run("balance", path, "alice")).error, /"alice" is no peer id/);
});

test("an export can be read, and audited like the ledger", async () => {
  const [lines, frames] = [join(folder, "records.jsonl"), join(folder, "records.bin")];
  assert.match((await run("export", path, "--out", lines)).text, /records\.jsonl: [\d.]+ kB/);
  const rows = readFileSync(lines, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.is(rows.length, count);
  assert.ok(
    rows.every(
      ({ seq, previous }, index) => seq === index && (index === 0 || previous === rows[index - 1].hash),
    ),
  );
  await run("export", path, "--out", frames);
  assert.match((await run("verify", frames)).text, `all ${count} records hold`);
  assert.match(
    (await run("export", path, "--out", frames)).error,
    /there is a file .* already; choose another name/,
  );
  assert.match((await run("export", path, "--out", "records.csv")).error, /ends in \.jsonl or \.bin/);
  const bytes = readFileSync(frames);
  const cut = join(folder, "cut.bin");
  writeFileSync(cut, bytes.subarray(0, bytes.length - 5));
  assert.match((await run("verify", cut)).error, /cut\.bin is cut short or damaged at byte \d+/);
  const changed = join(folder, "changed.bin");
  // The last byte of record 3: frames of a length and a record follow the magic text and the ledger's id.
  let end = 16 + 32;
  for (let seq = 0; seq <= 3; seq++) end += 4 + bytes.readUInt32LE(end);
  bytes[end - 1]! ^= 1;
  writeFileSync(changed, bytes);
  assert.match(
    (await run("verify", changed)).error,
    /record 3 of .*changed\.bin does not hold: byte \d+ \(signature/,
  );
});

test("a damaged, foreign or absent ledger is refused with file, record and cure", async () => {
  const changed = join(folder, "changed.db");
  copyFileSync(path, changed);
  const database = new DatabaseSync(changed);
  const bytes = Buffer.from(
    database.prepare("SELECT bytes FROM record WHERE seq = 3").get()!.bytes as Uint8Array,
  );
  bytes.writeUInt32LE(9, 90);
  database.prepare("UPDATE record SET bytes = ? WHERE seq = 3").run(bytes);
  database.close();
  const message =
    /record 3 of .*changed\.db does not hold: byte 90 \(length\) is 0x09, and was 0x08.*take the ledger from another peer/;
  for (const command of ["verify", "balance"]) assert.match((await run(command, changed)).error, message);
  assert.match(
    (await run("show", changed)).error,
    /record 3 of .*changed\.db cannot be read: the body's length is 9.*verify says/,
  );
  assert.match((await run("show", join(folder, "none.db"))).error, /there is no ledger .*none\.db/);
  const text = join(folder, "text.db");
  writeFileSync(text, "hello");
  for (const command of ["show", "verify", "balance"])
    assert.match(
      (await run(command, text)).error,
      /text\.db is damaged: its header is not that of a gradmesh ledger/,
    );
  assert.match(
    (await run("show", folder)).error,
    /cannot read .*: a folder is in its place: choose another path \(EISDIR\)/,
  );
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
