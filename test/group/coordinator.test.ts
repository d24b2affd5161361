/** The coordinator's rules for rounds: votes, losses, broken links, divergence; one scenario each. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { charterOf, Machine, resultOf, started, stateOf } from "./machine.js";

const four = ["A", "B", "C", "D"];

test("a new run starts once peersMin peers are there", () => {
  const machine = new Machine(charterOf({ peersMin: 3 }));
  machine.hello("A");
  machine.hello("B", { samples: 7.5 });
  assert.is(machine.state.phase.name, "gathering");
  assert.is(machine.last("A", "wait").type, "wait");
  machine.hello("C");
  assert.is(machine.running(), "epoch 1 round 0: A B C");
  assert.is(machine.viewOf("A").sync, null);
  assert.equal(machine.viewOf("A").members[1], {
    peerId: "B",
    addresses: ["/at/B"],
    shard: 1,
    samples: 7.5,
    dialable: true,
  });
});

test("rounds go on under one epoch while the members stay", () => {
  const machine = started(four);
  for (let round = 0; round < 5; round += 1) {
    assert.is(machine.running(), `epoch 1 round ${round}: A B C D`);
    machine.round();
  }
  const told = machine.notices.filter((notice) => notice.kind === "commit");
  assert.is(told.length, 5);
  assert.equal(
    told[4]?.kind === "commit" && told[4].metrics.map((peer) => peer.metrics.trainLoss),
    [4, 4, 4, 4],
  );
  assert.is(told[4]?.kind === "commit" && told[4].stateDigest, stateOf(5));
});

test("the run is complete after its last round is applied", () => {
  const machine = started(four, { rounds: 2 });
  machine.round();
  machine.done(...four);
  assert.is(machine.last("A", "commit").round, 1);
  assert.is(machine.state.record.ended, null);
  machine.apply(...four);
  assert.equal(machine.last("D", "end"), { type: "end", reason: "complete", code: null });
  machine.hello("E");
  assert.is(machine.last("E", "end").reason, "complete");
  assert.equal(machine.closed, ["E"]);
});

test("a kill in a round: the survivors run it again under the next epoch, old votes are void", () => {
  const machine = started(four);
  machine.round();
  machine.done("A", "B");
  machine.close("C");
  assert.is(machine.running(), "epoch 2 round 1: A B D");
  const notice = machine.notices.at(-1);
  assert.equal(notice?.kind === "membership" && notice.changes, [
    { peerId: "C", change: "lost", reason: "its connection closed" },
  ]);
  machine.done("D");
  machine.say("A", { type: "vote", epoch: 1, round: 1, outcome: "done", resultDigest: resultOf(1, 1) });
  assert.is(machine.state.phase.name, "running");
  machine.done("A", "B");
  assert.equal(machine.last("A", "commit").contributors, ["A", "B", "D"]);
});

test("two kills at once cost two epochs, and the round completes", () => {
  const machine = started(four);
  machine.done("A");
  machine.fail("A", ["B"]);
  machine.close("B", "D");
  assert.is(machine.running(), "epoch 3 round 0: A C");
  machine.round();
  assert.is(machine.running(), "epoch 3 round 1: A C");
});

test("a peer lost between commit and next view is left out, and the others go on", () => {
  const machine = started(four);
  machine.done(...four);
  machine.apply("A", "B");
  machine.close("D");
  assert.is(machine.state.phase.name, "applying");
  machine.apply("C");
  assert.is(machine.running(), "epoch 2 round 1: A B C");
});

test("a silent peer is lost, a beating one is not", () => {
  const machine = started(four);
  machine.pass(900, ["A", "B", "C"]);
  assert.is(machine.running(), "epoch 1 round 0: A B C D");
  machine.pass(300, ["A", "B", "C"]);
  assert.is(machine.running(), "epoch 2 round 0: A B C");
  assert.equal(machine.closed, ["D"]);
  const notice = machine.notices.at(-1);
  assert.match((notice?.kind === "membership" && notice.reason) || "", /silent for 1100 ms/);
});

test("a coordinator that was itself stopped does not blame its peers", () => {
  const machine = started(four);
  machine.pass(500);
  machine.now += 60_000;
  machine.step({ type: "tick" });
  assert.is(machine.running(), "epoch 1 round 0: A B C D");
  machine.pass(1200, ["A", "B", "C"]);
  assert.is(machine.running(), "epoch 2 round 0: A B C");
});

test("a link between living peers: two new epochs with the same members, then the peer most named goes", () => {
  const machine = started(four);
  for (const epoch of [2, 3]) {
    machine.done("D");
    machine.fail("A", ["C"]);
    machine.fail("B", ["C"]);
    machine.fail("C", ["A"]);
    // C is named, but it has spoken: no need to wait for its silence. A too.
    assert.is(machine.running(), `epoch ${epoch} round 0: A B C D`);
  }
  machine.done("D");
  machine.fail("A", ["C"]);
  machine.fail("B", ["C"]);
  machine.fail("C", ["A"]);
  assert.is(machine.running(), "epoch 4 round 0: A B D");
  assert.match(
    machine.last("C", "wait").reason,
    /A, B could not exchange data with it in 3 epochs of round 0/,
  );
  machine.round();
  assert.is(machine.running(), "epoch 5 round 1: A B C D");
  assert.equal(machine.viewOf("A").sync, { source: "B", targets: ["C"] });
});

test("a named peer that says nothing is waited for, up to the silence limit", () => {
  const machine = started(four);
  machine.fail("A", ["C"]);
  machine.pass(800);
  assert.is(machine.running(), "epoch 1 round 0: A B C D");
  machine.pass(300);
  assert.is(machine.running(), "epoch 2 round 0: A B C D");
  machine.fail("A", ["C"]);
  machine.close("C");
  assert.is(machine.running(), "epoch 3 round 0: A B D");
});

test("conflicting reports: of equals the higher rank goes", () => {
  const machine = started(["A", "B"]);
  for (let epoch = 1; epoch <= 3; epoch += 1) {
    assert.is(machine.running(), `epoch ${epoch} round 0: A B`);
    machine.fail("A", ["B"]);
    machine.fail("B", ["A"]);
  }
  assert.is(machine.running(), "epoch 4 round 0: A");
});

test("a failure that names nobody is tried again, then ends the run with its reason", () => {
  const machine = started(["A", "B"], { failureRetriesMax: 2 });
  for (let epoch = 1; epoch <= 3; epoch += 1) {
    assert.is(machine.running(), `epoch ${epoch} round 0: A B`);
    machine.done("A");
    machine.fail("B", [], "ERR_OUT_OF_MEMORY");
  }
  assert.is(machine.last("A", "end").code, "ERR_OUT_OF_MEMORY");
  assert.match(machine.last("A", "end").reason, /B failed in round 0: a link broke; it was tried 3 times/);
});

test("a slow applier is taken out", () => {
  const machine = started(["A", "B", "C"]);
  machine.done("A", "B", "C");
  machine.apply("A", "C");
  machine.pass(5000);
  assert.is(machine.running(), "epoch 2 round 1: A B C");
  assert.equal(machine.viewOf("A").sync, { source: "C", targets: ["B"] });
});

test("a result that differs from most: its peer is sent the state, and the round runs again", () => {
  const machine = started(["A", "B", "C"]);
  machine.done("A", "B");
  machine.say("C", { type: "vote", epoch: 1, round: 0, outcome: "done", resultDigest: "odd" });
  assert.is(machine.running(), "epoch 2 round 0: A B C");
  assert.equal(machine.viewOf("C").sync, { source: "A", targets: ["C"] });
});

test("of a verified run: who differs in a round is out of it until its end, is sent the state then, and refused the next time", () => {
  const charter = { ...charterOf({ peersMin: 3 }), ledgerId: "1".repeat(64) };
  const machine = new Machine(charter);
  for (const peer of ["A", "B", "C"]) machine.hello(peer);
  const odd = () => {
    const { epoch, round } = machine.view;
    machine.done("A", "B");
    machine.say("C", { type: "vote", epoch, round, outcome: "done", resultDigest: "odd" });
  };
  odd();
  assert.is(machine.running(), "epoch 2 round 0: A B", "its work of the round is on the ledger already");
  assert.is(machine.viewOf("A").sync, null);
  // Neither a new connection nor a pause lets it in before the round is over.
  machine.close("C");
  machine.hello("C");
  machine.close("A", "B");
  assert.is(machine.state.phase.name, "gathering");
  machine.hello("A");
  machine.hello("B");
  assert.is(machine.view.members.join(" "), "A");
  machine.round();
  assert.is(machine.running(), "epoch 5 round 1: A B C");
  const { epoch, round } = machine.view;
  assert.ok(machine.viewOf("C").sync?.targets.includes("C"));
  for (const peer of ["B", "C"])
    machine.say(peer, { type: "synced", epoch, round, stateDigest: stateOf(round) });
  odd();
  assert.match(machine.last("C", "refused").reason, /in round 1: it holds odd.*differ again/);
  assert.is(machine.running(), "epoch 6 round 1: A B");
});

test("of a verified run: whose state differs after a round works in the next one, with the others' state", () => {
  const charter = { ...charterOf({ peersMin: 3 }), ledgerId: "1".repeat(64) };
  const machine = new Machine(charter);
  for (const peer of ["A", "B", "C"]) machine.hello(peer);
  machine.done("A", "B", "C");
  machine.apply("A", "B");
  machine.say("C", { type: "applied", round: 0, stateDigest: "odd", metrics: {} });
  assert.is(machine.running(), "epoch 2 round 1: A B C", "the round in which it differed is over");
  assert.ok(machine.viewOf("C").sync?.targets.includes("C"));
});

test("different results without a majority end the run, naming who has what", () => {
  const machine = started(["A", "B"]);
  machine.done("A");
  machine.say("B", { type: "vote", epoch: 1, round: 0, outcome: "done", resultDigest: "odd" });
  const end = machine.last("B", "end");
  assert.is(end.code, "ERR_DIVERGED");
  assert.match(end.reason, /result-1-0 on A; odd on B/);
});

test("a state that differs from most is replaced once; the second time its peer is refused", () => {
  const machine = started(["A", "B", "C"]);
  const odd = (round: number) => {
    machine.done("A", "B", "C");
    machine.apply("A", "C");
    machine.say("B", { type: "applied", round, stateDigest: "odd", metrics: {} });
  };
  odd(0);
  assert.is(machine.running(), "epoch 2 round 1: A B C");
  assert.equal(machine.viewOf("B").sync, { source: "A", targets: ["B"] });
  machine.say("B", { type: "synced", epoch: 2, round: 1, stateDigest: stateOf(1) });
  odd(1);
  assert.match(machine.last("B", "refused").reason, /after round 1: it holds odd.*state-2.*differ again/);
  assert.is(machine.running(), "epoch 3 round 2: A C");
});

test("different states without a majority end the run, naming who has what", () => {
  const machine = started(["A", "B"]);
  machine.done("A", "B");
  machine.apply("A");
  machine.say("B", { type: "applied", round: 0, stateDigest: "odd", metrics: {} });
  assert.is(machine.last("A", "end").code, "ERR_DIVERGED");
  assert.match(machine.last("A", "end").reason, /after round 0 .* state-1 on A; odd on B/);
});

test("a peer that comes suspended is in no view, also where it would make one possible", () => {
  const machine = new Machine(charterOf({ peersMin: 2 }));
  machine.hello("A");
  machine.hello("B", {}, true, "its stake is missing");
  assert.is(machine.state.phase.name, "gathering");
  assert.is(machine.view.epoch, 0, "no view was begun");
  assert.match(machine.last("B", "wait").reason, /its stake is missing/);
  machine.step({ type: "restore", peers: ["B"] });
  assert.is(machine.running(), "epoch 1 round 0: A B");
});

test("a suspended peer is in no view until it is restored, and the round goes on without it", () => {
  const machine = started(["A", "B", "C"]);
  machine.step({ type: "suspend", peer: "B", reason: "dispute 1" });
  assert.is(machine.running(), "epoch 2 round 0: A C");
  assert.match(machine.last("B", "wait").reason, /dispute 1/);
  machine.round();
  assert.is(machine.running(), "epoch 2 round 1: A C");
  machine.step({ type: "restore", peers: ["B"] });
  machine.round();
  assert.is(machine.running(), "epoch 3 round 2: A B C");
  assert.equal(machine.viewOf("B").sync, { source: "A", targets: ["B"] });
});

test("peers that are restored together are together in the next view, though one of them would be enough for it", () => {
  const machine = started(["A", "B", "C"]);
  for (const peer of ["A", "B", "C"]) machine.step({ type: "suspend", peer, reason: "late" });
  assert.is(machine.state.phase.name, "gathering");
  machine.step({ type: "restore", peers: ["C", "A", "B"] });
  assert.is(machine.running(), "epoch 4 round 0: A B C");
});

test.run();
