/** Peers and the coordinator are killed, stopped and started again; the run completes with the same bits everywhere. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withRun } from "./run.js";

const allEqual = (digests: readonly string[]) => new Set(digests).size === 1 && digests[0] !== "";

test("a peer killed in the middle of an all-reduce: the round completes, and it comes back", () =>
  withRun({ peersMin: 3, rounds: 250, strategy: { innerSteps: 10 } }, async (run) => {
    const ticket = await run.startAll([["second"], ["third", "--fault", "3:150:SIGKILL"]]);
    assert.is((await run.exited("third")).signal, "SIGKILL");
    const failure = await run.event("failed", (event) => event.name === "first");
    assert.is(failure.code, "ERR_PEER_LOST");
    assert.is(failure.round, 2);
    const round = await run.event("round", (event) => event.name === "first" && event.round === 3);
    assert.is(round.contributors.length, 2, "the survivors complete the same round");
    run.start("third", ["join", ticket]);
    const synced = await run.event("synced", (event) => event.name === "third");
    const names = ["first", "second", "third"];
    assert.ok(allEqual(await run.digests(names)), "all end with the same state");
    assert.equal(run.history("second"), run.history("first"));
    assert.is(run.history("third").get(synced.round + 1), run.history("first").get(synced.round + 1));
  }));

test("every survivor of a kill gets the same typed error naming the same peer", () =>
  withRun({ peersMin: 4, rounds: 4 }, async (run) => {
    await run.startAll([["second"], ["third"], ["fourth", "--fault", "2:150:SIGKILL"]]);
    const victim = await run.event("started", (event) => event.name === "fourth");
    await run.event("round", (event) => event.name === "first" && event.round === 2);
    for (const name of ["first", "second", "third"]) {
      const failure = await run.event("failed", (event) => event.name === name);
      assert.is(failure.code, "ERR_PEER_LOST", name);
      assert.equal(failure.lost, [victim.peer], name);
    }
    assert.ok(allEqual(await run.digests(["first", "second", "third"])));
  }));

test("a peer that is stopped (SIGSTOP) is found by its silence, and catches up when it wakes", () =>
  withRun({ peersMin: 3, rounds: 250, strategy: { innerSteps: 10 } }, async (run) => {
    await run.startAll([["second"], ["third", "--fault", "3:150:SIGSTOP"]]);
    const round = await run.event("round", (event) => event.name === "first" && event.round === 3);
    assert.is(round.contributors.length, 2, "the survivors go on without it");
    run.peer("third").kill("SIGCONT");
    const synced = await run.event("synced", (event) => event.name === "third");
    assert.ok(synced.round >= 3);
    assert.ok(allEqual(await run.digests(["first", "second", "third"])));
  }));

test("the coordinator's process is killed and started again: the run goes on with nothing lost", () =>
  withRun({ peersMin: 3, rounds: 10, strategy: { innerSteps: 10 } }, async (run) => {
    await run.startAll([["second"], ["third"]]);
    await run.event("round", (event) => event.name === "second" && event.round === 3);
    run.peer("first").kill("SIGKILL");
    await run.exited("first");
    const before = run.history("second");
    run.start("first", ["run", `${run.folder}/config.json`]);
    assert.ok(allEqual(await run.digests(["first", "second", "third"])));
    const after = run.history("second");
    assert.is(after.size, 10, "every round was committed exactly once");
    for (const [round, digest] of before) assert.is(after.get(round), digest);
    assert.equal(run.history("third"), after);
  }));

test("the coordinator is killed in the middle of an all-reduce", () =>
  withRun({ peersMin: 3, rounds: 8 }, async (run) => {
    run.start("first", ["run", `${run.folder}/config.json`, "--fault", "3:150:SIGKILL"]);
    const { ticket } = await run.event("ticket", () => true);
    run.start("second", ["join", ticket]);
    run.start("third", ["join", ticket]);
    assert.is((await run.exited("first")).signal, "SIGKILL");
    run.start("first", ["run", `${run.folder}/config.json`]);
    assert.ok(allEqual(await run.digests(["first", "second", "third"])));
    assert.is(run.history("second").size, 8);
  }));

test("a coordinator that was killed before its members heard of the end tells them when it is started again", () =>
  withRun({ peersMin: 2, rounds: 3 }, async (run) => {
    const ticket = await run.startAll([["second"]]);
    const [digest] = await run.digests(["first", "second"]);
    // What a kill between the journal's last fact and the last message leaves.
    const path = join(run.peerFolder("first"), "peer.json");
    const last = JSON.parse(await readFile(path, "utf8"));
    assert.is(last.over, true);
    await writeFile(path, JSON.stringify({ ...last, over: false }));
    run.events.length = 0;
    run.start("first", ["run", `${run.folder}/config.json`]);
    run.start("second", ["join", ticket]);
    const ends = await Promise.all(
      ["first", "second"].map((name) => run.event("ended", (event) => event.name === name)),
    );
    assert.equal(
      ends.map(({ reason }) => reason),
      ["complete", "complete"],
    );
    assert.is(ends[0]?.stateDigest, digest);
    for (const name of ["first", "second"]) assert.is((await run.exited(name)).code, 0);
  }));

test("the first peer is interrupted: it says so, and goes on when it is started again", () =>
  withRun({ peersMin: 2, rounds: 30, strategy: { innerSteps: 20 } }, async (run) => {
    await run.startAll([["second"]]);
    await run.event("round", (event) => event.name === "second" && event.round === 3);
    run.spare("first");
    run.peer("first").kill("SIGINT");
    assert.is((await run.exited("first")).code, 130);
    assert.is(run.peer("first").stderr(), "error ERR_ABORTED: interrupted by SIGINT");
    run.start("first", ["run", `${run.folder}/config.json`]);
    assert.ok(allEqual(await run.digests(["first", "second"])));
    assert.is(run.history("second").size, 30);
  }));

test("a peer joins in the middle of a run", () =>
  withRun({ peersMin: 2, peersMax: 3, rounds: 250, strategy: { innerSteps: 10 } }, async (run) => {
    const ticket = await run.startAll([["second"]]);
    await run.event("round", (event) => event.name === "first" && event.round === 3);
    run.start("third", ["join", ticket]);
    const synced = await run.event("synced", (event) => event.name === "third");
    const round = await run.event("round", (event) => event.name === "third");
    assert.is(round.round, synced.round + 1);
    assert.is(round.contributors.length, 3, "it contributes in its first round");
    assert.ok(allEqual(await run.digests(["first", "second", "third"])));
  }));

test.run();
