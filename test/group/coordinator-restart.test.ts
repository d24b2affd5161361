/** The coordinator's rules for what comes after a restart, a missed commit or a checkpoint; one scenario each. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { charterOf, Machine, resultOf, started, stateOf } from "./machine.js";

test("a peer that missed a commit catches up, even while the run goes on without it", () => {
  const machine = started(["A", "B", "C"]);
  machine.done("A", "B", "C");
  machine.close("C");
  machine.hello("C", {
    round: 0,
    stateDigest: stateOf(0),
    pending: { epoch: 1, round: 0, resultDigest: resultOf(1, 0) },
  });
  assert.is(machine.last("C", "commit").round, 0);
  machine.apply("A", "B");
  assert.is(machine.running(), "epoch 2 round 1: A B");
  machine.done("A", "B");
  machine.say("C", { type: "applied", round: 0, stateDigest: stateOf(1), metrics: {} });
  machine.apply("A", "B");
  assert.is(machine.running(), "epoch 3 round 2: A B C");
  assert.equal(machine.viewOf("C").sync, { source: "A", targets: ["C"] });
});

test("restart before the commit was journaled: the round runs again under a new epoch", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.done("A", "B");
  machine.restart();
  const pending = { epoch: 1, round: 1, resultDigest: resultOf(1, 1) };
  machine.hello("A", { pending });
  machine.hello("B", { pending });
  assert.is(machine.state.phase.name, "gathering");
  assert.not.ok(machine.sent.get("A")?.some((message) => message.type === "commit" && message.round === 1));
  machine.hello("C");
  assert.is(machine.running(), "epoch 2 round 1: A B C");
});

test("restart after the commit was journaled and before it was sent: peers with the result get it", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.done("A", "B");
  machine.crashing = true;
  machine.done("C");
  machine.restart();
  assert.is(machine.state.record.round, 2);
  const pending = { epoch: 1, round: 1, resultDigest: resultOf(1, 1) };
  for (const peer of ["A", "B", "C"]) machine.hello(peer, { round: 1, stateDigest: stateOf(1), pending });
  assert.is(machine.last("C", "commit").round, 1);
  machine.apply("A", "B");
  assert.is(machine.state.phase.name, "gathering");
  machine.apply("C");
  assert.is(machine.running(), "epoch 2 round 2: A B C");
  const told = machine.notices.filter((notice) => notice.kind === "commit").at(-1);
  assert.is(told?.kind === "commit" && told.round, 1);
  assert.is(told?.kind === "commit" && told.metrics.length, 3);
});

test("restart after some have applied: the others catch up; a different state is divergence", () => {
  for (const state of [stateOf(1), "odd"]) {
    const machine = started(["A", "B", "C"]);
    machine.done("A", "B", "C");
    machine.apply("A");
    machine.restart();
    const pending = { epoch: 1, round: 0, resultDigest: resultOf(1, 0) };
    machine.hello("A", {
      round: 1,
      stateDigest: stateOf(1),
      applied: { round: 0, metrics: { trainLoss: 3 } },
    });
    machine.hello("B", { round: 1, stateDigest: stateOf(1) });
    machine.hello("C", { round: 0, stateDigest: stateOf(0), pending });
    machine.say("C", { type: "applied", round: 0, stateDigest: state, metrics: {} });
    if (state === "odd") assert.is(machine.last("A", "end").code, "ERR_DIVERGED");
    else assert.is(machine.running(), "epoch 2 round 1: A B C");
  }
});

test("restart: a result that was not committed is not, whatever a peer says", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.restart();
  for (const peer of ["A", "B", "C"]) {
    machine.hello(peer, { pending: { epoch: 1, round: 1, resultDigest: resultOf(1, 1) } });
  }
  assert.is(machine.running(), "epoch 2 round 1: A B C");
  assert.is(machine.state.record.commit?.round, 0);
});

test("restart: missing members are waited for up to recoverLimitMs, the host's own trainer joins anew", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.pass(300);
  machine.restart();
  machine.hello("B");
  machine.hello("A", { recipeDigest: null, round: -1, stateDigest: null });
  machine.hello("A", { round: -1, stateDigest: null }, false);
  machine.pass(2900);
  assert.is(machine.state.phase.name, "gathering");
  machine.pass(100);
  assert.is(machine.running(), "epoch 2 round 1: A B");
  assert.equal(machine.viewOf("A").sync, { source: "B", targets: ["A"] });
  const notice = machine.notices.at(-1);
  assert.equal(notice?.kind === "membership" && notice.changes, [
    { peerId: "C", change: "lost", reason: "it did not come back" },
  ]);
});

test("restart without any holder of the state ends the run", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.restart();
  machine.hello("A", { round: -1, stateDigest: null });
  machine.pass(3000);
  assert.is(machine.last("A", "end").code, "ERR_CHECKPOINT");
});

test("restart of an ended run: peers are told the end", () => {
  const machine = started(["A", "B", "C"], { rounds: 1 });
  machine.round();
  machine.restart();
  machine.hello("A");
  assert.is(machine.last("A", "end").reason, "complete");
});

test("resume from a checkpoint starts at its round with its digest", () => {
  const machine = new Machine(charterOf({ peersMin: 2 }, { round: 7, stateDigest: stateOf(7) }));
  machine.hello("A", { recipeDigest: null, round: -1, stateDigest: null });
  assert.is(machine.last("A", "welcome").round, 7);
  machine.hello("A", { round: 7, stateDigest: "wrong" }, false);
  machine.hello("B", { round: 7, stateDigest: stateOf(7) });
  assert.is(machine.running(), "epoch 1 round 7: A B");
  assert.equal(machine.viewOf("A").sync, { source: "B", targets: ["A"] });
});

test.run();
