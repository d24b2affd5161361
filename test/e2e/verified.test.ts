/** Verified runs as real processes: cheaters are found and ejected, honest peers are paid, whoever is lost or comes back. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { audit } from "../../lib/ledger/audit.js";
import { withSource } from "../../lib/ledger/file.js";
import { runRules } from "../../lib/ledger/rules/apply.js";
import { conserved } from "../../lib/ledger/rules/digest.js";
import type { LedgerState } from "../../lib/ledger/rules/state.js";
import { accountOfPeerId } from "../../lib/ledger/sign.js";
import { type TestRun, withRun } from "./run.js";

const verified = (changes: Record<string, unknown> = {}) => ({
  peersMin: 4,
  strategy: { name: "diloco", innerSteps: 4, aggregate: { rule: "mean" } },
  network: { silenceLimitMs: 5000, recoverLimitMs: 5000 },
  trust: { verify: true, rate: 0.4, lockMs: 1000 },
  checkpoint: { everyRounds: 0 },
  ...changes,
});

/** The audited ledger of a peer's folder. */
async function ledgerOf(run: TestRun, name: string): Promise<LedgerState> {
  const report = await withSource(await run.ledgerPath(name), (source) => audit(source, { rules: runRules }));
  assert.is(report.fault, null);
  assert.ok(conserved(report.state));
  return report.state;
}

/** What each account has; a copy may end before the last records, which only let time pass. */
const worths = ({ accounts }: LedgerState) =>
  new Map(
    [...accounts].map(([name, { free, bonded, locked, claimable }]) => [
      name,
      free + bonded + locked + claimable,
    ]),
  );

const accountOf = (run: TestRun, name: string) => {
  const started = run.events.find((event) => event.type === "started" && event.name === name);
  return accountOfPeerId(started?.type === "started" ? started.peer : "");
};

test("cheaters are found, slashed and ejected, the others end with the same bits and are paid", () =>
  // Two wrong steps a round, each checked at 0.8: that none is found in nine rounds has a chance of 3e-13.
  withRun(verified({ rounds: 10, trust: { verify: true, rate: 0.8, lockMs: 1000 } }), async (run) => {
    run.spare("skips");
    run.spare("copies");
    await run.startAll([["honest"], ["skips", "--cheat", "skip:2"], ["copies", "--cheat", "copy:3"]]);
    const [first, honest] = await run.digests(["first", "honest"]);
    assert.is(first, honest);
    for (const name of ["skips", "copies"]) {
      assert.is((await run.exited(name)).code, 1);
      assert.match(
        run.peer(name).stderr(),
        /ERR_REFUSED.*ejected from the run: lost dispute \d+ about its work/,
      );
    }
    const state = await ledgerOf(run, "first");
    assert.equal(worths(await ledgerOf(run, "honest")), worths(state), "every copy says the same");
    for (const name of ["skips", "copies"]) {
      const account = state.accounts.get(accountOf(run, name))!;
      assert.ok(account.ejected, `${name} is out`);
      assert.is(account.bonded, 0n, `${name} has lost its stake`);
    }
    for (const name of ["first", "honest"]) {
      const account = state.accounts.get(accountOf(run, name))!;
      assert.ok(!account.ejected && account.bonded === 1000n, `${name} keeps its stake`);
      assert.ok(account.claimable + account.locked >= 1500n, `${name} is paid for ten rounds`);
    }
  }));

test("threat 17: who accuses falsely loses the bond; the accused wins, keeps its stake, and works on", () =>
  // It accuses the first step that it is drawn for in a round: with two verifiers of each of 15, none has a chance of 7e-8.
  withRun(
    verified({ rounds: 12, trust: { verify: true, rate: 1, verifiers: 2, lockMs: 1000 } }),
    async (run) => {
      await run.startAll([["second"], ["third"], ["accuser", "--cheat", "accuse:3"]]);
      const names = ["first", "second", "third", "accuser"];
      const digests = await run.digests(names);
      assert.is(new Set(digests).size, 1);
      const state = await ledgerOf(run, "first");
      const settled = run.events.filter((event) => event.type === "ledger" && event.what === "settled");
      assert.ok(settled.length > 0, "it went to a dispute");
      for (const event of settled)
        assert.match(event.type === "ledger" ? event.reason : "", /the worker was right/);
      const accuser = state.accounts.get(accountOf(run, "accuser"))!;
      assert.ok(accuser.free < 1000n, `${accuser.free} free: the bonds are lost`);
      for (const name of names) assert.is(state.accounts.get(accountOf(run, name))!.bonded, 1000n, name);
      const last = run.events.findLast((event) => event.type === "round" && event.name === "first");
      assert.is(last?.type === "round" ? last.contributors.length : 0, 4, "all work at the end");
    },
  ));

test("who has another result in a verified round is out of that round only; the second time it is ejected", () =>
  withRun(verified({ rounds: 12, peersMin: 3 }), async (run) => {
    const path = join(run.folder, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8"));
    const odd = { folder: "/peers/third", rounds: [2, 6] };
    config.trainer = {
      module: fileURLToPath(new URL("./odd-vote-trainer.js", import.meta.url)),
      options: { gpt: config.trainer.options, odd },
    };
    writeFileSync(path, JSON.stringify(config));
    run.spare("third");
    await run.startAll([["second"], ["third"]]);
    const [first, second] = await run.digests(["first", "second"]);
    assert.is(first, second);
    assert.match(
      (await run.exited("third")).signal ?? run.peer("third").stderr(),
      /ERR_DIVERGED.*differ again/,
    );
    const synced = run.events.filter(({ type, name }) => type === "synced" && name === "third");
    assert.equal(
      synced.map((event) => event.type === "synced" && event.round),
      [3],
      "it is sent the state once, with the next round",
    );
    const members = run.events.flatMap((event) =>
      event.type === "round" && event.name === "first" ? [event.contributors.length] : [],
    );
    assert.equal(members, [3, 3, 2, 3, 3, 3, 2, 2, 2, 2, 2, 2]);
    assert.ok((await ledgerOf(run, "first")).accounts.get(accountOf(run, "third"))!.ejected);
  }));

test("a peer that is killed in a verified round comes back, and the run goes on with it", () =>
  withRun(verified({ rounds: 40, peersMin: 3 }), async (run) => {
    const ticket = await run.startAll([["second"], ["third", "--fault", "3:5:SIGKILL"]]);
    assert.is((await run.exited("third")).signal, "SIGKILL");
    run.start("third", ["join", ticket]);
    const synced = await run.event("synced", ({ name }) => name === "third");
    const back = await run.event("round", ({ name, round }) => name === "third" && round > synced.round);
    assert.is(back.contributors.length, 3, "it contributes again");
    const digests = await run.digests(["first", "second", "third"]);
    assert.is(new Set(digests).size, 1);
    const account = (await ledgerOf(run, "first")).accounts.get(accountOf(run, "third"))!;
    assert.is(account.bonded, 1000n, "whoever is only lost keeps its stake");
  }));

test("the first peer is killed and started again: the ledger goes on where it was", () =>
  withRun(verified({ rounds: 30, peersMin: 3 }), async (run) => {
    await run.startAll([["second"], ["third"]]);
    await run.event("round", ({ name, round }) => name === "second" && round === 3);
    run.peer("first").kill("SIGKILL");
    await run.exited("first");
    run.start("first", ["run", join(run.folder, "config.json")]);
    const digests = await run.digests(["first", "second", "third"]);
    assert.is(new Set(digests).size, 1);
    const state = await ledgerOf(run, "second");
    assert.is(state.nextRound, 30);
    assert.equal(worths(await ledgerOf(run, "first")), worths(state));
  }));

test.run();
