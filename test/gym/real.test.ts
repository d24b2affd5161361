/** The same config in the gym and as real processes: the same digests, losses and payload, round by round. */
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runArm } from "../../lib/gym/arm.js";
import { planOne } from "../../lib/gym/arms.js";
import type { TimedEvent } from "../../lib/run/events.js";
import { tinyConfig, withRun } from "../e2e/run.js";

const NAMES = ["first", "second", "third"] as const;
const ROUNDS = 4;

type RoundEvent = Extract<TimedEvent, { type: "round" }>;

const sections = {
  ddp: { name: "ddp", codec: "int8_block" },
  "diloco with owner feedback": {
    name: "diloco",
    innerSteps: 4,
    codec: "eden:bits=2",
    downCodec: "int4_block",
    ownerFeedback: 1,
  },
  "streaming-diloco": { name: "streaming-diloco", innerSteps: 4, overlapSteps: 1 },
  sparseloco: { name: "sparseloco", innerSteps: 4 },
  noloco: { name: "noloco", innerSteps: 4 },
};

/** Nothing but the strategy may make the two differ: no peer may seem lost on a busy machine. */
const changesOf = (strategy: object) => ({
  rounds: ROUNDS,
  peersMin: NAMES.length,
  peersMax: NAMES.length,
  strategy,
  network: { segmentElements: 256, silenceLimitMs: 30_000, probeShare: 0 },
  checkpoint: { everyRounds: 0 },
});

for (const [name, strategy] of Object.entries(sections))
  test(name, async () => {
    const changes = changesOf(strategy);
    await withRun(changes, async (run) => {
      await run.startAll([["second"], ["third"]]);
      await run.digests(NAMES);
      const config = tinyConfig(join(run.folder, "text.txt"), changes);
      const { result } = await runArm(
        planOne({ name: "gym", peers: NAMES.length, evaluateEvery: 1, config: { ...config, name: "gym" } }),
      );
      for (const row of result.rows) {
        const real = run.events.filter((event): event is RoundEvent & { name: string } => {
          return event.type === "round" && event.round === row.round;
        });
        assert.is(real.length, NAMES.length);
        const losses = real.map(({ validationLoss }) => validationLoss);
        const { loss, single } = row.validation!;
        assert.is(Math.min(...losses), single?.least ?? loss, `round ${row.round}`);
        assert.is(Math.max(...losses), single?.greatest ?? loss, `round ${row.round}`);
        // Where members differ by the method, a run's digest says only that they agree on the round.
        if (single === undefined)
          for (const { stateDigest } of real) assert.is(stateDigest, row.digest, `round ${row.round}`);
        const sent = real.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
        const { payload, framing } = row.bytes;
        assert.is(sent, payload + framing, `bytes of round ${row.round}`);
      }
    });
  });

test.run();
