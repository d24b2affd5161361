/** Disputes under the rules: an honest party wins whoever is against it, silence loses, and who pays what. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { capabilityBits, type LedgerEvent } from "../../lib/ledger/events.js";
import { DISPUTES_OPEN_MAX, type Dispute, POOL } from "../../lib/ledger/rules/state.js";
import { treeOf } from "../../lib/verify/merkle.js";
import { operators, three } from "./rules-three.js";
import { hashOf, node, terms, World } from "./rules-world.js";

test("threat 16, colluding verifiers: one honest challenger overrides a corrupt unanimous committee", () => {
  const { world, ada, bob, eve } = three({ verifiers: 3 });
  world.play([ada, bob]);
  assert.is(world.unit(ada).status, "pending", "everybody accepted the wrong step");
  const before = { pool: world.state.pool, eve: world.worth(eve) };
  const id = world.dispute(eve, ada, 2);
  assert.is(world.unit(ada).status, "disputed");
  world.playDispute(id, operators, 33, 1);
  assert.is(world.unit(ada).status, "settled");
  // The bond of 100, half of the other 900; half of that is the challenger's; the unit's reward goes back.
  assert.is(world.own(ada).bonded, 450n);
  assert.is(world.own(ada).locked, 0n);
  assert.is(world.worth(eve), before.eve + 275n);
  assert.is(world.state.pool, before.pool + 275n + 300n);
  assert.match(
    world.refused(eve, { kind: "DisputeOpened", round: 0, worker: ada, transition: 2 }),
    /is settled/,
  );
});

test("threat 17, false accusation: the accuser loses its bond, and the honest worker nothing", () => {
  const { world, ada, bob, eve } = three();
  world.play([ada, bob]);
  const before = { ada: world.worth(ada), eve: world.worth(eve) };
  const id = world.dispute(eve, ada, 1);
  assert.is(world.own(ada).pledged, 100n);
  world.playDispute(id, operators, 0, 0);
  assert.is(world.worth(eve), before.eve - 100n);
  assert.is(world.worth(ada), before.ada + 50n);
  const paid = world.effects.filter(({ type, account }) => type === "paid" && account === ada);
  assert.equal(
    paid.map(({ amount, other, dispute, reason }) => [amount, other, dispute, reason]),
    [[50n, eve, id, `was accused wrongly by ${eve}`]],
  );
  assert.equal(
    [world.unit(ada).status, world.own(ada).pledged, world.own(ada).bonded],
    ["pending", 0n, 1000n],
  );
  world.close([ada, bob]);
  world.wait(terms.lockSpan);
  assert.is(world.own(ada).claimable, 300n);
});

test("disputes about a void round's work are forgotten with it: they answer nothing in the round opened again", () => {
  const { world, ada, eve } = three();
  world.play([ada]);
  const id = world.dispute(eve, ada, 1);
  world.playDispute(id, operators, 7, 0);
  assert.is(world.state.disputes.get(id)!.outcome, "worker");
  world.do(world.submitter, { kind: "RoundLeft", round: 0, account: ada });
  world.close([]);
  assert.is(world.state.nextRound, 0);
  assert.is(world.state.disputes.size, 0);
});

test("a lock that ends in a dispute waits for it", () => {
  const { world, ada, bob, eve } = three();
  world.play([ada, bob]);
  world.close([ada, bob]);
  world.wait(terms.lockSpan - 1n);
  const id = world.dispute(eve, ada, 1);
  world.wait(1);
  assert.equal(
    [world.unit(ada, world.state.rounds.get(0)!).status, world.own(ada).claimable],
    ["disputed", 0n],
  );
  assert.is(world.own(bob).claimable, 300n);
  assert.match(world.refused(bob, dispute(ada)), /could be disputed until/);
  world.playDispute(id, operators, 5, 0);
  assert.is(world.own(ada).claimable, 300n);
});

const dispute = (worker: string, transition = 1): LedgerEvent => ({
  kind: "DisputeOpened",
  round: 0,
  worker,
  transition,
});

test("several disputes: the first that is lost ends the others, and their bonds go back", () => {
  const { world, ada, bob, eve } = three();
  world.play([ada, bob]);
  const before = world.worth(bob);
  world.dispute(bob, ada, 1);
  const id = world.dispute(eve, ada, 2);
  assert.is(world.unit(ada).openDisputes, 2);
  assert.match(world.refused(eve, dispute(ada, 3)), /disputes this unit already/);
  world.playDispute(id, operators, 1, 1);
  assert.is(world.worth(bob), before);
  assert.equal(
    [...world.state.disputes.values()].map(({ outcome }) => outcome),
    ["void", "challenger"],
  );
  assert.is(DISPUTES_OPEN_MAX > 2, true);
});

/** Plays until the dispute awaits this, and returns it. */
const stages: readonly { readonly name: string; readonly until: (one: Dispute) => boolean }[] = [
  { name: "the worker's first split", until: () => true },
  { name: "the worker's trace", until: ({ phase }) => phase === "trace" },
  { name: "the worker's split of operators", until: ({ phase }) => phase === "operators" },
  { name: "the challenger's pick", until: ({ turn }) => turn === "challenger" },
  { name: "the referee", until: ({ turn }) => turn === "referee" },
];

for (const { name, until } of stages)
  test(`threat 26, silence in a dispute: at ${name}, the silent one loses`, () => {
    const { world, ada, bob, eve } = three();
    world.play([ada, bob]);
    const before = { ada: world.worth(ada), eve: world.worth(eve), rex: world.worth(world.account("rex")) };
    const id = world.dispute(eve, ada, 2);
    const one = world.state.disputes.get(id)!;
    const made = world.made.get(`0 ${ada}`)!;
    const moves: Record<string, () => void> = {
      states: () =>
        void world.do(ada, {
          kind: "Split",
          dispute: id,
          children: made.tree.children(one.level, one.index),
        }),
      trace: () =>
        void world.do(ada, {
          kind: "TraceOpened",
          dispute: id,
          before: made.leaves[1]!,
          path: made.tree.proof(1),
          trace: operators.root,
          leaves: operators.count,
        }),
      worker: () =>
        void world.do(ada, {
          kind: "Split",
          dispute: id,
          children: operators.children(one.level, one.index),
        }),
      challenger: () => void world.do(eve, { kind: "Picked", dispute: id, index: 0 }),
    };
    while (!until(one)) moves[one.phase === "operators" ? one.turn! : one.phase]!();
    const { turn } = one;
    world.wait(terms.moveSpan);
    if (turn === "worker") {
      assert.is(one.outcome, "challenger");
      assert.ok(world.worth(ada) < before.ada && world.worth(eve) > before.eve);
    } else if (turn === "challenger") {
      assert.is(one.outcome, "worker");
      assert.ok(world.worth(eve) < before.eve && world.worth(ada) >= before.ada);
    } else {
      assert.is(one.outcome, null, "another referee is drawn");
      assert.ok(world.worth(world.account("rex")) < before.rex);
      assert.is(one.referee, world.submitter);
      world.wait(terms.moveSpan);
      assert.is(one.outcome, "void");
      assert.equal(
        [world.worth(ada), world.worth(eve)],
        [before.ada - 300n, before.eve],
        "not paid, not slashed",
      );
    }
  });

test("every answer is bound: to the node at hand, the leaf before, the tree's shape, and whose move it is", () => {
  const { world, ada, bob, eve } = three();
  world.play([ada, bob]);
  assert.match(world.refused(eve, dispute(ada, 5)), /allowed: 1 to 4/);
  assert.match(world.refused(world.account("rex"), dispute(ada)), /is no challenger/);
  assert.match(world.refused(ada, dispute(ada)), /nobody disputes its own/);
  assert.match(world.refused(eve, dispute(eve)), /has no unit/);
  const id = world.dispute(eve, ada, 2);
  const made = world.made.get(`0 ${ada}`)!;
  const children = made.tree.children(1, 0);
  const split = (some: readonly string[]): LedgerEvent => ({ kind: "Split", dispute: id, children: some });
  assert.match(world.refused(eve, split(children)), /the move in dispute 0 is/);
  assert.match(world.refused(ada, split(children.slice(1))), /has 5 children, not 4/);
  assert.match(world.refused(ada, split(children.toReversed())), /do not hash to the node/);
  assert.match(world.refused(eve, { kind: "Picked", dispute: id, index: 0 }), /awaits worker/);
  world.do(ada, split(children));
  const open = { kind: "TraceOpened", dispute: id, trace: operators.root, leaves: operators.count } as const;
  const [before, path] = [made.leaves[1]!, made.tree.proof(1)];
  for (const wrong of [
    { before: made.leaves[2]!, path },
    { before, path: made.tree.proof(2) },
    { before, path: [] },
  ])
    assert.match(world.refused(ada, { ...open, ...wrong }), /is leaf 1 of the unit/);
  assert.match(world.refused(ada, { ...open, before, path, leaves: 2 ** 20 + 1 }), /allowed: 1 to 1048576/);
  world.do(ada, { ...open, before, path });
  world.do(ada, split(operators.children(2, 0)));
  assert.match(world.refused(eve, { kind: "Picked", dispute: id, index: 3 }), /has 3 children/);
  world.do(eve, { kind: "Picked", dispute: id, index: 2 });
  assert.match(world.refused(ada, split(operators.children(1, 1))), /has 8 children|do not hash/);
  world.do(ada, split(operators.children(1, 2)));
  world.do(eve, { kind: "Picked", dispute: id, index: 7 });
  const settle = { kind: "Settled", dispute: id, winner: 1, operator: 39, evidence: POOL } as const;
  assert.match(world.refused(eve, settle), /the move in dispute/);
  const rex = world.account("rex");
  assert.match(world.refused(rex, { ...settle, operator: 38 }), /in dispute is 39, not 38/);
  assert.match(world.refused(rex, { ...settle, winner: 2 }), /allowed: 0 worker, 1 challenger/);
  world.do(rex, settle);
  assert.match(world.refused(rex, settle), /awaits nobody/);
});

test("at most 26 moves from 10^6 steps and 4,096 operators to one operator", () => {
  const { world, ada, eve } = three({ unitSteps: 1_000_000, sampleRate: 0, sampleFloor: 0 });
  world.open([ada]);
  const leaves = new Array<string>(1_000_002).fill(hashOf("state"));
  world.made.set(`0 ${ada}`, { leaves, tree: treeOf(leaves), salt: hashOf("salt") });
  world.commitAll();
  world.revealAll();
  assert.is(world.unit(ada).status, "pending");
  const many = treeOf(Array.from({ length: 4096 }, (_, index) => hashOf(`${index}`)));
  const id = world.dispute(eve, ada, 765_432);
  world.playDispute(id, many, 4095, 1);
  assert.is(world.state.disputes.get(id)!.outcome, "challenger");
  assert.is(world.state.disputes.get(id)!.moves, 14);
});

test("threat 36, self-slash laundering: accuser and accused together always lose, and their delegators' stakes go to neither", () => {
  const { world, ada, bob, eve } = three();
  const carol = world.join("carol", 0n, 10_000n, capabilityBits.delegator);
  world.do(carol, { kind: "Delegated", node: ada, amount: 10_000n });
  const together = () => world.worth(ada) + world.worth(eve);
  const before = together();
  world.open([ada, bob]);
  world.commitAll();
  world.revealAll();
  world.judge();
  const id = world.dispute(eve, ada, 1);
  world.wait(terms.moveSpan);
  assert.is(world.state.disputes.get(id)!.outcome, "challenger");
  assert.ok(together() < before, `${together()} of ${before}`);
  assert.is(world.own(carol).delegations.get(ada), 5000n);
  assert.is(before - together(), 275n, "the half of bond and slash that is nobody's");
});

test("threat 28, a lying aggregator: one wrong lane of a round's aggregate costs the sequencer its stake", () => {
  const { world, ada, bob, eve } = three();
  const { submitter } = world;
  world.do(submitter, { kind: "Deposited", account: submitter, amount: 2000n });
  world.do(submitter, { kind: "Registered", capabilities: node, commission: 0, entry: POOL, name: "lead" });
  world.do(submitter, { kind: "Bonded", amount: 1000n });
  world.play([ada, bob]);
  const lie: LedgerEvent = { kind: "DisputeOpened", round: 0, worker: submitter, transition: 0 };
  assert.match(world.refused(eve, lie), /no aggregate/);
  world.close([ada, bob]);
  assert.match(world.refused(eve, { ...lie, worker: ada }), /no aggregate/);
  const id = world.dispute(eve, submitter, 0);
  const open = { kind: "TraceOpened", dispute: id, path: [], trace: POOL, leaves: 1 } as const;
  assert.match(world.refused(submitter, { ...open, before: hashOf("other") }), /is of the contributions/);
  const burned = world.state.burned;
  world.playDispute(id, operators, 17, 1);
  assert.is(world.own(submitter).bonded, 450n);
  assert.is(world.state.burned, burned + 275n, "the pool is the submitter's own, so what it loses is burned");
  const honest = world.unit(ada, world.state.rounds.get(0)!).status;
  assert.is(honest, "pending", "the workers are paid all the same");
});

test("nobody referees its own dispute, whatever it may do elsewhere", () => {
  for (let trial = 0; trial < 8; trial += 1) {
    const world = new World();
    const [ada, bob, eve] = ["ada", "bob", "eve"].map((name) =>
      world.join(`${name} ${trial}`, 1000n, 1000n, node | capabilityBits.referee),
    ) as [string, string, string];
    world.play([ada]);
    const id = world.dispute(eve, ada, 1);
    const made = world.made.get(`0 ${ada}`)!;
    world.do(ada, { kind: "Split", dispute: id, children: made.tree.children(1, 0) });
    const [before, path] = [made.leaves[0]!, made.tree.proof(0)];
    world.do(ada, { kind: "TraceOpened", dispute: id, before, path, trace: POOL, leaves: 1 });
    assert.is(world.state.disputes.get(id)!.referee, bob);
  }
});

test("disputes of which the run knows no neutral referee end without a winner", () => {
  const world = new World();
  const { submitter } = world;
  world.do(submitter, { kind: "Deposited", account: submitter, amount: 2000n });
  world.do(submitter, { kind: "Registered", capabilities: node, commission: 0, entry: POOL, name: "lead" });
  world.do(submitter, { kind: "Bonded", amount: 1000n });
  const ada = world.join("ada");
  world.play([ada]);
  const before = world.worth(ada);
  const id = world.dispute(submitter, ada, 1);
  const made = world.made.get(`0 ${ada}`)!;
  world.do(ada, { kind: "Split", dispute: id, children: made.tree.children(1, 0) });
  const [first, path] = [made.leaves[0]!, made.tree.proof(0)];
  world.do(ada, { kind: "TraceOpened", dispute: id, before: first, path, trace: POOL, leaves: 1 });
  assert.is(world.state.disputes.get(id)!.outcome, "void");
  assert.is(world.unit(ada).status, "soft", "what might be wrong is not paid");
  assert.is(world.worth(ada), before - 600n);
});

test.run();
