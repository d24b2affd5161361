/** A run resumed from round k has, at every later round, the same digests as one that never stopped. */
import { cp, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type TestRun, withRun } from "./run.js";

const names = ["first", "second", "third"];

/** A busy machine must not make a peer look lost: another membership would rightly give other digests. */
const network = { segmentElements: 256, silenceLimitMs: 30_000 };

function assertWhole(run: TestRun): void {
  for (const event of run.events)
    if (event.type === "round") assert.is(event.contributors.length, names.length, `round ${event.round}`);
}

/** Resumes every peer from its checkpoint of a round, in the folders of `run`. */
async function resumeAll(run: TestRun, round: string): Promise<void> {
  const checkpoint = (name: string) => join(run.peerFolder(name), "checkpoints", round);
  run.start("first", ["resume", checkpoint("first")]);
  const { ticket } = await run.event("ticket", () => true);
  for (const name of names.slice(1)) run.start(name, ["resume", checkpoint(name), "--ticket", ticket]);
}

test("resumed from round 2 and from round 4, the later rounds have the same digests", () =>
  withRun({ rounds: 6, network }, async (run) => {
    await run.startAll([["second"], ["third"]]);
    await run.digests(names);
    assertWhole(run);
    const whole = run.history("first");
    assert.is(whole.size, 6);
    for (const [round, from] of [
      ["round-000002", 2],
      ["round-000004", 4],
    ] as const) {
      await withRun({}, async (again) => {
        await cp(join(run.folder, "peers"), join(again.folder, "peers"), { recursive: true });
        await cp(join(run.folder, "text.txt"), join(again.folder, "text.txt"));
        await resumeAll(again, round);
        await again.digests(names);
        assertWhole(again);
        const resumed = again.history("second");
        assert.equal(
          [...resumed.keys()],
          Array.from({ length: 6 - from }, (_, index) => from + 1 + index),
        );
        for (const [later, digest] of resumed) assert.is(digest, whole.get(later), `round ${later}`);
      });
    }
    assert.ok((await readdir(join(run.peerFolder("first"), "checkpoints"))).includes("round-000006"));
  }));

test("a new run in a folder with checkpoints is refused, and they stay", () =>
  withRun({ rounds: 2, peersMin: 1, network }, async (run) => {
    const start = () => run.start("first", ["run", join(run.folder, "config.json")]);
    assert.is((await start().exited).code, 0);
    const again = start();
    assert.is((await again.exited).code, 1);
    assert.match(
      again.stderr(),
      /error ERR_CONFIG: .* holds checkpoints of run \w+ up to round 2; go on with/,
    );
    assert.equal(await readdir(join(run.peerFolder("first"), "checkpoints")), ["round-000002"]);
  }));

test.run();
