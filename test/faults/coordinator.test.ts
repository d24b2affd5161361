/** The coordinator's process stops in the middle of an all-reduce and wakes again: the run goes on with the same bits. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withRun } from "../e2e/run.js";

/** Well below the silence limit of the run. */
const WAKE_MS = 100;

test("a coordinator that stops in an all-reduce: its members fail alike, and all go on when it wakes", () =>
  withRun({ peersMin: 3, rounds: 6 }, async (run) => {
    run.start("first", ["run", `${run.folder}/config.json`, "--fault", "3:150:SIGSTOP"]);
    const { ticket } = await run.event("ticket", () => true);
    for (const name of ["second", "third"]) run.start(name, ["join", ticket]);
    const coordinator = await run.event("started", (event) => event.name === "first");
    for (const name of ["second", "third"]) {
      const failure = await run.event("failed", (event) => event.name === name);
      assert.is(failure.code, "ERR_PEER_LOST", name);
      assert.equal(failure.lost, [coordinator.peer], name);
    }
    // Its fault strikes again where the round runs again.
    const waking = setInterval(() => run.peer("first").kill("SIGCONT"), WAKE_MS);
    const digests = await run.digests(["first", "second", "third"]).finally(() => clearInterval(waking));
    assert.is(new Set(digests).size, 1);
    assert.is(run.history("second").size, 6);
    assert.equal(run.history("third"), run.history("second"));
  }));

test.run();
