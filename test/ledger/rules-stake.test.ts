/** Stakes, delegations, forced errors and equivocation under the rules: what a slash reaches, and who pays whom. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Account, capabilityBits, type LedgerEvent } from "../../lib/ledger/events.js";
import { encodeHead, signHead } from "../../lib/ledger/head.js";
import { encodeRecord } from "../../lib/ledger/record.js";
import { forcedCommitmentOf, forcedLeaf } from "../../lib/ledger/rules/hashes.js";
import { newUnit } from "../../lib/ledger/rules/lookup.js";
import { splitReward } from "../../lib/ledger/rules/rewards.js";
import { type LedgerState, POOL } from "../../lib/ledger/rules/state.js";
import { signEvent, signerOf } from "../../lib/ledger/sign.js";
import { generateIdentity } from "../../lib/peer/identity.js";
import { hashOf, terms, World } from "./rules-world.js";

test("a stake's way: free, bonded, unbonding, back, or released and withdrawn", () => {
  const world = new World();
  const ada = world.join("ada", 1000n, 500n);
  assert.match(world.refused(ada, { kind: "Bonded", amount: 501n }), /more than the 500/);
  assert.match(world.refused(ada, { kind: "Bonded", amount: 0n }), /allowed: 1 and more/);
  world.do(ada, { kind: "UnbondRequested", amount: 400n });
  assert.equal(world.state.eligible, [], "600 is less than stakeMin");
  assert.match(world.refused(ada, { kind: "Released" }), /has matured/);
  world.do(ada, { kind: "Rebonded", amount: 400n });
  assert.equal(world.state.eligible, [ada]);
  world.do(ada, { kind: "UnbondRequested", amount: 1000n });
  world.wait(terms.unbondSpan - 1n);
  assert.match(world.refused(ada, { kind: "Released" }), /has matured/);
  world.wait(1);
  world.do(ada, { kind: "Released" });
  assert.is(world.own(ada).free, 1500n);
  world.do(ada, { kind: "Withdrawn", amount: 1500n });
  assert.is(world.state.withdrawn, 1500n);
});

/** All that a slash of the node reaches: bonded, unbonding and what has matured but was not released, delegations too. */
function atRisk(state: LedgerState, node: Account): bigint {
  let total = state.accounts.get(node)?.bonded ?? 0n;
  for (const holder of state.accounts.values()) {
    total += holder.delegations.get(node) ?? 0n;
    for (const entry of holder.unbonding) if (entry.node === node) total += entry.amount;
  }
  return total;
}

/** Whatever a worker does with its stake between its commitment and the slash. */
const dodge = fc.array(
  fc.record({
    kind: fc.constantFrom("UnbondRequested", "Rebonded", "Released", "Undelegated", "Withdrawn", "wait"),
    part: fc.integer({ min: 1, max: 100 }),
  }),
  { maxLength: 12 },
);

test("threat 20, unbonding before the slash: whatever the order, a slash gets its part of all that was at stake", () => {
  fc.assert(
    fc.property(dodge, fc.integer({ min: 1, max: 4 }), (steps, transition) => {
      const world = new World({ lockSpan: 100n, unbondSpan: 700n, slashRate: 500_000, disputeBond: 0n });
      const [ada, eve] = [world.join("ada", 1000n, 0n), world.join("eve")];
      const carol = world.join("carol", 0n, 3000n, capabilityBits.delegator);
      world.do(carol, { kind: "Delegated", node: ada, amount: 3000n });
      world.open([ada, eve]);
      const staked = 4000n;
      world.commitAll();
      world.revealAll();
      world.judge();
      const { lockEnd } = world.unit(ada);
      for (const { kind, part } of steps) {
        const own = world.own(ada);
        const amount = (value: bigint) => (value * BigInt(part)) / 100n;
        if (kind === "wait") world.now = Math.min(world.now + part, lockEnd! - 1);
        const events: Record<string, [string, LedgerEvent]> = {
          UnbondRequested: [ada, { kind: "UnbondRequested", amount: amount(own.bonded) }],
          Rebonded: [ada, { kind: "Rebonded", amount: amount(1000n) }],
          Released: [part % 2 === 0 ? ada : carol, { kind: "Released" }],
          Undelegated: [
            carol,
            { kind: "Undelegated", node: ada, amount: amount(world.own(carol).delegations.get(ada) ?? 0n) },
          ],
          Withdrawn: [part % 2 === 0 ? ada : carol, { kind: "Withdrawn", amount: BigInt(part) }],
        };
        const event = events[kind];
        if (event === undefined) continue;
        try {
          world.do(...event);
        } catch (error) {
          assert.match(String(error), /is refused/);
        }
      }
      assert.is(atRisk(world.state, ada), staked);
      world.dispute(eve, ada, transition);
      // As late as can be: the worker plays until the last moment.
      const rest = [ada, carol].map((account) => world.worth(account));
      world.wait(terms.moveSpan);
      const left = atRisk(world.state, ada);
      // Rounding leaves at most one unit to each holding.
      assert.ok(left >= staked / 2n && left <= staked / 2n + 32n, `${left} of ${staked}`);
      assert.ok(rest.length === 2);
    }),
    { numRuns: 60 },
  );
});

test("slashes reach what has matured and was not released", () => {
  const world = new World();
  const [ada, bob] = [world.join("ada", 2000n, 0n), world.join("bob")];
  world.do(ada, { kind: "UnbondRequested", amount: 1000n });
  world.wait(terms.unbondSpan);
  world.play([ada, bob]);
  world.dispute(bob, ada, 1);
  world.wait(terms.moveSpan);
  // The bond of 100 first, then half of the rest.
  assert.equal(
    world.own(ada).unbonding.map(({ amount }) => amount),
    [500n],
  );
  assert.is(world.own(ada).bonded, 450n);
});

test("delegators share by stake what commission leaves; the worker keeps what rounding leaves", () => {
  const amounts = fc.array(fc.bigInt({ min: 1n, max: 10n ** 9n }), { maxLength: 8 });
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 12n }),
      fc.bigInt({ min: 1n, max: 10n ** 9n }),
      amounts,
      fc.integer({ min: 0, max: 1_000_000 }),
      (reward, ownStake, stakes, commission) => {
        const delegators = stakes.map((amount, place) => ({ account: `d${place}`, amount }));
        const unit = newUnit("w", { ratePpm: 0, ownStake, commission, delegators });
        const parts = splitReward(unit, reward);
        assert.is(
          parts.reduce((sum, { amount }) => sum + amount, 0n),
          reward,
        );
        const total = stakes.reduce((sum, amount) => sum + amount, ownStake);
        for (const { account, amount } of delegators) {
          const got = parts.find((one) => one.account === account)?.amount ?? 0n;
          assert.ok(got * total <= reward * amount);
        }
      },
    ),
  );
  const world = new World();
  const [ada, bob] = [world.join("ada", 1000n, 0n, undefined, 200_000), world.join("bob")];
  const carol = world.join("carol", 0n, 3000n, capabilityBits.delegator);
  world.do(carol, { kind: "Delegated", node: ada, amount: 3000n });
  const raise = { kind: "Registered", capabilities: 2, entry: POOL, name: "ada" } as const;
  assert.match(world.refused(ada, { ...raise, commission: 200_001 }), /may not rise/);
  world.play([ada, bob]);
  assert.equal([world.own(ada).locked, world.own(carol).locked], [120n, 180n]);
  world.close([ada, bob]);
  world.wait(terms.lockSpan);
  assert.equal([world.own(carol).claimable, world.own(carol).shares], [180n, 180n]);
});

test("threat 14, lazy verifiers: who always accepts loses over 1,000 units, who looks does not", () => {
  const world = new World({ roundReward: 0n, commitSpan: 5n, revealSpan: 5n, verdictSpan: 5n });
  const planter = world.join("planter", 1000n, 1_000_000n);
  const verifiers = ["lazy", "keen"].map((name) => world.join(name, 20_000n, 0n, capabilityBits.verifier));
  const [lazy, keen] = verifiers as [string, string];
  const start = verifiers.map((account) => world.worth(account));
  let forced = 0;
  for (let round = 0; round < 1000; round += 1) {
    world.skip([planter]);
    const planted = round % 10 === 0;
    const salt = hashOf(`planted ${round}`);
    const transition = 1 + (round % 4);
    const { tree } = world.make(planter, planted ? { [transition]: forcedLeaf(world.ledgerId, salt) } : {});
    const about = { round, worker: planter, transition, salt };
    const commitment = forcedCommitmentOf({ ledgerId: world.ledgerId, author: world.submitter, ...about });
    if (planted) world.do(world.submitter, { kind: "ForcedErrorCommitted", round, commitment });
    world.commitAll();
    world.revealAll();
    world.judge((_, at, verifier) => (planted && at === transition && verifier === keen ? 2 : 0));
    if (planted) {
      const path = tree.proof(transition);
      world.do(world.submitter, { kind: "ForcedErrorRevealed", ...about, path });
      assert.is(world.unit(planter).status, "forced");
      forced += 1;
    }
    world.close();
  }
  assert.is(forced, 100);
  const [lost, won] = [start[0]! - world.worth(lazy), world.worth(keen) - start[1]!];
  assert.ok(lost >= 30n * terms.forcedErrorPrize, `the lazy one lost ${lost}`);
  assert.ok(won >= 30n * terms.forcedErrorPrize, `the keen one won ${won}`);
  assert.is((lost + won) / terms.forcedErrorPrize, 100n, "each planted error was checked by one of them");
});

test("forced errors cannot be made up: right work has no planted leaf, and what is planted must be shown", () => {
  const world = new World();
  const [ada, bob] = [world.join("ada"), world.join("bob")];
  const { submitter } = world;
  world.do(submitter, { kind: "Deposited", account: submitter, amount: 100n });
  world.open([ada, bob]);
  const about = { round: 0, worker: ada, transition: 1, salt: hashOf("salt") };
  const commitment = forcedCommitmentOf({ ledgerId: world.ledgerId, author: submitter, ...about });
  assert.match(
    world.refused(ada, { kind: "ForcedErrorCommitted", round: 0, commitment }),
    /only the submitter/,
  );
  world.do(submitter, { kind: "ForcedErrorCommitted", round: 0, commitment });
  world.commitAll();
  assert.match(
    world.refused(submitter, { kind: "ForcedErrorCommitted", round: 0, commitment: POOL }),
    /not commit/,
  );
  world.revealAll();
  world.judge();
  const before = world.worth(bob);
  const path = world.made.get(`0 ${ada}`)!.tree.proof(1);
  const event: LedgerEvent = { kind: "ForcedErrorRevealed", ...about, path };
  assert.match(world.refused(submitter, event), /leaf 1 of the unit of .* is not the planted one/);
  const burned = world.state.burned;
  world.wait(terms.moveSpan);
  assert.is(world.worth(bob), before);
  assert.is(world.state.burned, burned + terms.forcedErrorPrize, "who plants and does not show it pays");
  assert.match(world.refused(submitter, event), /before accusers must open/);
});

test("equivocation: two events of one nonce, or two heads of one number, are slashed once", () => {
  const world = new World();
  const identity = generateIdentity();
  const signer = signerOf(identity);
  const liar = signer.account;
  const bob = world.join("bob");
  world.do(world.submitter, { kind: "Deposited", account: liar, amount: 1000n });
  world.do(liar, { kind: "Registered", capabilities: 2, commission: 0, entry: POOL, name: "liar" });
  world.do(liar, { kind: "Bonded", amount: 1000n });
  const record = (amount: bigint) => {
    const signed = signEvent(signer, world.ledgerId, 7n, { kind: "Withdrawn", amount });
    return encodeRecord({ seq: 9, previous: POOL, time: 1, ...signed }).toString("hex");
  };
  const [first, second] = [record(1n), record(2n)];
  const proof = (one: string, other: string): LedgerEvent => ({
    kind: "EquivocationProven",
    first: one,
    second: other,
  });
  assert.match(world.refused(bob, proof(first, first)), /the events are the same/);
  assert.match(world.refused(bob, proof(first, "00")), /is refused/);
  assert.match(world.refused(liar, proof(first, second)), /its own/);
  const before = world.worth(bob);
  world.do(bob, proof(first, second));
  assert.is(world.own(liar).bonded, 500n);
  assert.is(world.worth(bob), before + 250n);
  assert.match(world.refused(bob, proof(second, first)), /proven already/);
  assert.match(world.refused(bob, proof(first, record(3n))), /proven already/);
  const head = (hash: string) =>
    Buffer.from(encodeHead(signHead(signer, world.ledgerId, 4, hash))).toString("hex");
  assert.match(world.refused(bob, proof(head(hashOf("a")), head(hashOf("b")))), /the sequencer did not sign/);
});

test.run();
