/** Slow members under the coordinator's rule: when they are left out, how they come back, and that nobody starves. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Machine, started } from "./machine.js";

const SLOW_MS = 500;
const four = (settings = {}) => started(["A", "B", "C", "D"], { slowLimitMs: SLOW_MS, ...settings });

/** All but D have taken their steps, and the limit passes. */
function leaveOutD(machine: Machine): void {
  machine.finish("A", "B", "C");
  machine.pass(SLOW_MS);
  assert.is(machine.running(), `epoch ${machine.view.epoch} round ${machine.view.round}: A B C`);
}

test("a member past the limit is left out: the others run the round again without it, and it is told", () => {
  const machine = four();
  machine.finish("A", "B", "C");
  machine.pass(SLOW_MS - 100);
  assert.is(machine.running(), "epoch 1 round 0: A B C D", "not before the limit");
  machine.pass(100);
  assert.is(machine.running(), "epoch 2 round 0: A B C");
  assert.is(machine.viewOf("A").again, true);
  assert.match(machine.last("D", "wait").reason, /left out of round 0: .* \(slowLimitMs 500\)/);
  const notice = machine.notices.findLast(({ kind }) => kind === "membership");
  assert.ok(notice?.kind === "membership");
  assert.equal(
    notice.changes.map(({ peerId, change }) => [peerId, change]),
    [["D", "slow"]],
  );
  assert.equal([...machine.state.strikes], [], "it is no fault");
  assert.equal(machine.closed, []);
});

test("it comes back at the boundary after its steps, has the state sent to it, and is then waited for", () => {
  const machine = four();
  leaveOutD(machine);
  machine.round();
  assert.is(machine.running(), "epoch 2 round 1: A B C", "it is still at its steps");
  machine.say("D", { type: "finished", epoch: 1, round: 0 });
  machine.round();
  assert.is(machine.running(), "epoch 3 round 2: A B C D");
  assert.equal(machine.viewOf("D").sync, { source: "A", targets: ["D"] });
  machine.say("D", { type: "synced", epoch: 3, round: 2, stateDigest: "state-2" });
  machine.finish("A", "B", "C");
  machine.pass(5 * SLOW_MS);
  assert.is(machine.running(), "epoch 3 round 2: A B C D", "it brings the work it was left out with");
  machine.finish("D");
  machine.round();
  assert.is(machine.running(), "epoch 3 round 3: A B C D");
  leaveOutD(machine);
});

test("nobody is left out without the rule, of two members, before most have finished, or below membersMin", () => {
  const off = four({ slowLimitMs: 0 });
  off.finish("A", "B", "C");
  off.pass(3000);
  assert.is(off.running(), "epoch 1 round 0: A B C D");
  const two = started(["A", "B"], { slowLimitMs: SLOW_MS });
  two.finish("A");
  two.pass(3000);
  assert.is(two.running(), "epoch 1 round 0: A B");
  const half = four();
  half.finish("A", "B");
  half.pass(3000);
  assert.is(half.running(), "epoch 1 round 0: A B C D");
  const few = four({ membersMin: 4 });
  few.finish("A", "B", "C");
  few.pass(3000);
  assert.is(few.running(), "epoch 1 round 0: A B C D");
});

test("one that voted, and one that finished late but in time, stay", () => {
  const machine = four();
  machine.finish("A", "B", "C");
  machine.pass(SLOW_MS - 100);
  machine.finish("D");
  machine.pass(3000);
  assert.is(machine.running(), "epoch 1 round 0: A B C D");
  machine.round();
  machine.finish("A", "B", "C");
  machine.done("D");
  machine.pass(3000);
  assert.is(machine.running(), "epoch 1 round 1: A B C D");
});

test("time that the coordinator itself was stopped does not count", () => {
  const machine = four();
  machine.pass(100);
  machine.finish("A", "B", "C");
  machine.now += 900;
  machine.step({ type: "tick" });
  assert.is(machine.running(), "epoch 1 round 0: A B C D");
});

test("who sends or receives the state first is not left out of that round", () => {
  const machine = started(["A", "B", "C", "D"], { slowLimitMs: SLOW_MS });
  machine.hello("E");
  machine.round();
  assert.is(machine.running(), "epoch 2 round 1: A B C D E");
  assert.equal(machine.viewOf("E").sync, { source: "A", targets: ["E"] });
  machine.finish("B", "C", "D");
  machine.pass(2 * SLOW_MS);
  assert.is(machine.running(), "epoch 2 round 1: A B C D E", "A still sends the state");
  machine.say("E", { type: "synced", epoch: 2, round: 1, stateDigest: "state-1" });
  machine.pass(2 * SLOW_MS);
  assert.is(machine.running(), "epoch 2 round 1: A B C D E", "both began their steps late");
});

test("when the others are gone, one that was left out is waited for no more: it has the state", () => {
  const machine = four();
  leaveOutD(machine);
  for (const peer of ["A", "B", "C"]) machine.close(peer);
  assert.is(machine.running(), `epoch ${machine.view.epoch} round 0: D`);
});

test("one that was left out and is lost, or connects again, is like any other", () => {
  const machine = four();
  leaveOutD(machine);
  machine.close("D");
  machine.round();
  machine.hello("D");
  machine.round();
  assert.is(machine.running(), `epoch ${machine.view.epoch} round 2: A B C D`);
});

test.run();
