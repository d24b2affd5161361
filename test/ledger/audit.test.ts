/** An audit of a file in which any byte was changed: it names the record and the field, and a ledger cut short is noticed. */
import { randomInt } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { uniform } from "../../lib/base/random.js";
import { type AuditReport, audit } from "../../lib/ledger/audit.js";
import type { LedgerEvent } from "../../lib/ledger/events.js";
import { readExport, writeExport } from "../../lib/ledger/export.js";
import { Sequencer } from "../../lib/ledger/ledger.js";
import { decodeRecord, recordField, recordHash } from "../../lib/ledger/record.js";
import { type Rules, SNAPSHOT_RECORDS } from "../../lib/ledger/replica.js";
import { runRules } from "../../lib/ledger/rules/apply.js";
import type { Effect } from "../../lib/ledger/rules/effect.js";
import type { LedgerState } from "../../lib/ledger/rules/state.js";
import { signEvent } from "../../lib/ledger/sign.js";
import { openStore } from "../../lib/ledger/store.js";
import { failure } from "../failure.js";
import { genesis, newSigner, type TinyState, tinyRules } from "./tiny-rules.js";

const seed = Number(process.env.GRADMESH_SEED ?? randomInt(2 ** 31 - 1));
const flips = Number(process.env.GRADMESH_FLIPS ?? 40);
process.stdout.write(`seed ${seed}\n`);

const folder = mkdtempSync(join(tmpdir(), "gradmesh-audit-"));
const intact = join(folder, "intact.db");
const tampered = join(folder, "tampered.db");
const signer = newSigner();
const authors = [newSigner(), newSigner(), newSigner()];

const events: LedgerEvent[] = [
  { kind: "WorkCommitted", round: 3, commitment: "cd".repeat(32) },
  { kind: "Split", dispute: 2, children: ["ab".repeat(32), "12".repeat(32)] },
  { kind: "Registered", capabilities: 6, commission: 1000, entry: "00".repeat(32), name: "nœud" },
  { kind: "Released" },
];

async function fill(): Promise<void> {
  let time = 1_700_000_000_000;
  const clock = { wall: () => time++ };
  const ledger = Sequencer.open({ path: intact, signer, clock, rules: tinyRules, genesis, threads: 0 });
  for (let index = 0; index < 30; index++) {
    const author = authors[index % authors.length]!;
    const nonce = BigInt(Math.floor(index / authors.length) + 1);
    await ledger.submit(signEvent(author, ledger.ledgerId, nonce, events[index % events.length]!));
  }
  await ledger.close();
}
await fill();
const long = Sequencer.open({
  path: join(folder, "long.db"),
  signer,
  clock: { wall: () => 5 },
  rules: tinyRules,
  genesis,
  threads: 0,
});
await Promise.all(
  Array.from({ length: 1099 }, () => long.append({ kind: "Deposited", account: signer.account, amount: 1n })),
);
await long.close();
const whole = await auditFile(intact);
const records = (() => {
  const store = openStore(intact, { readOnly: true });
  const all = [...store.pages(0)].flat();
  store.close();
  return all;
})();

async function auditFile(path: string, more: object = {}): Promise<AuditReport<TinyState>> {
  const store = openStore(path, { readOnly: true });
  try {
    return await audit(store, { rules: tinyRules, threads: 0, ...more });
  } finally {
    store.close();
  }
}

async function auditChanged(
  sql: string,
  ...values: (number | Uint8Array)[]
): Promise<AuditReport<TinyState>> {
  copyFileSync(intact, tampered);
  const database = new DatabaseSync(tampered);
  database.prepare(sql).run(...values);
  database.close();
  return auditFile(tampered);
}

test("an untouched ledger holds", () => {
  assert.is(whole.fault, null);
  assert.is(whole.count, 31);
  assert.is(whole.head?.hash, whole.hash);
  assert.equal(Object.keys(whole).sort(), [
    "count",
    "fault",
    "hash",
    "head",
    "ledgerId",
    "sequencer",
    "state",
    "stateDigest",
    "time",
  ]);
  assert.is(whole.sequencer, signer.account);
  assert.is(whole.state.nonces.get(authors[0]!.account), 10n);
});

const everywhere = records.flatMap((bytes, seq) =>
  Array.from(bytes, (_, offset) => ({ seq, offset, field: recordField(bytes, offset) })),
);

test("threat 22, a changed ledger: a flipped byte of a record is named, with its field", async () => {
  const places = Map.groupBy(everywhere, ({ field }) => field);
  assert.ok(places.size >= 20, [...places.keys()].join());
  // Every field once, then anywhere.
  const choices = [...places.values(), ...Array.from({ length: flips }, () => everywhere)];
  for (const [trial, choice] of choices.entries()) {
    const { seq, offset, field } = choice[Math.floor(uniform(seed, 1, trial) * choice.length)]!;
    const bytes = Buffer.from(records[seq]!);
    bytes[offset]! ^= 1 + Math.floor(uniform(seed, 3, trial) * 255);
    const { fault } = await auditChanged("UPDATE record SET bytes = ? WHERE seq = ?", bytes, seq);
    assert.is(fault?.seq, seq, `${field} at ${offset} of record ${seq}: ${fault?.reason}`);
    assert.is(fault?.field, field, `record ${seq}: ${fault?.reason}`);
  }
});

test("any byte of the file: the audit says so, or every record is what it was", async () => {
  const file = readFileSync(intact);
  let noticed = 0;
  for (let trial = 0; trial < 2 * flips; trial++) {
    const bytes = Buffer.from(file);
    const offset = Math.floor(uniform(seed, 4, trial) * bytes.length);
    bytes[offset]! ^= 1 + Math.floor(uniform(seed, 5, trial) * 255);
    writeFileSync(tampered, bytes);
    try {
      const { fault, hash, count, head } = await auditFile(tampered);
      if (fault !== null) noticed += 1;
      else assert.equal([hash, count, head], [whole.hash, whole.count, whole.head], `byte ${offset}`);
    } catch (error) {
      noticed += 1;
      const named = error instanceof GradmeshError && error.message.includes(tampered);
      assert.ok(named, `byte ${offset}: ${error}`);
    } finally {
      for (const suffix of ["", "-wal", "-shm"]) rmSync(tampered + suffix, { force: true });
    }
  }
  assert.ok(noticed > 0);
});

test("several bytes: the record is named", async () => {
  const change = (seq: number, edit: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(records[seq]!);
    edit(bytes);
    return auditChanged("UPDATE record SET bytes = ? WHERE seq = ?", bytes, seq);
  };
  const time = await change(7, (bytes) => bytes.writeBigUInt64LE(1_800_000_000_000n, 40));
  assert.is(time.fault?.seq, 7, time.fault?.reason);
  const later = await change(7, (bytes) => bytes.writeUInt16LE(bytes.readUInt16LE(40) ^ 1, 40));
  assert.is(later.fault?.seq, 7, later.fault?.reason);
  const link = await change(9, (bytes) => bytes.fill(0, 8, 40));
  assert.equal([link.fault?.seq, link.fault?.field], [9, "previous"]);
  const body = await change(5, (bytes) => bytes.fill(7, 96, 104));
  assert.is(body.fault?.seq, 5);
  assert.match(body.fault?.reason ?? "", /signature/);
});

test("threat 22, a cut ledger: a missing, a cut and a foreign end are noticed", async () => {
  const gap = await auditChanged("DELETE FROM record WHERE seq = ?", 11);
  assert.is(gap.fault?.seq, 11, gap.fault?.reason);
  const end = await auditChanged("DELETE FROM record WHERE seq >= ?", 29);
  assert.is(end.fault?.seq, 29);
  assert.match(end.fault?.reason ?? "", /the sequencer signed a head of 31/);
  const forged = await auditChanged("UPDATE head SET hash = ? WHERE count = 31", Buffer.alloc(32));
  assert.equal([forged.fault?.seq, forged.fault?.field], [30, "head"]);
  const signature = await auditChanged("UPDATE head SET signature = ? WHERE count = 12", Buffer.alloc(64));
  assert.equal([signature.fault?.seq, signature.fault?.field], [11, "head"]);
  // Head and records of the end are gone together: only who kept a receipt can tell.
  copyFileSync(intact, tampered);
  const database = new DatabaseSync(tampered);
  database.exec("DELETE FROM record WHERE seq >= 20; DELETE FROM head WHERE count > 20");
  database.close();
  assert.is((await auditFile(tampered)).fault, null);
  const known = await auditFile(tampered, { known: whole.head });
  assert.match(known.fault?.reason ?? "", /record 20 is missing: a known head counts 31/);
  const other = await auditFile(intact, { known: { count: 20, hash: "00".repeat(32) } });
  assert.is(other.fault?.seq, 19);
  const id = await auditFile(intact, { ledgerId: "00".repeat(32) });
  assert.match(id.fault?.reason ?? "", /not 0000/);
});

test("threads find the same as none, and the first of two faults", async () => {
  copyFileSync(intact, tampered);
  const database = new DatabaseSync(tampered);
  for (const seq of [22, 14]) {
    const bytes = Buffer.from(records[seq]!);
    bytes[bytes.length - 1]! ^= 0x10;
    database.prepare("UPDATE record SET bytes = ? WHERE seq = ?").run(bytes, seq);
  }
  database.close();
  for (const threads of [0, 2]) {
    const { fault } = await auditFile(tampered, { threads });
    assert.equal([fault?.seq, fault?.field], [14, "signature"]);
  }
});

test("a ledger can be audited while it grows", async () => {
  const path = join(folder, "growing.db");
  const ledger = Sequencer.open({
    path,
    signer,
    clock: { wall: () => 5 },
    rules: tinyRules,
    genesis,
    threads: 0,
  });
  const deposit = () => ledger.append({ kind: "Deposited", account: signer.account, amount: 1n });
  await deposit();
  const store = openStore(path, { readOnly: true });
  await deposit();
  const report = await audit(store, { rules: tinyRules, threads: 0 });
  assert.equal([report.fault, report.count, report.head?.count], [null, 2, 2]);
  store.close();
  await ledger.close();
  assert.is((await auditFile(path)).count, 3);
});

test("a report is of the records that hold, whichever way the next one does not", async () => {
  const bytes = Buffer.from(records[5]!);
  bytes[bytes.length - 1]! ^= 0x10;
  const { count, hash, time, fault } = await auditChanged(
    "UPDATE record SET bytes = ? WHERE seq = ?",
    bytes,
    5,
  );
  assert.is(fault?.seq, 5);
  // The chain goes on over a changed signature only as far as the next record's link to it.
  const last = records[4]!;
  assert.equal([count, hash, time], [5, recordHash(last), decodeRecord(last).time]);
});

test("a head where none can be hides none of the others", async () => {
  const { fault } = await auditChanged(
    "INSERT INTO head VALUES (0, ?, ?)",
    Buffer.alloc(32),
    Buffer.alloc(64),
  );
  assert.match(fault?.reason ?? "", /a head of 0 records stands where none can be/);
});

test("an export is read in pages, like the ledger", async () => {
  const store = openStore(join(folder, "long.db"), { readOnly: true });
  const path = join(folder, "long.bin");
  await writeExport(store, path, "bin");
  store.close();
  const sizes = [...readExport(path).pages(0)].map((page) => page.length);
  assert.equal(sizes, [512, 512, 77]);
  assert.equal(
    [...readExport(path).pages(510, 514)].map((page) => page.length),
    [4],
  );
  const report = await audit(readExport(path), { rules: tinyRules, threads: 0 });
  assert.equal([report.fault, report.count], [null, 1101]);
});

test("books that do not balance end the ledger at its next snapshot, and no audit takes them", async () => {
  const path = join(folder, "leaky.db");
  const leaky: Rules<LedgerState, Effect> = {
    ...runRules,
    apply: (state, record, id) => {
      const effects = runRules.apply(state, record, id);
      if (record.event.kind === "Deposited" && record.event.amount === 7n) state.burned += 1n;
      return effects;
    },
  };
  const clock = { wall: () => 1_700_000_000_000 };
  const ledger = Sequencer.open({ path, signer, clock, rules: leaky, genesis, threads: 0 });
  const deposit = (amount: bigint) => ledger.append({ kind: "Deposited", account: signer.account, amount });
  await Promise.all(
    Array.from({ length: SNAPSHOT_RECORDS - 1 }, (_, index) => deposit(index === 500 ? 7n : 1n)),
  );
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const { code, message } = await failure(deposit(1n));
    assert.is(code, "ERR_LEDGER");
    assert.match(message, /books do not balance.*: deposited 1029, but free 1029.*burned 1,/);
  }
  assert.is(ledger.count, SNAPSHOT_RECORDS);
  await ledger.close();
  const auditWith = async (rules: Rules<LedgerState, Effect>) => {
    const store = openStore(path, { readOnly: true });
    try {
      return await audit(store, { rules, threads: 0 });
    } finally {
      store.close();
    }
  };
  const { fault, stateDigest } = await auditWith(leaky);
  assert.equal([fault?.seq, stateDigest], [SNAPSHOT_RECORDS - 1, null]);
  assert.match(fault?.reason ?? "", /the books do not balance/);
  const right = await auditWith(runRules);
  assert.is(right.fault, null);
  assert.is(right.stateDigest, runRules.stateDigest(right.state));
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
