/** What the submitter does for accounts: entry checks, first stakes, ejection; also what it died too early to do. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../../lib/base/errors.js";
import type { LedgerEvent } from "../../../lib/ledger/events.js";
import { Sequencer } from "../../../lib/ledger/ledger.js";
import { runRules } from "../../../lib/ledger/rules/apply.js";
import type { Dispute } from "../../../lib/ledger/rules/state.js";
import { signerOf } from "../../../lib/ledger/sign.js";
import { generateIdentity, type Identity } from "../../../lib/peer/identity.js";
import { treeOf } from "../../../lib/verify/merkle.js";
import { hashOf, terms } from "../../ledger/rules-world.js";
import { accountOf, registration, roundOf, setting, world } from "./lead-world.js";

test("who passes the entry check is registered and granted its first stake, once; who does not is refused with the cure", async () => {
  const { lead, register, say, account, fence, close } = await world();
  const [good, bad] = [generateIdentity(), generateIdentity()];
  const error = await register(bad, hashOf("other bits")).catch((caught: GradmeshError) => caught);
  assert.match(
    (error as GradmeshError).message,
    /the entry check of .* computes other bits.*gradmesh doctor/s,
  );
  assert.is(account(bad), undefined);
  await register(good);
  await lead.ledger.until(() => (account(good)?.free === 2000n ? true : null), AbortSignal.timeout(5000));
  await say(good, { kind: "Bonded", amount: 1000n });
  await register(good);
  await fence();
  assert.is(account(good)!.free + account(good)!.bonded, 2000n, "one grant");
  await close();
});

test("whoever registers is granted its stake once, however often and wherever its units are, also after a restart", async () => {
  const first = await world();
  const { lead, register, say, account, worth, fence, place } = first;
  const peer = generateIdentity();
  await Promise.all(Array.from({ length: 10 }, () => register(peer)));
  await fence();
  assert.is(account(peer)!.free, 2000n, "one grant for ten registrations");
  await say(peer, { kind: "Bonded", amount: 2000n });
  await say(peer, { kind: "UnbondRequested", amount: 2000n });
  await register(peer);
  await fence();
  assert.is(worth(peer), 2000n, "what unbonds is its own still");
  await lead.close();
  const second = await world(place);
  await second.register(peer);
  await second.fence();
  assert.is(second.worth(peer), 2000n, "a restarted lead knows whom it has granted");
  await second.close();
});

test("a peer is checked at entry by its own connection only, and once", async () => {
  const { lead, say, register, checked, account, close } = await world();
  const [sender, other] = [generateIdentity(), generateIdentity()];
  const error = await say(other, registration(), sender).catch((caught: GradmeshError) => caught);
  assert.match((error as GradmeshError).message, /author of Registered is .*each peer registers itself/);
  const wrong = await Promise.allSettled(
    Array.from({ length: 8 }, () => register(sender, hashOf("other bits"))),
  );
  assert.ok(wrong.every(({ status }) => status === "rejected"));
  assert.is(account(sender), undefined);
  assert.equal(checked, [accountOf(sender)]);
  await register(sender);
  assert.ok(lead.sequencer.state.accounts.get(accountOf(sender))!.registered);
  assert.equal(checked, [accountOf(sender)], "what its check comes to is known");
  await close();
});

test("a process that died owing a grant and an ejection does both when it leads again", async () => {
  const place = await setting();
  const { path, identity, clock, time, ledgerId, sign } = place;
  const [cheat, honest, poor] = [generateIdentity(), generateIdentity(), generateIdentity()];
  const sequencer = Sequencer.open({ path, signer: signerOf(identity), clock, rules: runRules });
  const say = (who: Identity, event: LedgerEvent) => sequencer.submit(sign(who, event));
  for (const peer of [cheat, honest]) {
    await sequencer.append({ kind: "Deposited", account: accountOf(peer), amount: 2000n });
    await say(peer, registration());
    await say(peer, { kind: "Bonded", amount: 1000n });
  }
  time.now += 20;
  const leaves = Array.from({ length: terms.unitSteps + 2 }, (_, index) => hashOf(`leaf ${index}`));
  const tree = treeOf(leaves);
  const { opening, said } = roundOf(ledgerId, [cheat, honest], tree.root);
  await sequencer.append(opening);
  for (const { who, event } of said) await say(who, event);
  await say(honest, { kind: "DisputeOpened", round: 0, worker: accountOf(cheat), transition: 1 });
  const [{ id }] = sequencer.state.disputes.values() as unknown as [Dispute];
  await say(cheat, { kind: "Split", dispute: id, children: tree.children(1, 0) });
  const trace = { before: leaves[0]!, path: tree.proof(0), trace: hashOf("trace"), leaves: 1 };
  await say(cheat, { kind: "TraceOpened", dispute: id, ...trace });
  // There is no other peer, so the submitter is the referee.
  await sequencer.append({
    kind: "Settled",
    dispute: id,
    winner: 1,
    operator: 0,
    evidence: hashOf("report"),
  });
  assert.is(sequencer.state.disputes.get(id)!.outcome, "challenger");
  await say(poor, registration());
  await sequencer.close();

  const { lead, account } = await world(place);
  assert.ok(account(cheat)!.ejected, "who has lost is out");
  assert.match(JSON.stringify(lead.admission(cheat.peerId)), /refuse.*ejected/);
  assert.not(account(honest)!.ejected);
  assert.is(account(poor)!.free, 2000n, "who was registered has its stake");
  await lead.close();

  const again = await world(place);
  const done = [...again.lead.sequencer.records()].map(({ event }) => event);
  assert.equal(
    done.filter(({ kind }) => kind === "Ejected"),
    [
      {
        ...{ kind: "Ejected", account: accountOf(cheat), evidence: hashOf("report") },
        reason: `lost dispute ${id} about its work`,
      },
    ],
  );
  assert.equal(again.events, [], "what is done is not tried again");
  await again.close();
});

test.run();
