/**
 * What every strategy must survive as real processes: a kill in the middle, a peer that joins late, and a resumption that
 * equals never having stopped.
 */
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { createStrategies } from "../../lib/strategy/registry.js";
import { type TestRun, tinyConfig, withRun } from "./run.js";
import type { Section } from "./strategies-table.js";

const module = fileURLToPath(new URL("./odd-trainer.js", import.meta.url));

/** A busy machine must not make a peer look lost: another membership would rightly give other digests. */
const patient = { segmentElements: 256, silenceLimitMs: 30_000, probeShare: 0 };

const promisesEqual = (section: Section) =>
  createStrategies(section).every(({ recipe }) => recipe.commit.equal);
const communicates = (section: Section) =>
  createStrategies(section).some(({ recipe }) => recipe.route.kind !== "none");

/** All members' digests of every round that they were both in, where the strategy promises equal ones. */
function checkDigests(run: TestRun, names: readonly string[], section: Section): void {
  const equal = promisesEqual(section);
  const first = run.history(names[0]!);
  for (const name of names.slice(1))
    for (const [round, digest] of run.history(name)) {
      assert.match(digest, /^[0-9a-f]{64}$/);
      if (equal) assert.is(digest, first.get(round), `${name} in round ${round}`);
    }
}

function checkLosses(run: TestRun): void {
  for (const event of run.events)
    if (event.type === "round")
      assert.ok(Number.isFinite(event.validationLoss), `${event.name} in round ${event.round}`);
}

/** Enough for a process to start and join meanwhile. */
const ROUNDS = 60;
/** So that a round takes some time. */
const PAUSE_MS = 12;

/** A peer is killed in the middle of round 3 and joins again; the run ends with all of them. */
export async function surviveKill(section: Section): Promise<void> {
  const names = ["first", "second", "third"];
  await withRun({}, async (run) => {
    const changes = { rounds: ROUNDS, strategy: section, network: patient, checkpoint: { everyRounds: 0 } };
    const { trainer, ...config } = tinyConfig(join(run.folder, "text.txt"), changes);
    const odd = { ...config, trainer: { module, options: { gpt: trainer.options, pauseMs: PAUSE_MS } } };
    await writeFile(join(run.folder, "config.json"), JSON.stringify(odd));
    const fault = communicates(section) ? ["--fault", "3:5:SIGKILL"] : [];
    const ticket = await run.startAll([["second"], ["third", ...fault]]);
    if (fault.length === 0) {
      await run.event("round", ({ name, round }) => name === "third" && round === 2);
      run.peer("third").kill("SIGKILL");
    }
    assert.is((await run.exited("third")).signal, "SIGKILL");
    run.start("third", ["join", ticket]);
    const synced = await run.event("synced", ({ name }) => name === "third");
    const back = await run.event("round", ({ name, round }) => name === "third" && round > synced.round);
    assert.is(back.contributors.length, 3, "it contributes in its first round");
    await run.digests(names);
    assert.equal(
      [...run.history("first").keys()],
      Array.from({ length: ROUNDS }, (_, index) => index + 1),
    );
    checkDigests(run, names, section);
    checkLosses(run);
    const alone = run.events.filter(
      (event) => event.type === "round" && event.name === "first" && event.contributors.length === 2,
    );
    assert.ok(alone.length > 0, "the survivors went on");
  });
}

async function whole(run: TestRun, names: readonly string[]): Promise<void> {
  await run.digests(names);
  for (const event of run.events)
    if (event.type === "round") assert.is(event.contributors.length, names.length, `round ${event.round}`);
}

/** What two peers do from a checkpoint of round 2 on is what they did without a stop. */
export async function resumeEquals(section: Section): Promise<void> {
  const names = ["first", "second"];
  const changes = { rounds: 4, peersMin: 2, strategy: section, network: patient };
  await withRun({ ...changes, checkpoint: { everyRounds: 2, keep: 2 } }, async (run) => {
    await run.startAll([["second"]]);
    await whole(run, names);
    checkDigests(run, names, section);
    checkLosses(run);
    await withRun({}, async (again) => {
      await cp(join(run.folder, "peers"), join(again.folder, "peers"), { recursive: true });
      await cp(join(run.folder, "text.txt"), join(again.folder, "text.txt"));
      const from = (name: string) => join(again.peerFolder(name), "checkpoints", "round-000002");
      again.start("first", ["resume", from("first")]);
      const { ticket } = await again.event("ticket", () => true);
      again.start("second", ["resume", from("second"), "--ticket", ticket]);
      await whole(again, names);
      for (const name of names) {
        const before = run.history(name);
        assert.equal(
          [...again.history(name)],
          [3, 4].map((round) => [round, before.get(round)]),
          name,
        );
      }
    });
  });
}
