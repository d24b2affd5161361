/**
 * The coordinator under random histories: peers that come, go, die, leave, report false losses, speak late and twice,
 * and a coordinator that is killed at any point. What must hold always is checked after every event; then everybody
 * behaves, and the run must go on or end.
 */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Fact, foldFact, replay } from "../../lib/group/record.js";
import type { Machine } from "./machine.js";
import { World } from "./world.js";

const deeds = fc.array(fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99)), {
  minLength: 1,
  maxLength: 250,
  size: "max",
});
const seed = Number(process.env.GRADMESH_SEED ?? Date.now() % 2 ** 31);
const coverage = { commits: 0, epochs: 0, facts: 0, ended: 0 };

test(`random histories keep every promise (GRADMESH_SEED=${seed})`, () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 6 }), deeds, (count, history) => {
      const world = new World(count);
      for (const [kind, which, choice] of history) world.deed(kind, which, choice);
      const { machine } = world;
      checkEveryCut(machine);
      checkProgress(world);
      coverage.commits += world.commits;
      coverage.epochs += machine.state.record.epoch;
      coverage.facts += machine.facts.length;
      if (machine.state.record.ended !== null) coverage.ended += 1;
    }),
    { numRuns: Number(process.env.GRADMESH_RUNS ?? 300), seed, includeErrorInReport: true },
  );
  console.log(`histories, with their sums: ${JSON.stringify(coverage)}`);
  assert.ok(coverage.commits > 300, "the histories hardly commit anything");
  assert.ok(coverage.epochs > 300, "the histories hardly change their membership");
});

/** Folding the journal in two parts, cut anywhere, gives the same record as in one. */
function checkEveryCut(machine: Machine): void {
  const { charter, facts } = machine;
  assert.equal(replay(charter, facts), machine.state.record);
  for (let cut = 0; cut <= facts.length; cut += 1) {
    const before = replay(charter, JSON.parse(JSON.stringify(facts.slice(0, cut))) as Fact[]);
    assert.equal(facts.slice(cut).reduce(foldFact, before), machine.state.record);
  }
}

/** Everybody behaves from now on: rounds commit again, and every peer that is there is in the view. */
function checkProgress(world: World): void {
  const { machine } = world;
  const goal = world.commits + 3;
  for (let step = 0; step < 400; step += 1) {
    // Enough peers to start with; the state may be lost with the last that held it, which ends the run in time.
    for (const peer of world.peers) if (!peer.leaving) world.connect(peer);
    world.behave();
    world.pass(100);
    if (machine.state.record.ended !== null) return;
    const present = world.peers.filter((peer) => machine.state.peers.has(peer.id));
    const served = present.every((peer) => machine.state.record.members.includes(peer.id));
    if (world.commits >= goal && served && machine.state.phase.name === "running") return;
  }
  const holders = world.peers.filter(
    (peer) => peer.round === machine.state.record.round && peer.digest !== null,
  );
  if (holders.length === 0) {
    world.pass(25_000);
    assert.is(machine.state.record.ended?.code, "ERR_CHECKPOINT");
    return;
  }
  assert.unreachable(
    `no progress: ${JSON.stringify(machine.state.record)} ${machine.state.phase.name} ${JSON.stringify(holders)}`,
  );
}

test.run();
