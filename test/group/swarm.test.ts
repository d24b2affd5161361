/** Coordinator host and members together: ten rounds with kills, late peers and restarts of the coordinator. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import type { RunSettings } from "../../lib/group/record.js";
import { idle, Swarm } from "./swarm.js";

const test = suite<{ folder: string; start(settings?: Partial<RunSettings>): Swarm; swarm: Swarm }>("swarm");
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), "gradmesh-swarm-"));
  context.start = (settings = {}) => {
    context.swarm = new Swarm(join(context.folder, "journal.sqlite"), {
      rounds: 10,
      peersMin: 4,
      ...settings,
    });
    return context.swarm;
  };
});
test.after.each(async (context) => {
  await context.swarm.close();
  rmSync(context.folder, { recursive: true, force: true });
});

const names = ["A", "B", "C", "D"];
const rounds = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

async function ended(swarm: Swarm): Promise<void> {
  await swarm.until(() => swarm.host?.state.record.ended != null, "the end");
  await idle();
  assert.equal(await swarm.host!.ended, { reason: "complete", code: null });
}

test("four peers run ten rounds", async ({ start }) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  await ended(swarm);
  for (const [index, peer] of [...swarm.peers.values()].entries()) {
    assert.is(peer.shard, index);
    assert.equal(peer.applied, rounds(0, 10));
    assert.equal(peer.log.slice(-2), ["end", "complete"]);
    assert.is(peer.log.filter((type) => type === "welcome").length, 1);
    // One notice for the start and one for each round.
    assert.is(peer.log.filter((type) => type === "notice").length, 11);
  }
  assert.is(swarm.host!.state.record.epoch, 1);
  assert.equal(
    swarm.notices.map((notice) => notice.kind),
    ["membership", ...rounds(0, 10).map(() => "commit" as const)],
  );
});

test("a view that is void since a member was lost says who is lost", async ({ start }) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  swarm.peers.get("C")!.held = true;
  swarm.peers.get("D")!.held = true;
  await swarm.until(() => swarm.collectives.size === 1, "a collective that waits for C and D");
  const { signal } = swarm.peers.get("D")!.view!;
  await swarm.kill("C");
  await swarm.until(() => signal.aborted, "the end of the view");
  const reason = signal.reason as GradmeshError;
  assert.is(reason.code, "ERR_PEER_LOST");
  assert.equal(reason.detail.peers, ["C"]);
});

test("a peer is killed in the middle of a collective, and joins again with its shard", async ({ start }) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  swarm.peers.get("C")!.held = true;
  await swarm.until(() => swarm.collectives.size === 1, "a collective that waits for C");
  await swarm.kill("C");
  await swarm.until(() => swarm.round() === 4, "round 4");
  const again = swarm.join("C");
  await ended(swarm);
  assert.is(again.shard, 2);
  assert.ok(again.applied.length >= 4, "C took part again");
  assert.is(again.applied.at(-1), 9);
  for (const name of ["A", "B", "D"]) {
    assert.equal(swarm.peers.get(name)!.applied, rounds(0, 10));
    assert.equal(swarm.peers.get(name)!.trained, rounds(0, 10), "inner steps are taken once a round");
  }
  const changes = swarm.notices.flatMap((notice) => (notice.kind === "membership" ? notice.changes : []));
  assert.equal(
    changes.slice(4).map(({ peerId, change }) => [peerId, change]),
    [
      ["C", "lost"],
      ["C", "joined"],
    ],
  );
});

test("the coordinator is killed in a round and restarted: nothing is lost, no peer notices", async ({
  start,
}) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  await swarm.until(() => swarm.round() === 3, "round 3");
  await swarm.crash();
  for (let step = 0; step < 20; step += 1) {
    await idle();
    swarm.clock.advance(50);
  }
  swarm.restart();
  await ended(swarm);
  for (const peer of swarm.peers.values()) {
    assert.equal(peer.applied, rounds(0, 10));
    assert.is(peer.log.filter((type) => type === "welcome").length, 1);
  }
  assert.is(swarm.host!.state.record.epoch, 2);
  const told = swarm.notices.flatMap((notice) => (notice.kind === "commit" ? [notice.round] : []));
  assert.equal([...new Set(told)], rounds(0, 10));
});

test("the coordinator is killed after it journaled a commit and before it sent it", async ({ start }) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  await swarm.until(() => swarm.round() === 3, "round 3");
  swarm.deaf = true;
  await swarm.until(() => swarm.round() === 4, "the commit of round 3");
  await swarm.crash();
  for (const peer of swarm.peers.values()) assert.is(peer.standing.round, 3);
  swarm.deaf = false;
  swarm.restart();
  await ended(swarm);
  for (const peer of swarm.peers.values()) {
    assert.equal(peer.applied, rounds(0, 10));
    assert.equal(peer.trained, rounds(0, 10), "no inner steps are taken again");
  }
});

test("the coordinator is killed while its members apply a commit: each applies it once", async ({
  start,
}) => {
  const swarm = start();
  for (const name of names) swarm.join(name).applyMs = 400;
  await swarm.until(() => swarm.round() === 3 && swarm.host!.state.phase.name === "applying", "a commit");
  await swarm.crash();
  swarm.restart();
  await ended(swarm);
  for (const peer of swarm.peers.values()) assert.equal(peer.applied, rounds(0, 10));
  const told = swarm.notices.flatMap((notice) => (notice.kind === "commit" ? [notice] : []));
  assert.equal(
    told.map((notice) => notice.round),
    rounds(0, 10),
    "each commit is told once",
  );
  assert.ok(told.every((notice) => notice.metrics.length === 4));
});

test("the coordinator is killed again and again, at any moment", async ({ start }) => {
  const swarm = start({ rounds: 30 });
  for (const name of names) swarm.join(name);
  for (let kill = 0; swarm.host?.state.record.ended == null && kill < 200; kill += 1) {
    // Kills fall on ever other turns of the event loop: between votes, after the commit, while it is sent.
    for (let turn = 0; turn < 5 + (kill % 23); turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
    if (kill % 3 === 0) await swarm.until(() => swarm.host?.state.phase.name !== "gathering", "a view");
    await swarm.crash();
    swarm.restart();
    swarm.clock.advance(200);
  }
  await ended(swarm);
  for (const peer of swarm.peers.values()) assert.equal(peer.applied, rounds(0, 30));
});

test("a stopped peer is lost after the silence limit, and comes back when it goes on", async ({ start }) => {
  const swarm = start({ rounds: 60 });
  for (const name of names) swarm.join(name);
  await swarm.until(() => swarm.round() === 2, "round 2");
  const stopped = swarm.peers.get("D")!;
  const resume = stopped.stop();
  const at = swarm.clock.now();
  await swarm.until(() => swarm.round() === 5, "rounds without D");
  assert.ok(swarm.clock.now() - at < 2500);
  assert.equal(swarm.host!.state.record.members, ["A", "B", "C"]);
  resume();
  await swarm.until(() => swarm.host!.state.record.members.length === 4, "D's return");
  await ended(swarm);
  assert.is(stopped.failure, null);
  assert.is(stopped.applied.at(-1), 59);
  assert.not.ok(stopped.applied.includes(4));
});

test("a peer leaves, the others go on", async ({ start }) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  await swarm.until(() => swarm.round() === 2, "round 2");
  const leaver = swarm.peers.get("B")!;
  leaver.member.leave();
  await ended(swarm);
  assert.is(leaver.log.at(-2), "end");
  assert.match(leaver.log.at(-1)!, /left the run at round/);
  assert.equal(leaver.failure, null);
  assert.equal(swarm.peers.get("A")!.applied, rounds(0, 10));
});

test("a coordinator that stays away ends in ERR_UNREACHABLE with its address", async ({ start }) => {
  const swarm = start();
  for (const name of names) swarm.join(name);
  await swarm.until(() => swarm.round() === 1, "round 1");
  await swarm.crash();
  for (let step = 0; step < 200; step += 1) {
    await idle();
    swarm.clock.advance(50);
  }
  await idle();
  for (const peer of swarm.peers.values()) {
    const failure = peer.failure as GradmeshError | null;
    assert.is(failure?.code, "ERR_UNREACHABLE");
    assert.match(
      failure!.message,
      /coordinator at \/at\/coordinator was away for 5000 ms \(connection refused\); check/,
    );
  }
});

test.run();
