/** The sequencer and its followers: order, refusals, replay, snapshots, streams, and what a ledger must not be opened with. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { LedgerEvent, LedgerRecord, SignedEvent } from "../../lib/ledger/events.js";
import { Follower } from "../../lib/ledger/follower.js";
import { encodeHead, provenEquivocation, signHead } from "../../lib/ledger/head.js";
import { Sequencer } from "../../lib/ledger/ledger.js";
import { encodeRecord } from "../../lib/ledger/record.js";
import { type Rules, SNAPSHOT_RECORDS } from "../../lib/ledger/replica.js";
import { type Signer, signEvent } from "../../lib/ledger/sign.js";
import { genesis, newSigner, type TinyEffect, type TinyState, tinyRules } from "./tiny-rules.js";

interface Context {
  folder: string;
  signer: Signer;
  time: number;
}

const test = suite<Context>("ledger");
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), "gradmesh-ledger-"));
  context.signer = newSigner();
  context.time = 1_700_000_000_000;
});
test.after.each(({ folder }) => rmSync(folder, { recursive: true }));

function open(context: Context, name = "ledger.db", signer = context.signer) {
  const clock = { wall: () => context.time++ };
  const path = join(context.folder, name);
  return Sequencer.open({ path, signer, clock, rules: tinyRules, genesis, threads: 1 });
}

function follow(context: Context, ledgerId: string, name = "follower.db") {
  return Follower.open({ path: join(context.folder, name), ledgerId, rules: tinyRules, threads: 1 });
}

const deposit = (account: string, amount = 1n): LedgerEvent => ({ kind: "Deposited", account, amount });
const commit = (round: number): LedgerEvent => ({
  kind: "WorkCommitted",
  round,
  commitment: "cd".repeat(32),
});

async function refusal(promise: Promise<unknown>, message: RegExp, code = "ERR_LEDGER"): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable(`not refused: ${message}`),
    (error: unknown) => error,
  );
  assert.instance(error, GradmeshError);
  assert.is((error as GradmeshError).code, code, (error as Error).message);
  assert.match((error as Error).message, message);
}

test("events get their places, and what is refused changes nothing", async (context) => {
  const ledger = open(context);
  const alice = newSigner();
  const by = (nonce: bigint, event: LedgerEvent) => signEvent(alice, ledger.ledgerId, nonce, event);
  const [own, first, tooMuch, second] = await Promise.allSettled([
    ledger.append(deposit(alice.account, 10n)),
    ledger.submit(by(1n, commit(1))),
    ledger.submit(by(2n, { kind: "Withdrawn", amount: 11n })),
    ledger.submit(by(2n, { kind: "Withdrawn", amount: 4n })),
  ]);
  assert.is(own.status === "fulfilled" && own.value.seq, 1);
  assert.is(first.status === "fulfilled" && first.value.seq, 2);
  assert.is(second.status === "fulfilled" && second.value.seq, 3);
  assert.is(second.status === "fulfilled" && second.value.head.count, 4, "one transaction, one head");
  assert.match(String(tooMuch.status === "rejected" && tooMuch.reason), /Withdrawn by .*: the balance is 10/);
  assert.is(ledger.state.balances.get(alice.account), 6n);
  assert.equal(
    [...ledger.records()].map(({ seq, event }) => `${seq} ${event.kind}`),
    ["0 RunCreated", "1 Deposited", "2 WorkCommitted", "3 Withdrawn"],
  );
  await ledger.close();
  await refusal(ledger.append(deposit(alice.account)), /is closed/, "ERR_CLOSED");
});

test("an event is taken once, at its nonce, in its ledger", async (context) => {
  const ledger = open(context);
  const other = open(context, "other.db");
  const alice = newSigner();
  const signed: SignedEvent[] = [];
  for (let nonce = 1n; nonce <= 6n; nonce++) {
    signed.push(signEvent(alice, ledger.ledgerId, nonce, commit(Number(nonce))));
    await ledger.submit(signed.at(-1)!);
    // Each of the earlier ones again, at every offset from its place.
    for (const replayed of signed) await refusal(ledger.submit(replayed), /the nonce is \d+; due is \d+/);
  }
  for (let nonce = 0n; nonce <= 10n; nonce++) {
    const moved = { ...signed[0]!, nonce };
    if (nonce !== 1n) await refusal(ledger.submit(moved), /signature is not the author's/);
    const early = signEvent(alice, ledger.ledgerId, nonce, commit(99));
    if (nonce < 7n) await refusal(ledger.submit(early), /the nonce is/);
  }
  assert.is.not(other.ledgerId, ledger.ledgerId);
  for (const replayed of signed) await refusal(other.submit(replayed), /for this ledger/);
  assert.is(ledger.count, 7);
  assert.is(other.count, 1);
  await ledger.close();
  await other.close();
});

test("every 1,024th record is a snapshot; a reopened ledger is the same", async (context) => {
  const ledger = open(context);
  const alice = newSigner();
  const events = Array.from({ length: 2 * SNAPSHOT_RECORDS + 100 }, (_, index) =>
    signEvent(alice, ledger.ledgerId, BigInt(index + 1), commit(index)),
  );
  const receipts = await Promise.all(events.map((event) => ledger.submit(event)));
  assert.is(ledger.count, events.length + 3);
  const snapshots = [...ledger.records()].filter(({ event }) => event.kind === "Snapshot");
  assert.equal(
    snapshots.map(({ seq }) => seq),
    [SNAPSHOT_RECORDS, 2 * SNAPSHOT_RECORDS],
  );
  assert.is(receipts.at(-1)!.head.count, ledger.count);
  const { head, ledgerId } = ledger;
  const digest = tinyRules.stateDigest(ledger.state);
  const otherwise = Follower.open({
    path: join(context.folder, "otherwise.db"),
    ledgerId,
    rules: { ...tinyRules, stateDigest: () => "00".repeat(32) },
  });
  await refusal(
    otherwise.take(sent([...ledger.records()]), head),
    /record 1024: the Snapshot says .*, but the state is 00/,
  );
  assert.is(otherwise.count, SNAPSHOT_RECORDS);
  await otherwise.close();
  await ledger.close();
  const again = open(context);
  assert.equal(again.head, head);
  assert.is(again.ledgerId, ledgerId);
  assert.is(tinyRules.stateDigest(again.state), digest);
  await again.submit(signEvent(alice, ledgerId, BigInt(events.length + 1), commit(1)));
  await again.close();
});

test("the clock may jump back, time does not", async (context) => {
  const ledger = open(context);
  await ledger.append(deposit(context.signer.account));
  context.time -= 1_000_000;
  await ledger.append(deposit(context.signer.account));
  const times = [...ledger.records()].map(({ time }) => time);
  assert.is(times[2], times[1]);
  await ledger.close();
});

test("a ledger is opened by its sequencer, for its run, once", async (context) => {
  const ledger = open(context);
  const path = join(context.folder, "ledger.db");
  const twin = open(context);
  await ledger.append(deposit(context.signer.account));
  await refusal(twin.append(deposit(context.signer.account)), /two processes lead/, "ERR_IO");
  await refusal(twin.append(deposit(context.signer.account)), /two processes lead/, "ERR_IO");
  await twin.close();
  await ledger.append(deposit(context.signer.account));
  await ledger.close();
  const clock = { wall: () => 0 };
  const options = { path, clock, rules: tinyRules, genesis, signer: context.signer };
  const fails = (change: object, message: RegExp) =>
    assert.throws(
      () => Sequencer.open({ ...options, ...change }),
      (error: Error) => message.test(error.message),
    );
  fails({ signer: newSigner() }, /is led by/);
  fails({ genesis: { ...genesis, unitSteps: 9 } }, /of a run with another unitSteps/);
  const foreign = join(context.folder, "foreign.db");
  new DatabaseSync(foreign).exec("CREATE TABLE t (x); INSERT INTO t VALUES (1)");
  fails({ path: foreign }, /its header is not that of a gradmesh ledger/);
  const { genesis: _, ...none } = options;
  assert.throws(
    () => Sequencer.open({ ...none, path: join(context.folder, "none.db") }),
    /nothing to begin one with/,
  );
});

test("a ledger that was cut, or changed, is not opened", async (context) => {
  const ledger = open(context);
  for (let index = 0; index < 5; index++) await ledger.append(deposit(context.signer.account));
  await ledger.close();
  const change = (sql: string, message: RegExp) => {
    copyFileSync(join(context.folder, "ledger.db"), join(context.folder, "changed.db"));
    const database = new DatabaseSync(join(context.folder, "changed.db"));
    database.exec(sql);
    database.close();
    assert.throws(
      () => open(context, "changed.db"),
      (error: Error) => message.test(error.message),
      sql,
    );
  };
  const unsigned = /its head of 6 records is not signed by the sequencer/;
  change("DELETE FROM record WHERE seq = 5", /5 records are left of the 6 that its signed head counts/);
  change("DELETE FROM record WHERE seq = 1", /record 1 is missing/);
  change("DELETE FROM head WHERE count > 5", /it has 6 records, but its signed head counts 5/);
  change("UPDATE head SET signature = zeroblob(64) WHERE count = 6", unsigned);
  // The last record's time is in no signature but the head's.
  const later = "substr(bytes, 1, 40) || x'ff' || substr(bytes, 42)";
  change(`UPDATE record SET bytes = CAST(${later} AS BLOB) WHERE seq = 5`, unsigned);
});

test("listeners hear of each record once it is on disk", async (context) => {
  const ledger = open(context);
  const heard: string[] = [];
  const stop = ledger.onEffects(({ seq }, effects) => {
    assert.ok(seq < ledger.count);
    heard.push(`${seq} ${effects.map(({ type, amount }) => `${type} ${amount}`)}`);
  });
  await ledger.append(deposit(context.signer.account, 3n));
  stop();
  await ledger.append(deposit(context.signer.account, 4n));
  assert.equal(heard, ["1 paid 3"]);
  await ledger.close();
});

async function filled(context: Context, count: number) {
  const ledger = open(context);
  const alice = newSigner();
  for (let nonce = 1; nonce <= count; nonce++)
    await ledger.submit(signEvent(alice, ledger.ledgerId, BigInt(nonce), commit(nonce)));
  return { ledger, records: [...ledger.records()] };
}

/** As they travel. */
const sent = (records: readonly LedgerRecord[]) => records.map(encodeRecord);

test("a follower has the same state, also after it was closed", async (context) => {
  const { ledger, records } = await filled(context, 40);
  let follower = follow(context, ledger.ledgerId);
  await follower.take(sent(records.slice(0, 10)));
  await Promise.all([
    follower.take(sent(records.slice(5, 30))),
    follower.take(sent(records.slice(30)), ledger.head),
  ]);
  assert.equal(follower.head, ledger.head);
  await follower.close();
  follower = follow(context, ledger.ledgerId);
  assert.is(follower.count, ledger.count);
  assert.is(tinyRules.stateDigest(follower.state), tinyRules.stateDigest(ledger.state));
  assert.equal([...follower.records()], records);
  await follower.close();
  await ledger.close();
});

const lies: [what: string, lie: (record: LedgerRecord) => LedgerRecord, message: RegExp][] = [
  ["another nonce", (r) => ({ ...r, nonce: r.nonce + 1n }), /record 3: the signature/],
  ["another body", (r) => ({ ...r, event: commit(77) }), /record 3: the signature/],
  ["another signature", (r) => ({ ...r, signature: "00".repeat(64) }), /record 3: the signature/],
  ["another time", (r) => ({ ...r, time: r.time + 1 }), /record 4: previous is/],
  ["an earlier time", (r) => ({ ...r, time: 5 }), /record 3: time is 5/],
  ["another previous", (r) => ({ ...r, previous: "00".repeat(32) }), /record 3: previous is/],
  ["another number", (r) => ({ ...r, seq: 9 }), /record 3: seq is 9/],
];

for (const [what, lie, message] of lies)
  test(`a follower refuses ${what}, and keeps what was before it`, async (context) => {
    const { ledger, records } = await filled(context, 8);
    const follower = follow(context, ledger.ledgerId);
    await refusal(
      follower.take(sent(records.map((record) => (record.seq === 3 ? lie(record) : record)))),
      message,
    );
    assert.ok(follower.count === 3 || follower.count === 4);
    assert.is([...follower.records()].length, follower.count);
    await follower.close();
    await ledger.close();
  });

test("a follower refuses what the rules refuse, another ledger, a false snapshot", async (context) => {
  const { ledger, records } = await filled(context, 3);
  const follower = follow(context, "ff".repeat(32));
  await refusal(follower.take(sent(records)), /record 0: the signature|record 0: its hash is/);
  assert.is(follower.count, 0);
  const strict = Follower.open<TinyState, never>({
    path: join(context.folder, "strict.db"),
    ledgerId: ledger.ledgerId,
    rules: {
      ...tinyRules,
      apply: (_, { seq }) => {
        if (seq === 2) throw new GradmeshError("ERR_LEDGER", "not on a Sunday");
        return [];
      },
    },
  });
  await refusal(strict.take(sent(records)), /record 2 \(WorkCommitted by .*: not on a Sunday/);
  const { account } = context.signer;
  const snapshot: LedgerEvent = { kind: "Snapshot", state: "00".repeat(32) };
  await refusal(ledger.append(snapshot), /a Snapshot stands where none is due/);
  assert.is(ledger.account, account);
  for (const each of [follower, strict, ledger]) await each.close();
});

test("a follower keeps what comes before bytes that are no record, and says which they are", async (context) => {
  const { ledger, records } = await filled(context, 8);
  const follower = follow(context, ledger.ledgerId);
  const bytes = sent(records);
  await refusal(
    follower.take(bytes.with(5, bytes[5]!.subarray(0, 170)), ledger.head),
    /record 5: the body's length is/,
  );
  assert.is(follower.count, 5);
  await follower.take(bytes, ledger.head);
  assert.is(follower.count, 9);
  for (const each of [follower, ledger]) await each.close();
});

test("a defect of the rules ends a follower: it never blames the sequencer for what comes after", async (context) => {
  const { ledger, records } = await filled(context, 6);
  const follower = Follower.open<TinyState, unknown>({
    path: join(context.folder, "defect.db"),
    ledgerId: ledger.ledgerId,
    rules: {
      ...tinyRules,
      apply: (state, record, id) => {
        const effects = tinyRules.apply(state, record, id);
        if (record.seq === 3) throw new TypeError("a defect");
        return effects;
      },
    },
    threads: 1,
  });
  const failed = await follower.take(sent(records)).catch((error) => error);
  assert.instance(failed, TypeError);
  assert.is([...follower.records()].length, 3);
  await refusal(follower.take(sent(records)), /a defect/, "ERR_INTERNAL");
  for (const each of [follower, ledger]) await each.close();
});

test("time passes in a record of its own, so that what is refused costs no copy of the state", async (context) => {
  const { signer } = context;
  const clock = { wall: () => context.time };
  const path = join(context.folder, "timed.db");
  let due = 0;
  const rules: Rules<TinyState, TinyEffect> = {
    ...tinyRules,
    isDue: (_, time) => due > 0 && time >= due,
    apply: (state, record, id) => {
      const effects = tinyRules.apply(state, record, id);
      if (record.time >= due) due = 0;
      return effects;
    },
  };
  const ledger = Sequencer.open({ path, signer, clock, rules, genesis, threads: 0 });
  const kinds = () => [...ledger.records(1)].map(({ event }) => event.kind);
  await ledger.append(deposit(signer.account));
  due = context.time + 10;
  context.time += 10;
  const tooMuch: LedgerEvent = { kind: "Withdrawn", amount: 2n };
  for (let attempt = 0; attempt < 3; attempt += 1) await refusal(ledger.append(tooMuch), /the balance is 1/);
  assert.equal(kinds(), ["Deposited", "Advanced"]);
  due = context.time + 10;
  context.time += 10;
  await ledger.append({ kind: "Advanced" });
  assert.equal(kinds(), ["Deposited", "Advanced", "Advanced"], "one that is asked for is enough");
  // A snapshot that is due comes before both.
  while (ledger.count < SNAPSHOT_RECORDS) await ledger.append(deposit(signer.account));
  due = context.time + 10;
  context.time += 10;
  await ledger.append(deposit(signer.account));
  assert.equal(kinds().slice(SNAPSHOT_RECORDS - 1), ["Snapshot", "Advanced", "Deposited"]);
  await ledger.close();
});

test("threat 22, a forked ledger: a follower notices a withheld end, a forged head, and a sequencer that leads two ledgers", async (context) => {
  const { ledger, records } = await filled(context, 6);
  const follower = follow(context, ledger.ledgerId);
  await refusal(
    follower.take(sent(records.slice(0, 4)), ledger.head),
    /head of 7 records was signed, but only 4 came/,
  );
  const forged = signHead(newSigner(), ledger.ledgerId, 7, ledger.head.hash);
  await refusal(follower.take(sent(records), forged), /is not signed by the sequencer/);
  await follower.take(sent(records), ledger.head);
  const fork = signHead(context.signer, ledger.ledgerId, 7, "99".repeat(32));
  await refusal(follower.take([], fork), /the sequencer leads two ledgers/);
  const evidence = follower.evidence!;
  assert.is(evidence.account, context.signer.account);
  const bytes = [evidence.first, evidence.second].map((hex) => Buffer.from(hex, "hex")) as [Buffer, Buffer];
  assert.is(provenEquivocation(...bytes, ledger.ledgerId, ledger.account), ledger.account);
  assert.ok(bytes[0].equals(encodeHead(ledger.head)));
  await follower.close();
  await ledger.close();
});

test.run();
