/** Replaying ledgers of runs in which peers come, go, are lost and started again, each made up in this process. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ReplayOptions, type ReplayReport, replayRun } from "../../lib/gym/audit.js";
import { open } from "./counted-trainer.js";
import { type MadeRun, STEPS, withMadeRun } from "./made-run.js";

const replay = (run: MadeRun, options: Partial<ReplayOptions> = {}) =>
  replayRun({ ledger: run.path, config: run.config, threads: 1, ...options });

/** Every state is the run's own. */
function assertEqual(run: MadeRun, report: ReplayReport): void {
  assert.ok(report.equal, JSON.stringify(report.rounds.at(-1)));
  assert.equal(
    report.rounds.map(({ state }) => state),
    run.states,
  );
}

async function startAll(run: MadeRun, names: readonly string[]): Promise<void> {
  for (const [shard, name] of names.entries()) await run.start(name, shard);
}

const trio = ["a", "b", "c"];

test("a round to which everybody was lost is replayed for the inner states that it left", () =>
  withMadeRun(
    async (run) => {
      await startAll(run, trio);
      await run.voidRound(trio, ["b"]);
      await run.round(trio);
      await run.voidRound(trio, ["a", "b"]);
      await run.voidRound(trio, ["a"]);
      await run.round(trio);
      await run.round(trio);
    },
    async (run) => {
      const report = await replay(run);
      assertEqual(run, report);
      assert.is(report.closed, 3);
      assert.is(report.steps, 3 * 3 * STEPS);
      assert.equal(
        report.rounds.map(({ voided }) => voided.length),
        [3, 6, 0],
      );
      for (const { difference, status } of report.rounds.flatMap(({ voided }) => voided)) {
        assert.is(difference, null);
        assert.is(status, "left");
      }
    },
  ));

test("a sequencer that closes a round with nobody's accepted work is named, though the state is as it was", () =>
  withMadeRun(
    async (run) => {
      await startAll(run, trio);
      await run.round(trio);
      await run.droppedRound(trio);
    },
    async (run) => {
      const report = await replay(run);
      assert.not(report.equal);
      const { state, aggregated, difference } = report.rounds.at(-1)!;
      assert.equal([state, aggregated], [run.states[1], 0]);
      assert.equal([difference?.of, difference?.worker], ["dropped", run.account("a")]);
    },
  ));

test("peers join, are lost and come back with the inner optimizer that they have", () =>
  withMadeRun(
    async (run) => {
      await startAll(run, trio);
      await run.round(trio);
      await run.round(["a", "b"]);
      await run.start("d", 3);
      await run.round(["a", "b", "c", "d"], ["b"]);
      await run.round(["c", "d"]);
      await run.round(["d", "a", "b", "c"]);
    },
    async (run) => {
      const report = await replay(run);
      assertEqual(run, report);
      assert.equal(
        report.rounds.map(({ leftOut }) => leftOut),
        [[], [], [{ worker: run.account("b"), status: "left", difference: null }], [], []],
      );
      assert.ok(report.rounds.every(({ afresh }) => afresh.length === 0));
    },
  ));

test("who is started again is said to begin afresh, who goes on with another shard is not", () =>
  withMadeRun(
    async (run) => {
      await startAll(run, trio);
      await run.round(trio);
      await run.start("b", 1);
      await run.move("c", 3);
      await run.round(trio);
      await run.start("c", 2);
      await run.round(trio);
    },
    async (run) => {
      const report = await replay(run);
      assertEqual(run, report);
      assert.equal(
        report.rounds.map(({ afresh }) => afresh),
        [[], [run.account("b")], [run.account("c")]],
      );
    },
  ));

test("with honest work in the place of what differs, a run comes to what it would have been", async () => {
  const rounds = async (run: MadeRun) => {
    for (let round = 0; round < 3; round += 1) await run.round(trio);
  };
  const honest: { states: readonly string[]; losses: (number | null)[] } = { states: [], losses: [] };
  await withMadeRun(
    async (run) => {
      await startAll(run, trio);
      await rounds(run);
    },
    async (run) => {
      const report = await replay(run, { honest: true });
      assertEqual(run, report);
      honest.states = run.states;
      honest.losses = report.rounds.map(({ validationLoss }) => validationLoss);
    },
  );
  assert.ok(honest.losses.every((loss) => Number.isFinite(loss)));
  await withMadeRun(
    async (run) => {
      await startAll(run, ["a", "b"]);
      await run.start("c", 2, { kind: "skip", round: 2 });
      await rounds(run);
    },
    async (run) => {
      const report = await replay(run, { honest: true });
      const [first, second, third] = report.rounds;
      assert.is(first?.difference, null);
      assert.is(second?.difference?.worker, run.account("c"));
      assert.is.not(third?.difference, null);
      assert.not.ok(report.equal);
      assert.equal(
        report.rounds.map(({ state }) => state),
        honest.states,
      );
      assert.equal(
        report.rounds.map(({ validationLoss }) => validationLoss),
        honest.losses,
      );
      assert.is(report.state, run.states[0], "the last that is equal");
      const stopped = await replay(run);
      assert.equal(
        stopped.rounds.map(({ state }) => state),
        [run.states[0], ""],
      );
    },
  );
});

test("no more peers are held than a round has, and an interrupt ends the replay before the next inner step", () =>
  withMadeRun(
    async (run) => {
      await startAll(run, ["a", "b", "c", "d"]);
      await run.round(["a", "b", "c", "d"]);
      await run.round(["a", "b"]);
      await run.round(["a", "c"]);
    },
    async (run) => {
      // A peer that cheats keeps a second trainer.
      open.clear();
      const held: number[] = [];
      const report = await replay(run, { onRound: () => held.push(open.size) });
      assertEqual(run, report);
      assert.equal(held, [4, 2, 2]);
      assert.is(open.size, 0);

      const { signal } = new AbortController();
      let looks = 0;
      let last = Number.POSITIVE_INFINITY;
      signal.throwIfAborted = () => {
        looks += 1;
        if (looks > last) throw new Error("interrupted");
      };
      await replay(run, { signal, rounds: 1 });
      const before = looks - 4 * STEPS;
      assert.ok(before >= 0, `${looks} looks`);
      last = before + STEPS + 1;
      looks = 0;
      const ended = await replay(run, { signal }).catch((error: unknown) => error);
      assert.match(String(ended), /interrupted/);
      assert.is(looks, last + 1);
      assert.is(open.size, 0, "what was open is closed");
    },
  ));

test.run();
