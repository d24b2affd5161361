/** A gym that was killed or stopped goes on as if it never had been. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { planArms } from "../../lib/gym/arms.js";
import { parseGymConfig } from "../../lib/gym/config.js";
import type { ArmResult } from "../../lib/gym/results.js";
import { type GymEvent, runGym } from "../../lib/gym/runner.js";
import { snapshotPath } from "../../lib/gym/snapshot.js";
import { tinyTrainer } from "./arms.js";

const gymProcess = fileURLToPath(new URL("./gym-process.js", import.meta.url));

const strategies = {
  diloco: { name: "diloco", innerSteps: 5, codec: "eden:bits=2", downCodec: "int4_block", ownerFeedback: 1 },
  eager: { name: "eager-diloco", innerSteps: 5 },
  sparseloco: { name: "sparseloco", innerSteps: 5 },
  noloco: { name: "noloco", innerSteps: 5 },
  ddp: { name: "ddp" },
};

/** Every arm has a peer that comes later, one that is slow now and then, and faults. */
const config = {
  defaults: {
    peers: [
      { count: 2, link: "home-10mbit", faults: { death: 0.05, returnRounds: 2 } },
      { joinRound: 2, faults: { slow: 0.2 } },
    ],
    steps: 60,
    config: { trainer: tinyTrainer, network: { slowLimitMs: 1000 } },
  },
  arms: Object.entries(strategies).map(([name, strategy]) => ({ name, config: { strategy } })),
};

const folders: string[] = [];
function folderOf(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `gym-${name}-`));
  folders.push(folder);
  return folder;
}
const resultText = (folder: string, name: string) => readFileSync(join(folder, `${name}.json`), "utf8");

/** A gym that kills itself and its workers once an arm has come so far. Resolves with how it ended. */
function killedAt(arm: string, round: number, folder: string): Promise<NodeJS.Signals | null> {
  const args = [gymProcess, folder, JSON.stringify(config), arm, `${round}`];
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((resolve) => child.once("close", (_code, signal) => resolve(signal)));
}

test("killed in the middle of every arm, it ends with the very results of one that never was", async () => {
  const [whole, broken] = [folderOf("whole"), folderOf("broken")];
  const plans = planArms(parseGymConfig(config));
  await runGym(plans, { folder: whole, jobs: 2, resume: false });
  for (const { name, rounds } of plans) {
    assert.is(await killedAt(name, Math.ceil(rounds * 0.6), broken), "SIGKILL", name);
    assert.ok(existsSync(snapshotPath(broken, name)), `${name} left a snapshot`);
    assert.ok(resultText(broken, name).includes('"state":"running"'));
  }
  await runGym(plans, { folder: broken, jobs: 1, resume: true });
  for (const { name } of plans) {
    const [resumed, never] = [broken, whole].map(
      (folder) => JSON.parse(resultText(folder, name)) as ArmResult,
    );
    for (const [index, row] of never!.rows.entries())
      assert.equal(resumed!.rows[index], row, `${name}, row ${index}`);
    assert.ok(resultText(broken, name) === resultText(whole, name), name);
    assert.not(existsSync(snapshotPath(broken, name)), "an arm that is done needs none");
  }
});

test("stopped by a signal it keeps where it was; finished arms are skipped", async () => {
  const folder = folderOf("stopped");
  const arms = { ...config, arms: config.arms.filter(({ name }) => name === "ddp") };
  const plans = planArms(parseGymConfig(arms));
  const stop = new AbortController();
  const onEvent = (event: GymEvent) => {
    if (event.type === "progress" && event.done === 20) stop.abort(new Error("enough"));
  };
  try {
    await runGym(plans, { folder, jobs: 1, resume: false, onEvent, signal: stop.signal });
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), "enough");
  }
  const begun: number[] = [];
  const watch = (event: GymEvent) => void (event.type === "progress" && begun.push(event.done));
  await runGym(plans, { folder, jobs: 1, resume: true, onEvent: watch });
  assert.ok(begun[0]! > 20, `it went on at round ${begun[0]}`);
  const skipped: string[] = [];
  await runGym(plans, {
    folder,
    jobs: 1,
    resume: true,
    onEvent: (event) => void (event.type === "skipped" && skipped.push(event.name)),
  });
  assert.equal(skipped, ["ddp"]);
});

test("results are neither overwritten nor taken for another config's", async () => {
  const folder = folderOf("taken");
  const arm = {
    name: "a",
    peers: 2,
    steps: 5,
    config: { trainer: tinyTrainer, strategy: { name: "diloco", innerSteps: 5 } },
  };
  const plansOf = (steps: number) => planArms(parseGymConfig({ arms: [{ ...arm, steps }] }));
  await runGym(plansOf(5), { folder, jobs: 1, resume: false });
  const refused = async (resume: boolean, steps: number, word: RegExp) => {
    const outcome = await Promise.allSettled([runGym(plansOf(steps), { folder, jobs: 1, resume })]);
    assert.is(outcome[0]!.status, "rejected");
    const { code, message } = (outcome[0] as PromiseRejectedResult).reason;
    assert.is(code, "ERR_CONFIG");
    assert.match(message, word);
  };
  await refused(false, 5, /--resume/);
  await refused(true, 10, /another config of arm "a"/);
});

test("an arm that fails says why, and the others go on", async () => {
  const folder = folderOf("failed");
  const common = { steps: 15, config: { trainer: tinyTrainer, strategy: { name: "diloco", innerSteps: 5 } } };
  const arms = [
    { name: "ends", peers: [{ leaveRound: 1 }], ...common },
    { name: "goes-on", peers: 2, ...common },
  ];
  const outcome = await Promise.allSettled([
    runGym(planArms(parseGymConfig({ arms })), { folder, jobs: 1, resume: false, resultSeconds: 0 }),
  ]);
  assert.is((outcome[0] as PromiseRejectedResult).reason.code, "ERR_RUN_ENDED");
  assert.ok(resultText(folder, "ends").includes('"state":"failed"'));
  assert.ok(resultText(folder, "goes-on").includes('"state":"done"'));
});

test("arms with the same pre-training share it, and start from its state", async () => {
  const folder = folderOf("pretrained");
  const common = { peers: 2, pretrainSteps: 20, config: { trainer: tinyTrainer } };
  const arms = [
    {
      name: "diloco",
      ...common,
      steps: 10,
      config: { ...common.config, strategy: { name: "diloco", innerSteps: 5 } },
    },
    { name: "ddp", ...common, steps: 10, config: { ...common.config, strategy: { name: "ddp" } } },
  ];
  const jobs: string[] = [];
  const results = await runGym(planArms(parseGymConfig({ arms })), {
    folder,
    jobs: 2,
    resume: false,
    onEvent: (event) => void (event.type === "progress" && event.unit === "steps" && jobs.push(event.name)),
  });
  assert.is(new Set(jobs).size, 1);
  const starts = results.map(({ start }) => start!.validation.loss);
  assert.is(starts[0], starts[1]);
  assert.ok(starts[0]! < 4.2, `trained before: ${starts[0]}`);
});

test.after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
test.run();
