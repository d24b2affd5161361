/** The coordinator's rules for who takes part: joins, syncs, shards, leaves, pauses, refusals; one scenario each. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { charterOf, Machine, started, stateOf } from "./machine.js";

const four = ["A", "B", "C", "D"];

test("a peer without a recipe is told it, and counts once it says hello with it", () => {
  const machine = new Machine(charterOf({ peersMin: 2 }));
  machine.hello("A");
  machine.hello("B", { recipeDigest: null, round: -1, stateDigest: null });
  assert.equal(machine.last("B", "welcome").config, { model: "tiny" });
  assert.is(machine.last("B", "welcome").shard, 1);
  machine.pass(500);
  assert.is(machine.state.phase.name, "gathering");
  machine.hello("B", {}, false);
  assert.is(machine.running(), "epoch 1 round 0: A B");
});

test("a slow voter is taken out, joins again, and is refused the third time", () => {
  const machine = started(["A", "B", "C"]);
  for (let fault = 1; fault <= 3; fault += 1) {
    machine.done("A", "B");
    machine.pass(5000);
    assert.is(machine.running(), `epoch ${2 * fault} round ${fault - 1}: A B`);
    const kind = fault < 3 ? "wait" : "refused";
    assert.match(machine.last("C", kind).reason, /no result within 5000 ms of the first vote/);
    machine.round();
    if (fault === 3) break;
    assert.is(machine.running(), `epoch ${2 * fault + 1} round ${fault}: A B C`);
    const { epoch, round } = machine.view;
    assert.equal(machine.viewOf("C").sync?.targets, ["C"]);
    machine.say("C", { type: "synced", epoch, round, stateDigest: stateOf(round) });
  }
  assert.ok(machine.closed.includes("C"));
  machine.hello("C");
  assert.match(machine.last("C", "refused").reason, /taken out of the run 3 times/);
});

test("a peer that joins in mid-run waits for the boundary and is sent the state", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.hello("E", { recipeDigest: null, round: -1, stateDigest: null });
  assert.is(machine.last("E", "welcome").round, 1);
  machine.hello("E", { round: -1, stateDigest: null }, false);
  assert.is(machine.running(), "epoch 1 round 1: A B C");
  machine.round();
  assert.is(machine.running(), "epoch 2 round 2: A B C E");
  assert.equal(machine.viewOf("B").sync, { source: "A", targets: ["E"] });
  // Votes of the others alone commit nothing, nor does one of E before it holds the state.
  machine.done("A", "B", "C", "E");
  assert.is(machine.state.phase.name, "running");
  machine.say("E", { type: "synced", epoch: 2, round: 2, stateDigest: stateOf(2) });
  machine.done("E");
  machine.apply("A", "B", "C", "E");
  assert.is(machine.running(), "epoch 2 round 3: A B C E");
});

test("a failed sync takes the joiner out of the running round, and it tries again from another source", () => {
  const machine = started(["A", "B", "C"]);
  machine.hello("E", { round: -1, stateDigest: null });
  machine.round();
  machine.say("E", { type: "sync-failed", epoch: 2, round: 1, reason: "the source is slow" });
  assert.is(machine.running(), "epoch 3 round 1: A B C");
  machine.round();
  assert.is(machine.running(), "epoch 4 round 2: A B C E");
  assert.equal(machine.viewOf("E").sync, { source: "B", targets: ["E"] });
  machine.say("E", { type: "synced", epoch: 4, round: 2, stateDigest: "other" });
  assert.is(machine.running(), "epoch 5 round 2: A B C");
  assert.match(machine.last("E", "wait").reason, /it holds other after the sync, not state-2/);
});

test("a sync that never ends is given up", () => {
  const machine = started(["A", "B", "C"]);
  machine.hello("E", { round: -1, stateDigest: null });
  machine.round();
  machine.pass(3900);
  assert.is(machine.running(), "epoch 2 round 1: A B C E");
  machine.pass(100);
  assert.is(machine.running(), "epoch 3 round 1: A B C");
});

test("the source is lost during the sync: another one takes over", () => {
  const machine = started(["A", "B", "C"]);
  machine.hello("E", { round: -1, stateDigest: null });
  machine.round();
  machine.close("A");
  assert.is(machine.running(), "epoch 3 round 1: B C E");
  assert.equal(machine.viewOf("E").sync, { source: "B", targets: ["E"] });
});

test("a peer that comes back has its old shard; a new one never takes a shard in use", () => {
  const machine = started(four);
  machine.close("B");
  machine.hello("E");
  assert.is(machine.last("E", "welcome").shard, 4);
  machine.hello("B", { round: -1, stateDigest: null });
  assert.is(machine.last("B", "welcome").shard, 1);
  machine.close("C");
  machine.hello("F");
  machine.hello("G");
  assert.is(machine.last("F", "welcome").shard, 5);
  assert.is(machine.last("G", "welcome").shard, 2);
  // C's shard is given away and the run is full.
  machine.hello("C");
  assert.match(machine.last("C", "refused").reason, /the run is full: 6 peers/);
});

test("a second connection of a peer replaces the first", () => {
  const machine = started(four);
  machine.hello("B");
  assert.is(machine.running(), "epoch 2 round 0: A C D");
  machine.round();
  assert.is(machine.running(), "epoch 3 round 1: A B C D");
});

test("a peer that reconnects just before the boundary gets fresh links under a new epoch", () => {
  const machine = started(four);
  machine.done(...four);
  machine.apply("A", "B", "C");
  machine.hello("D", { round: 1, stateDigest: stateOf(1), applied: { round: 0, metrics: {} } });
  assert.is(machine.running(), "epoch 2 round 1: A B C D");
  assert.is(machine.viewOf("D").sync, null);
});

test("a member leaves at the boundary, and is not lost", () => {
  const machine = started(four);
  machine.say("B", { type: "leave" });
  assert.is(machine.running(), "epoch 1 round 0: A B C D");
  machine.round();
  assert.is(machine.running(), "epoch 2 round 1: A C D");
  assert.equal(machine.last("B", "end"), { type: "end", reason: "left the run at round 1", code: null });
  const notice = machine.notices.at(-1);
  assert.equal(notice?.kind === "membership" && notice.changes, [
    { peerId: "B", change: "left", reason: "it asked to leave" },
  ]);
});

/** The peer received the state that the view has sent to it. */
function sync(machine: Machine, peer: string): void {
  const { epoch, round } = machine.view;
  machine.say(peer, { type: "synced", epoch, round, stateDigest: stateOf(round) });
}

test("the last holder of the state leaves only after it gave the state to those who stay", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.hello("E", { round: -1, stateDigest: null });
  machine.close("A", "B");
  assert.is(machine.running(), "epoch 3 round 1: C");
  machine.say("C", { type: "leave" });
  machine.round();
  assert.is(machine.running(), "epoch 4 round 2: C E");
  assert.equal(machine.viewOf("E").sync, { source: "C", targets: ["E"] });
  sync(machine, "E");
  machine.round();
  assert.is(machine.running(), "epoch 5 round 3: E");
  assert.is(machine.last("C", "end").reason, "left the run at round 3");
});

test("the last holder of the state asks to leave while a restarted coordinator waits for others", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.restart();
  machine.hello("A", { round: -1, stateDigest: null });
  machine.hello("C");
  machine.say("C", { type: "leave" });
  assert.is(machine.state.phase.name, "gathering");
  machine.pass(3100);
  assert.is(machine.running(), "epoch 2 round 1: A C");
  sync(machine, "A");
  machine.round();
  assert.is(machine.running(), "epoch 3 round 2: A");
});

test("the last peer leaves at the boundary although it alone holds the state", () => {
  const machine = started(["A", "B", "C"]);
  machine.close("A", "B");
  machine.say("C", { type: "leave" });
  machine.round();
  assert.is(machine.last("C", "end").reason, "left the run at round 1");
});

test("faults of long ago are forgiven", () => {
  const machine = started(["A", "B", "C"], { strikesMax: 2 });
  const slow = () => {
    machine.done("A", "B");
    machine.pass(5000);
  };
  const rejoin = () => {
    machine.round();
    sync(machine, "C");
  };
  slow();
  rejoin();
  for (let round = 0; round < 20; round += 1) machine.round();
  slow();
  assert.match(machine.last("C", "wait").reason, /no result/, "the first fault counts no more");
  rejoin();
  slow();
  assert.is(machine.last("C", "refused").code, "ERR_REFUSED");
});

test("the run pauses below membersMin and goes on with whoever comes", () => {
  const machine = started(["A", "B", "C"], { membersMin: 2 });
  machine.round();
  machine.close("B", "C");
  assert.is(machine.state.phase.name, "gathering");
  assert.match(machine.last("A", "wait").reason, /waits for peers/);
  machine.pass(60_000);
  assert.is(machine.state.phase.name, "gathering");
  machine.hello("E", { round: -1, stateDigest: null });
  assert.is(machine.running(), "epoch 3 round 1: A E");
  assert.equal(machine.viewOf("A").sync, { source: "A", targets: ["E"] });
});

test("when the last holder of the state is gone for too long the run ends", () => {
  const machine = started(["A", "B", "C"]);
  machine.round();
  machine.hello("E", { round: -1, stateDigest: null });
  machine.close("A", "B", "C");
  machine.pass(2000);
  assert.is(machine.state.phase.name, "gathering");
  machine.pass(1100);
  assert.is(machine.last("E", "end").code, "ERR_CHECKPOINT");
  assert.is(machine.last("E", "end").reason, "no peer holds the state of round 1; resume from a checkpoint");
});

test("whoever leads the run can end it with its reason, once", () => {
  const machine = started(["A", "B", "C"]);
  const [reason, code] = ["nothing can be checked", "ERR_TIMEOUT"] as const;
  machine.step({ type: "end", reason, code });
  for (const peer of ["A", "B", "C"]) assert.equal(machine.last(peer, "end"), { type: "end", reason, code });
  assert.equal(machine.state.record.ended, { reason, code });
  assert.equal(machine.step({ type: "end", reason: "again", code }), []);
});

test("refusals say why", () => {
  const machine = started(["A", "B", "C"]);
  machine.hello("X", { runId: "other" });
  assert.match(machine.last("X", "refused").reason, /ticket is for run other/);
  machine.hello("Y", { recipeDigest: "other" });
  assert.match(machine.last("Y", "refused").reason, /recipe other is not the run's recipe/);
  machine.step({ type: "fault", peer: "A", code: "ERR_PROTOCOL", reason: "nonsense" });
  assert.is(machine.last("A", "refused").code, "ERR_PROTOCOL");
  assert.equal(machine.closed, ["X", "Y", "A"]);
  assert.is(machine.running(), "epoch 2 round 0: B C");
});

test("a member alone in its view that is suspended and restored with all others is in the next view with them", () => {
  const machine = started(["A", "B", "E"]);
  const [silent, ...others] = machine.state.record.members as [string, ...string[]];
  for (const peer of others) machine.step({ type: "suspend", peer, reason: "its work does not count" });
  assert.match(machine.running(), new RegExp(`: ${silent}$`));
  machine.step({ type: "suspend", peer: silent, reason: "it did not vote" });
  assert.is(machine.state.phase.name, "gathering");
  machine.step({ type: "restore", peers: [silent, ...others] });
  assert.match(machine.running(), new RegExp(`: ${[silent, ...others].join(" ")}$`));
});

test.run();
