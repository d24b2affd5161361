/** Rounds of a verified run under the rules: who opens them, what is committed, drawn, judged and paid, and who is silent. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { LedgerEvent } from "../../lib/ledger/events.js";
import { capabilityBits } from "../../lib/ledger/events.js";
import { stateDigest } from "../../lib/ledger/rules/digest.js";
import { POOL } from "../../lib/ledger/rules/state.js";
import { commitmentOf, verdictCommitmentOf } from "../../lib/verify/commitment.js";
import { hashOf, shardsOf, terms, World } from "./rules-world.js";

const two = (over: ConstructorParameters<typeof World>[0] = {}) => {
  const world = new World(over);
  return { world, ada: world.join("ada"), bob: world.join("bob") };
};

test("a whole round: accepted work is locked, then claimable, with as many shares", () => {
  const { world, ada, bob } = two();
  world.open([ada, bob]);
  assert.is(world.round.unitReward, 300n);
  world.commitAll();
  world.revealAll();
  assert.is(world.round.checks.length, 8, "every transition of both units, by the other");
  world.judge();
  assert.is(world.round.phase, "decided");
  assert.is(world.unit(ada).status, "pending");
  assert.is(world.own(ada).locked, 300n);
  world.close([ada, bob]);
  const paid = world.wait(terms.lockSpan);
  assert.is(paid.filter(({ type }) => type === "paid").length, 2);
  assert.equal([world.own(ada).locked, world.own(ada).claimable, world.own(ada).shares], [0n, 300n, 300n]);
  world.do(ada, { kind: "RewardClaimed", amount: 300n });
  assert.match(world.refused(ada, { kind: "RewardClaimed", amount: 1n }), /can claim 0/);
  world.do(ada, { kind: "SharesTransferred", account: bob, amount: 100n });
  assert.equal([world.own(ada).shares, world.own(bob).shares], [200n, 400n]);
  assert.match(world.refused(ada, { kind: "SharesTransferred", account: bob, amount: 201n }), /has 200/);
});

test("the terms of a run: what could let a slash come too late is refused with the inequality", () => {
  const exposure = 100n + 100n + 200n + 10n + 1000n + (1n + 1n + 10n + 3n) * 10n;
  new World({ unbondSpan: exposure + 1n });
  for (const [over, words] of [
    [
      { unbondSpan: exposure },
      /unbondSpan must be longer.*15 x moveSpan 10, = 1560 < unbondSpan; it is 1560/,
    ],
    [{ challengerShare: 500_001 }, /challengerShare is 500001; allowed: 0 to 500000/],
    [{ disputeBond: 1001n }, /disputeBond is 1001; allowed: 0 to 1000/],
    [{ sampleFloor: 0 }, /sampleFloor is 0; allowed: 1 to 1000000/],
    [{ stakeMin: 0n }, /stakeMin/],
    [{ verifiers: 0 }, /verifiers/],
  ] as const)
    assert.throws(() => new World(over), words);
});

test("leaders take turns by round; a late one pays, and the beacon falls back", () => {
  const { world, ada, bob } = two();
  const [first, second] = [ada, bob].sort() as [string, string];
  assert.is(world.state.leader, first);
  const workers = [ada, bob];
  const staff = { workers, shards: shardsOf(workers) };
  const event = { kind: "RoundOpened", round: 0, proof: world.proof(second), ...staff } as const;
  assert.match(world.refused(second, event), new RegExp(`leader of round 0 is ${first}`));
  assert.match(world.refused(first, event), /proof of round 0's beacon does not hold/);
  assert.match(world.refused(bob, { kind: "RoundSkipped", round: 0, ...staff }), /until/);
  const worth = world.worth(first);
  world.skip(workers);
  assert.is(world.worth(first), worth - 6n, "a thousandth of stakeMin and a tenth of the prize");
  assert.is(world.round.leader, null);
  assert.is.not(world.round.beacon, world.ledgerId);
  assert.is(world.state.leader, second);
});

test("who reads which part of the data is on the ledger: each worker one, no two the same", () => {
  const { world, ada, bob } = two();
  const workers = [ada, bob];
  const leader = world.state.leader!;
  const proof = world.proof();
  for (const [shards, why] of [
    ["05", /shards has 1 bytes for 2 workers/],
    ["050607", /shards has 3 bytes for 2 workers/],
    ["0505", /shard 5 is given to two workers/],
  ] as const) {
    assert.match(world.refused(leader, { kind: "RoundOpened", round: 0, proof, workers, shards }), why);
    world.now += 100;
    assert.match(world.refused(bob, { kind: "RoundSkipped", round: 0, workers, shards }), why);
    world.now -= 100;
  }
  world.do(leader, { kind: "RoundOpened", round: 0, proof, workers, shards: "09ff" });
  assert.equal(world.round.shards, [9, 255]);
  const other = two().world;
  const same = { round: 0, workers, proof: other.proof() };
  other.do(other.state.leader!, { kind: "RoundOpened", ...same, shards: "ff09" });
  assert.is.not(stateDigest(other.state), stateDigest(world.state), "the state's digest has the shards");
});

test("threat 4, cherry-picked tasks: work is for the open round, by who is assigned, on the beacon's data", () => {
  const { world, ada, bob } = two();
  const eve = world.join("eve");
  const commitment = hashOf("x");
  assert.match(world.refused(ada, { kind: "WorkCommitted", round: 0, commitment }), /not opened/);
  world.open([ada, bob]);
  assert.match(world.refused(eve, { kind: "WorkCommitted", round: 0, commitment }), /no unit in round 0/);
  assert.match(world.refused(ada, { kind: "WorkCommitted", round: 1, commitment }), /round 1 is not opened/);
  for (const other of [
    { ledgerId: hashOf("other ledger"), round: 0 },
    { ledgerId: world.ledgerId, round: 1 },
  ]) {
    const { world, ada, bob } = two();
    world.open([ada, bob]);
    const made = commitmentOf({ ...other, author: ada, ...world.work(ada) });
    world.do(ada, { kind: "WorkCommitted", round: 0, commitment: made });
    world.commit(bob);
    assert.match(
      world.refused(ada, { kind: "WorkRevealed", round: 0, ...world.work(ada) }),
      /not what it had/,
    );
  }
});

test("threat 7, work theft: a copied commitment cannot be revealed", () => {
  const { world, ada, bob } = two();
  world.open([ada, bob]);
  world.commit(ada);
  const { commitment } = world.unit(ada);
  world.do(bob, { kind: "WorkCommitted", round: 0, commitment: commitment! });
  assert.match(world.refused(bob, { kind: "WorkRevealed", round: 0, ...world.work(ada) }), /not what it had/);
  world.reveal(ada);
  world.wait(terms.revealSpan);
  assert.is(world.unit(bob).status, "expired");
});

test("threat 15, vote copying: a copied verdict cannot be revealed", () => {
  const world = new World({ verifiers: 2 });
  const [ada, bob, eve] = [world.join("ada"), world.watch("bob"), world.watch("eve")];
  world.open([ada]);
  world.commitAll();
  world.revealAll();
  const content = { worker: ada, transition: 1, verdict: 0, digest: hashOf("d"), salt: hashOf("s") };
  const commitment = verdictCommitmentOf({ ledgerId: world.ledgerId, round: 0, author: bob, ...content });
  for (const verifier of [bob, eve])
    world.do(verifier, { kind: "VerdictCommitted", round: 0, worker: ada, transition: 1, commitment });
  assert.match(world.refused(bob, { kind: "VerdictRevealed", round: 0, ...content }), /not verdictReveal/);
  world.wait(terms.verdictSpan);
  world.do(bob, { kind: "VerdictRevealed", round: 0, ...content });
  assert.match(world.refused(eve, { kind: "VerdictRevealed", round: 0, ...content }), /not the one it had/);
});

test("threat 18, sybils: a stake that is split over 100 accounts is drawn as often", () => {
  const drawn = (splits: number) => {
    const world = new World({ unitSteps: 1999, unbondSpan: 10_000n });
    const worker = world.join("worker");
    const rivals = Array.from({ length: 100 }, (_, place) => world.watch(`rival ${place}`));
    const names = Array.from({ length: splits }, (_, place) =>
      world.watch(`${place}`, BigInt(100_000 / splits)),
    );
    world.open([worker]);
    world.commitAll();
    world.revealAll();
    const { checks } = world.round;
    assert.is(checks.length, 2000);
    const own = new Set(names);
    assert.is(checks.filter(({ verifier }) => !own.has(verifier) && !rivals.includes(verifier)).length, 0);
    return checks.filter(({ verifier }) => own.has(verifier)).length;
  };
  // Both are binomial of 2,000 and one half: 22 is their standard deviation.
  for (const count of [drawn(1), drawn(100)]) assert.ok(Math.abs(count - 1000) < 110, `${count} of 2000`);
});

test("threat 26, silence in a round: each deadline has one who loses by it", () => {
  const uncommitted = two();
  uncommitted.world.open([uncommitted.ada, uncommitted.bob]);
  uncommitted.world.commit(uncommitted.bob);
  const pool = uncommitted.world.state.pool;
  uncommitted.world.wait(terms.commitSpan);
  assert.is(uncommitted.world.unit(uncommitted.ada).status, "expired");
  assert.is(uncommitted.world.state.pool, pool + 300n, "its part stays in the pool");
  assert.is(uncommitted.world.worth(uncommitted.ada), 2000n, "and it only is not paid");

  const { world, ada, bob } = two();
  const eve = world.watch("eve");
  world.open([ada, bob]);
  world.commitAll();
  world.reveal(ada);
  const worth = world.worth(bob);
  world.wait(terms.revealSpan);
  assert.is(world.unit(bob).status, "expired");
  assert.is(
    world.worth(bob),
    worth - terms.disputeBond,
    "a withheld reveal might hide a unit from its checks",
  );
  assert.is(world.round.phase, "verdictCommit");
  const [silent, expired] = [world.worth(eve), world.worth(bob)];
  world.wait(terms.verdictSpan);
  assert.is(world.worth(eve), silent - 4n * 6n, "four checks, none done");
  assert.is(world.worth(bob), expired, "who has not revealed is not drawn");
  assert.is(world.unit(ada).status, "pending", "silent verifiers stop nobody");
});

test("a verifier that commits and does not reveal pays too", () => {
  const world = new World();
  const [ada, bob] = [world.join("ada"), world.watch("bob")];
  world.open([ada]);
  world.commitAll();
  world.revealAll();
  for (const { transition } of world.round.checks)
    world.do(bob, { kind: "VerdictCommitted", round: 0, worker: ada, transition, commitment: hashOf("x") });
  const worth = world.worth(bob);
  world.wait(terms.verdictSpan);
  assert.is(world.worth(bob), worth - 24n);
  assert.is(world.unit(ada).status, "pending");
});

test("what could not be checked is not paid and not slashed", () => {
  const { world, ada, bob } = two();
  world.play([ada, bob], (worker) => (worker === ada ? 1 : 0));
  assert.equal([world.unit(ada).status, world.unit(bob).status], ["soft", "pending"]);
  assert.is(world.own(ada).bonded, 1000n);
  assert.match(
    world.refused(world.submitter, {
      kind: "RoundClosed",
      round: 0,
      result: POOL,
      state: POOL,
      parameters: POOL,
      aggregated: [ada],
    }),
    /is soft, so it cannot be in the aggregate/,
  );
});

test("rejecting others never pays: what they do not earn stays in the pool", () => {
  const { world, ada, bob } = two();
  const before = world.worth(bob);
  world.play([ada, bob], (worker) => (worker === ada ? 1 : 0));
  const reward = world.worth(bob) - before;
  const honest = two();
  const start = honest.world.worth(honest.bob);
  honest.world.play([honest.ada, honest.bob]);
  assert.ok(reward <= honest.world.worth(honest.bob) - start);
});

test("threat 34, a forged attestation lowers the rate of checks to the floor and no further", () => {
  const world = new World({ unitSteps: 1999, unbondSpan: 10_000n });
  const [eve, bob] = [world.join("eve"), world.join("bob")];
  const credential = hashOf("forged");
  assert.match(
    world.refused(eve, { kind: "CredentialAdded", credential, sampleRate: 99_999 }),
    /allowed: 100000 to 1000000/,
  );
  world.do(eve, { kind: "CredentialAdded", credential, sampleRate: 100_000 });
  world.open([eve, bob]);
  world.commitAll();
  world.revealAll();
  const count = (worker: string) => world.round.checks.filter((one) => one.worker === worker).length;
  assert.is(count(bob), 2000);
  // Binomial of 2,000 and a tenth: 13.4 is its standard deviation.
  assert.ok(Math.abs(count(eve) - 200) < 70, `${count(eve)} of 2000`);
});

test("leaving: without blame by the sequencer's word, but never from under an accusation", () => {
  const { world, ada, bob } = two();
  const eve = world.join("eve");
  const left = (author: string, account: string) =>
    world.do(author, { kind: "RoundLeft", round: 0, account });
  world.open([ada, bob, eve]);
  const worth = world.worth(eve);
  left(eve, eve);
  assert.is(world.unit(eve).status, "left");
  assert.is(world.worth(eve), worth);
  world.commit(ada);
  world.commit(bob);
  assert.match(
    world.refused(ada, { kind: "RoundLeft", round: 0, account: ada }),
    /leaves by the sequencer's word only/,
  );
  assert.match(world.refused(bob, { kind: "RoundLeft", round: 0, account: ada }), /only .* itself/);
  world.reveal(ada);
  world.reveal(bob);
  assert.is(world.round.phase, "verdictCommit");
  world.judge((worker) => (worker === ada ? 2 : 0));
  assert.is(world.unit(ada).status, "hard");
  left(world.submitter, ada);
  assert.is(world.unit(ada).status, "hard", "who is accused stays accused");
  left(world.submitter, bob);
  assert.equal([world.unit(bob).status, world.own(bob).locked], ["left", 0n]);
});

test("who is lost with checks to do holds nobody up", () => {
  const world = new World();
  const [ada, bob] = [world.join("ada"), world.watch("bob")];
  world.open([ada]);
  world.commitAll();
  world.revealAll();
  const worth = world.worth(bob);
  world.do(world.submitter, { kind: "RoundLeft", round: 0, account: bob });
  assert.equal([world.round.phase, world.unit(ada).status], ["decided", "pending"]);
  assert.is(world.worth(bob), worth);
});

test("an event is in its author's order: the nonce grows, and may leave some out", () => {
  const { world, ada } = two();
  const event: LedgerEvent = { kind: "Bonded", amount: 1n };
  const { nonce } = world.own(ada);
  for (const wrong of [nonce, nonce - 1n, 0n]) assert.match(world.refused(ada, event, wrong), /the nonce is/);
  world.do(ada, event);
  assert.match(world.refused(ada, event, nonce + 1n), /the nonce is/);
});

test("a round that is opened again has its own deadlines, not those of the void one", () => {
  for (const [phase, spans] of [
    ["commit", { commitSpan: 100n }],
    ["reveal", { revealSpan: 100n, commitSpan: 100n }],
  ] as const) {
    const { world, ada, bob } = two(spans);
    const begin = world.now;
    world.open([ada, bob]);
    if (phase === "reveal") world.commitAll();
    world.now = begin + 90;
    for (const account of [ada, bob]) world.do(world.submitter, { kind: "RoundLeft", round: 0, account });
    world.close([]);
    world.open([ada, bob]);
    if (phase === "reveal") world.commitAll();
    const worth = [ada, bob].map((account) => world.worth(account));
    world.now = begin + 110;
    world.do(world.submitter, { kind: "Advanced" });
    assert.is(world.round.phase, phase, "the void round's deadline is over, not this one's");
    assert.equal(
      [ada, bob].map((account) => world.worth(account)),
      worth,
    );
    world.now = begin + 190;
    world.do(world.submitter, { kind: "Advanced" });
    assert.is(world.unit(ada).status, "expired");
  }
});

test("nor has it the end of the void one's contest", () => {
  const { world, ada } = two();
  world.watch("eve");
  world.play([ada]);
  const { contestEnd } = world.round;
  world.do(world.submitter, { kind: "RoundLeft", round: 0, account: ada });
  world.close([]);
  assert.is(world.state.nextRound, 0);
  world.now += 5;
  world.play([ada], () => 2);
  assert.is(world.round.contestEnd, contestEnd + 5);
  world.now = contestEnd;
  world.do(world.submitter, { kind: "Advanced" });
  assert.is(world.unit(ada).status, "hard", "accusers still have their time");
  world.now = world.round.contestEnd;
  world.do(world.submitter, { kind: "Advanced" });
  assert.is(world.unit(ada).status, "pending");
});

test("time passes as well in many records as in one", () => {
  const run = (pieces: number) => {
    const { world, ada, bob } = two();
    world.open([ada, bob]);
    world.commit(ada);
    const start = world.now;
    // The records differ in number, so only what they come to is compared.
    for (let piece = 1; piece <= pieces; piece += 1) {
      world.now = start + Math.floor((1500 * piece) / pieces);
      if (piece < pieces) world.refused(ada, { kind: "RewardClaimed", amount: 1n });
      world.do(world.submitter, { kind: "Advanced" });
    }
    world.own(world.submitter).nonce = 0n;
    return stateDigest(world.state);
  };
  assert.is(run(1), run(150));
  assert.is(run(1), run(7));
});

test("only the sequencer speaks for the run", () => {
  const { world, ada, bob } = two();
  const events: LedgerEvent[] = [
    { kind: "Deposited", account: ada, amount: 1n },
    { kind: "Ejected", account: bob, evidence: POOL, reason: "" },
    { kind: "Advanced" },
    { kind: "Snapshot", state: POOL },
  ];
  for (const event of events) assert.match(world.refused(ada, event), /only the (sequencer|submitter)/);
  world.do(world.submitter, { kind: "Ejected", account: bob, evidence: POOL, reason: "other bits" });
  assert.equal(world.state.eligible, [ada]);
  assert.match(world.refused(bob, { kind: "Bonded", amount: 1n }), /was ejected/);
  assert.is(capabilityBits.worker & world.own(bob).capabilities, capabilityBits.worker);
});

test.run();
