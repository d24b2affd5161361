/** Accusations under the rules: each is gone through with, or paid for, and no dispute of another's takes its place. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isAnswered } from "../../lib/ledger/rules/lookup.js";
import type { Dispute } from "../../lib/ledger/rules/state.js";
import { operators, three } from "./rules-three.js";
import { terms, World } from "./rules-world.js";

test("a hard verdict alone takes nothing from the worker: who does not go to a dispute pays for it", () => {
  const world = new World();
  const [ada, bob, eve] = [world.join("ada"), world.watch("bob"), world.watch("eve")];
  world.play([ada], () => 2);
  assert.is(world.unit(ada).status, "hard");
  const before = { ada: world.worth(ada), all: [bob, eve].map((one) => world.worth(one)) };
  world.wait(terms.moveSpan);
  assert.is(world.unit(ada).status, "pending");
  assert.ok(world.worth(ada) >= before.ada + 600n);
  const amends = world.effects.filter(({ type, reason }) => type === "paid" && /wrongly/.test(reason ?? ""));
  assert.equal(
    amends.map(({ account, amount }) => [account, amount]),
    Array(4).fill([ada, 50n]),
  );
  const after = [bob, eve].map((one) => world.worth(one));
  const lost = before.all.reduce((sum, worth, place) => sum + worth - after[place]!, 0n);
  assert.is(lost, 400n, "a bond for each of the four accusations");
});

test("a dispute in time excuses those who accused the same transition", () => {
  const { world, ada, bob, eve } = three({ verifiers: 2 });
  world.play([ada], (_, transition) => (transition === 3 ? 2 : 0));
  const before = world.worth(bob);
  const id = world.dispute(eve, ada, 3);
  world.wait(terms.moveSpan - 1n);
  world.playDispute(id, operators, 7, 1);
  world.wait(terms.moveSpan);
  assert.is(world.worth(bob), before);
  assert.is(world.unit(ada).status, "settled");
});

test("threat 16, a friend's dispute: who disputes a wrong step in order to lose shields it from nobody", () => {
  const { world, ada, bob, eve } = three({ verifiers: 2 });
  const friend = world.join("friend");
  world.open([ada, bob, eve]);
  world.commitAll();
  world.revealAll();
  const lost = world.dispute(friend, ada, 3);
  world.judge((worker, transition) => (worker === ada && transition === 3 ? 2 : 0));
  for (const verifier of [bob, eve])
    assert.not.ok(isAnswered(world.state, 0, { worker: ada, transition: 3, verifier }), "its own is due");
  const id = world.dispute(bob, ada, 3);
  assert.ok(isAnswered(world.state, 0, { worker: ada, transition: 3, verifier: bob }));
  world.playDispute(lost, operators, 7, 0);
  assert.is(world.unit(ada).status, "disputed", "one of two is lost");
  world.playDispute(id, operators, 7, 1);
  assert.is(world.unit(ada).status, "settled");
  assert.is(world.own(ada).locked, 0n);
  for (const verifier of [bob, eve])
    assert.ok(isAnswered(world.state, 0, { worker: ada, transition: 3, verifier }), "it is settled");
  const worth = world.worth(eve);
  world.wait(terms.moveSpan);
  assert.is(world.worth(eve), worth);
});

test("what answers an accusation is of its own round, and about work", () => {
  const { world, ada, bob, eve } = three({ verifiers: 1 });
  world.play([ada, bob, eve]);
  const dispute = { round: 0, worker: ada, challenger: bob, transition: 2, outcome: "challenger" } as const;
  const answers = (changes: Partial<Dispute>) => {
    world.state.disputes.clear();
    world.state.disputes.set(0, { ...dispute, ...changes } as Dispute);
    return isAnswered(world.state, 0, { worker: ada, transition: 2, verifier: bob });
  };
  assert.ok(answers({}));
  assert.ok(answers({ challenger: eve }));
  assert.ok(answers({ transition: 1, outcome: null }), "each has one dispute about a unit at a time");
  assert.not.ok(answers({ round: 1 }));
  assert.not.ok(answers({ worker: eve }));
  assert.not.ok(answers({ transition: 0 }), "the aggregate is not the unit");
  assert.not.ok(answers({ challenger: eve, transition: 1 }));
  for (const outcome of [null, "worker", "void"] as const)
    assert.not.ok(answers({ challenger: eve, outcome }));
});

test("a dispute about one transition excuses nobody who accused another, but for its own challenger", () => {
  const world = new World({ verifiers: 1 });
  const [ada, bob, eve] = [world.join("ada"), world.watch("bob"), world.watch("eve")];
  world.play([ada], () => 2);
  const byBob = world.round.checks
    .filter(({ verifier }) => verifier === bob)
    .map((check) => check.transition);
  const byEve = world.round.checks
    .filter(({ verifier }) => verifier === eve)
    .map((check) => check.transition);
  assert.is(byBob.length + byEve.length, 4);
  assert.ok(byBob.length >= 1 && byEve.length >= 1, `${byBob} and ${byEve}`);
  const before = [bob, eve].map((one) => world.worth(one));
  world.dispute(eve, ada, byEve[0]!);
  world.wait(terms.moveSpan - 1n);
  // The worker is late, and the time of accusers without a dispute ends then as well.
  world.wait(1);
  const after = [bob, eve].map((one) => world.worth(one));
  assert.is(after[0]! - before[0]!, -100n * BigInt(byBob.length));
  assert.ok(after[1]! >= before[1]!, `${after[1]} of ${before[1]}`);
});

test.run();
