/** gradmesh reward and gradmesh audit plan: who earned what and why, and what a rate and a stake come to. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { auditCommand } from "../../lib/cli/commands/audit.js";
import { earningsOf, rewardCommand } from "../../lib/cli/commands/reward.js";
import type { LedgerEvent } from "../../lib/ledger/events.js";
import { Sequencer } from "../../lib/ledger/ledger.js";
import { runRules } from "../../lib/ledger/rules/apply.js";
import { POOL } from "../../lib/ledger/rules/state.js";
import { peerIdOfAccount, type Signer, signEvent } from "../../lib/ledger/sign.js";
import { commitmentOf } from "../../lib/verify/commitment.js";
import { madeUpWork, shardsOf, terms, World } from "../ledger/rules-world.js";
import { newSigner } from "../ledger/tiny-rules.js";
import { runCommand } from "./run-command.js";

const folder = mkdtempSync(join(tmpdir(), "gradmesh-reward-"));
const path = join(folder, "ledger.db");
const [signer, alice, bob] = [newSigner(), newSigner(), newSigner()];

/** A run of one round: Alice's work is accepted and claimed, Bob never shows his. */
async function writeLedger(): Promise<void> {
  const genesis = { ...terms, sampleRate: 0, sampleFloor: 0 };
  let time = 1_700_000_000_000;
  const clock = { wall: () => time };
  const ledger = Sequencer.open({ path, signer, clock, rules: runRules, genesis, threads: 0 });
  const nonces = new Map<Signer, bigint>();
  const say = async (author: Signer, event: LedgerEvent) => {
    const nonce = (nonces.get(author) ?? 0n) + 1n;
    nonces.set(author, nonce);
    await ledger.submit(signEvent(author, ledger.ledgerId, nonce, event));
  };
  await ledger.append({ kind: "Deposited", account: POOL, amount: 10_000n });
  for (const [author, name] of [
    [alice, "alice"],
    [bob, "bob"],
  ] as const) {
    await ledger.append({ kind: "Deposited", account: author.account, amount: 2000n });
    await say(author, { kind: "Registered", capabilities: 2, commission: 0, entry: POOL, name });
    await say(author, { kind: "Bonded", amount: 1000n });
  }
  time += 10;
  const workers = [alice.account, bob.account];
  await ledger.append({ kind: "RoundSkipped", round: 0, workers, shards: shardsOf(workers) });
  const work = madeUpWork;
  for (const { author, content } of [
    { author: alice, content: work },
    { author: bob, content: work },
  ]) {
    const about = { ledgerId: ledger.ledgerId, round: 0, author: author.account };
    await say(author, {
      kind: "WorkCommitted",
      round: 0,
      commitment: commitmentOf({ ...about, ...content }),
    });
  }
  await say(alice, { kind: "WorkRevealed", round: 0, ...work });
  time += 2000;
  await ledger.append({ kind: "Advanced" });
  await say(alice, { kind: "RewardClaimed", amount: 200n });
  await ledger.close();
}
await writeLedger();

test("reward lists who earned what, from an audited ledger", async () => {
  const { text, error } = await runCommand(rewardCommand(), path);
  assert.is(error, "");
  const lines = text.trimEnd().split("\n");
  assert.match(lines[0]!, /^peer +accepted +rejected +work +delegation +prizes +lost +locked +claimable/);
  assert.match(lines[1]!, /^alice +1 +0 +300 +0 +0 +\d+ +0 +100 +200 +300$/);
  assert.match(lines[2]!, /^bob +0 +1 +0 +0 +0 +10[06] +0 +0 +0 +0$/);
  const rows = JSON.parse((await runCommand(rewardCommand(), path, "--json")).text);
  assert.equal([rows[0].account, rows[0].claimed], [alice.account, "200"]);
});

test("reward says why, for one account", async () => {
  const { text } = await runCommand(rewardCommand(), path, peerIdOfAccount(bob.account));
  assert.match(text, /round 1, rejected: did not reveal what it had committed to/);
  assert.match(text, /slashed 100: did not reveal what it had committed to/);
  assert.match((await runCommand(rewardCommand(), path, alice.account)).text, /round 1, paid 300: work/);
  assert.match(
    (await runCommand(rewardCommand(), path, "11".repeat(32))).error,
    /nothing was earned or lost/,
  );
  assert.match((await runCommand(rewardCommand(), join(folder, "none.db"))).error, /none\.db/);
});

test("earnings are told apart: work, delegations, prizes, and what was lost", () => {
  const world = new World();
  const [ada, bea, eve] = ["ada", "bea", "eve"].map((name) => world.join(name)) as [string, string, string];
  world.do(eve, { kind: "Delegated", node: ada, amount: 1000n });
  world.play([ada, bea]);
  world.dispute(eve, bea, 1);
  world.wait(terms.moveSpan);
  world.close([ada]);
  world.wait(terms.lockSpan);
  const earned = earningsOf(world.effects);
  const { prizes, delegation } = earned.get(eve)!;
  assert.equal([prizes, delegation], [275n, 150n]);
  assert.equal([earned.get(ada)!.work, earned.get(bea)!.work], [150n, 0n]);
  assert.is(earned.get(bea)!.lost, 550n);
});

test("audit plan: stake, odds and cost of a rate", async () => {
  const args = ["plan", "--rate", "0.05", "--gain", "10", "--steps", "100"];
  const { text } = await runCommand(auditCommand(), ...args);
  assert.match(text, /verification adds 5 % to the workers' steps/);
  assert.match(text, / 1 of 100 +5 % +99\.4 % +135 units/);
  assert.match(text, /with a stake of 190 \(slashed 100 %, reward 0 forgone\)/);
  const plan = JSON.parse((await runCommand(auditCommand(), ...args, "--reward", "100", "--json")).text);
  assert.equal([plan.rate, plan.stake, plan.rows.length], [0.05, "90", 3]);
  assert.match(
    (await runCommand(auditCommand(), ...args, "--slash", "0")).text,
    /no stake makes cheating lose/,
  );
  assert.match(
    (await runCommand(auditCommand(), "plan", "--rate", "5")).error,
    /a share from 0\.000001 to 1/,
  );
  assert.match((await runCommand(auditCommand(), ...args, "--gain", "-1")).error, /a whole number of units/);
});

test("audit plan: a reward forgone can be enough without a stake, and no checks pay where no errors are planted", async () => {
  const plan = async (...args: string[]) => {
    const all = ["plan", "--rate", "0.01", "--gain", "10", "--steps", "20", ...args];
    const { text } = await runCommand(auditCommand(), ...all);
    return { text, json: JSON.parse((await runCommand(auditCommand(), ...all, "--json")).text) };
  };
  const enough = await plan("--slash", "0", "--reward", "990");
  assert.is(enough.json.stake, "0");
  assert.match(enough.text, /whatever the stake: the reward forgone, 990, is enough/);
  const little = await plan("--slash", "0", "--reward", "989");
  assert.is(little.json.stake, null);
  assert.match(little.text, /no stake makes cheating lose/);
  assert.is((await plan("--reward", "989")).json.stake, "1");
  assert.is(enough.json.checkingPays, null);
  assert.match(enough.text, /Without forced errors nothing but disputes/);
  const planted = ["--forced", "0.1", "--prize", "50", "--check-cost"];
  assert.is((await plan(...planted, "10")).json.checkingPays, true);
  assert.is((await plan(...planted, "11")).json.checkingPays, false);
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
