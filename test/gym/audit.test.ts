/** Replaying verified runs of real peers from their ledgers alone: what honest work gives, cheaters found or not. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { asGradmeshError } from "../../lib/base/errors.js";
import { replayRun } from "../../lib/gym/audit.js";
import type { EventBody } from "../../lib/ledger/events.js";
import { writeExport } from "../../lib/ledger/export.js";
import { decodeRecord, encodeRecord, recordHash } from "../../lib/ledger/record.js";
import { accountOfPeerId, signEvent, signerOf } from "../../lib/ledger/sign.js";
import { openStore } from "../../lib/ledger/store.js";
import { loadIdentity } from "../../lib/peer/identity.js";
import { loadConfig, parseConfig, type RunConfig } from "../../lib/run/config.js";
import { type TestRun, withRun } from "../e2e/run.js";

const STEPS = 5;

/** @param rate part of the steps that are checked. */
const verified = (rate: number, rounds: number) => ({
  rounds,
  strategy: { name: "diloco", innerSteps: STEPS, aggregate: { rule: "mean" } },
  trust: { verify: true, rate },
  network: { segmentElements: 256, silenceLimitMs: 5000, recoverLimitMs: 5000 },
  checkpoint: { everyRounds: 0 },
});

const configOf = (run: TestRun) => loadConfig(join(run.folder, "config.json"));

async function refusal(ledger: string, config: RunConfig): Promise<{ code: string; message: string }> {
  try {
    await replayRun({ ledger, config });
  } catch (error) {
    return asGradmeshError(error);
  }
  throw new Error("it was not refused");
}

/** The file with nobody but the first peer in the aggregate of its last round, the record written as any other. */
async function altered(path: string): Promise<string> {
  const copy = `${path}.altered`;
  await copyFile(path, copy);
  const file = new DatabaseSync(copy);
  const rows = file.prepare("SELECT seq, bytes FROM record ORDER BY seq DESC").all();
  for (const { seq, bytes } of rows) {
    const record = decodeRecord(Buffer.from(bytes as Uint8Array));
    if (record.event.kind !== "RoundClosed") continue;
    const event = { ...record.event, aggregated: record.event.aggregated.slice(0, 1) };
    file.prepare("UPDATE record SET bytes = ? WHERE seq = ?").run(encodeRecord({ ...record, event }), seq!);
    break;
  }
  file.close();
  return copy;
}

/** An export of the ledger in which the sequencer says another thing of every round's end, rightly signed and chained. */
async function rewritten(
  run: TestRun,
  name: string,
  change: (closed: EventBody<"RoundClosed">) => Partial<EventBody<"RoundClosed">>,
): Promise<string> {
  const signer = signerOf(await loadIdentity(join(run.peerFolder("first"), "identity.key")));
  const store = openStore(await run.ledgerPath("first"), { readOnly: true });
  const { ledgerId } = store;
  const records: Buffer[] = [];
  let previous = "0".repeat(64);
  for (const bytes of [...store.pages(0)].flat()) {
    const { event, author, nonce, signature, ...place } = decodeRecord(bytes);
    const signed =
      event.kind === "RoundClosed"
        ? signEvent(signer, ledgerId, nonce, { ...event, ...change(event) })
        : { event, author, nonce, signature };
    records.push(encodeRecord({ ...place, previous, ...signed }));
    previous = recordHash(records.at(-1)!);
  }
  store.close();
  const path = join(run.folder, `${name}.bin`);
  const source = { ledgerId, pages: () => [records], heads: () => [], head: () => undefined };
  await writeExport({ ...source, integrity: () => "ok" }, path, "bin");
  return path;
}

test("every round of an honest run is replayed to the same bits, from any peer's ledger", () =>
  withRun({ ...verified(0.3, 3), peersMin: 3, peersMax: 3 }, async (run) => {
    await run.startAll([["second"], ["third"]]);
    const [state] = await run.digests(["first", "second", "third"]);
    const config = await configOf(run);
    const ledger = await run.ledgerPath("first");
    const heard: number[] = [];
    const report = await replayRun({ ledger, config, onRound: ({ round }) => heard.push(round) });
    assert.equal(heard, [1, 2, 3]);
    assert.ok(report.equal, JSON.stringify(report.rounds.at(-1)));
    assert.is(report.state, state, "the state that all peers hold at the end");
    assert.is(report.steps, 3 * 3 * STEPS);
    assert.equal(
      report.rounds.map(({ leftOut, afresh }) => [leftOut, afresh]),
      [0, 1, 2].map(() => [[], []]),
    );

    // A peer that ends with the run may not have heard of its last round's close.
    const part = await replayRun({ ledger: await run.ledgerPath("second"), config, rounds: 2, threads: 1 });
    assert.is(part.rounds.length, 2);
    assert.equal(part.rounds.at(-1)?.state, report.rounds[1]?.state);

    const options = { ...config.trainer.options, learningRate: 0.123 };
    const other = parseConfig({ ...config, trainer: { ...config.trainer, options } });
    const refused = await refusal(ledger, other);
    assert.is(refused.code, "ERR_CONFIG");
    assert.match(refused.message, /not the config of the ledger's run: its recipe is/);

    const changed = await refusal(await altered(ledger), config);
    assert.is(changed.code, "ERR_LEDGER");
    assert.match(changed.message, /does not hold/);

    const lies = {
      state: ({ round }: { round: number }) => (round === 2 ? { state: "ab".repeat(32) } : {}),
      parameters: ({ round }: { round: number }) => (round === 2 ? { parameters: "ab".repeat(32) } : {}),
      aggregate: ({ round, aggregated }: EventBody<"RoundClosed">) =>
        round === 2 ? { aggregated: aggregated.slice(1) } : {},
    };
    for (const [of, lie] of Object.entries(lies)) {
      const told = await replayRun({ ledger: await rewritten(run, of, lie), config });
      assert.not.ok(told.equal);
      assert.equal(
        told.rounds.map(({ difference }) => difference?.of ?? null),
        [null, null, of],
      );
    }
  }));

/** A run of four peers, of which one leaves out every second inner step from round 2 on. */
const cheated = (rate: number, body: (run: TestRun, cheater: string) => Promise<void>) =>
  withRun({ ...verified(rate, 3), peersMin: 4, peersMax: 4 }, async (run) => {
    run.spare("cheater");
    await run.startAll([["second"], ["third"], ["cheater", "--cheat", "skip:2"]]);
    const { peer } = await run.event("started", ({ name }) => name === "cheater");
    await run.digests(["first", "second", "third"]);
    await body(run, accountOfPeerId(peer));
  });

test("a cheater that was found is in no aggregate: what is left is honest work, bit for bit", () =>
  cheated(1, async (run, cheater) => {
    const report = await replayRun({ ledger: await run.ledgerPath("first"), config: await configOf(run) });
    assert.ok(report.equal, JSON.stringify(report.rounds.at(-1)));
    assert.equal(
      report.rounds.map(({ aggregated }) => aggregated),
      [4, 3, 3],
    );
    const [left] = report.rounds[1]!.leftOut;
    assert.is(left?.worker, cheater);
    // Of steps 5 to 9 the first is left out; what came of the second, a verifier has told.
    assert.equal(left?.difference?.leaves, [1, 2]);
  }));

test("a cheater that was not found is named with its round", () =>
  cheated(0.000_001, async (run, cheater) => {
    const report = await replayRun({ ledger: await run.ledgerPath("first"), config: await configOf(run) });
    assert.not.ok(report.equal);
    assert.equal(
      report.rounds.map(({ difference }) => difference?.of ?? null),
      [null, "unit"],
    );
    const { difference } = report.rounds[1]!;
    assert.is(difference?.worker, cheater);
    assert.equal(difference?.leaves, [1, STEPS]);
  }));

test("a peer of a real run that is killed and started again begins afresh, and its work is equal", () =>
  withRun({ ...verified(0.3, 30), peersMin: 3, peersMax: 3 }, async (run) => {
    const ticket = await run.startAll([["second"], ["third", "--fault", "2:3:SIGKILL"]]);
    assert.is((await run.exited("third")).signal, "SIGKILL");
    run.start("third", ["join", ticket]);
    const { round: synced } = await run.event("synced", ({ name }) => name === "third");
    const isBack = ({ name, round }: { name: string; round: number }) => name === "third" && round > synced;
    const { round: back, peer } = await run.event("round", isBack);
    await run.digests(["first", "second", "third"]);
    const report = await replayRun({
      ledger: await run.ledgerPath("first"),
      config: await configOf(run),
      rounds: back,
    });
    assert.ok(report.equal, JSON.stringify(report.rounds.at(-1)));
    assert.equal(
      report.rounds.flatMap(({ afresh }) => afresh),
      [accountOfPeerId(peer)],
    );
    assert.is(report.state, run.history("first").get(back));
  }));

test.run();
