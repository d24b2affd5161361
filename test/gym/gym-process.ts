/**
 * A gym in a process group of its own, which it kills, its workers and itself, once an arm has come so far: a test that had to
 * hear of it first would often be too late. Its arguments: the results folder, the config as JSON, the arm, and the round.
 */
import { planArms } from "../../lib/gym/arms.js";
import { parseGymConfig } from "../../lib/gym/config.js";
import { runGym } from "../../lib/gym/runner.js";

const [folder, config, arm, round] = process.argv.slice(2);
await runGym(planArms(parseGymConfig(JSON.parse(config!))), {
  folder: folder!,
  jobs: 1,
  resume: true,
  snapshotSeconds: 0,
  resultSeconds: 0,
  onEvent: (event) => {
    if (event.type === "progress" && event.name === arm && event.done === Number(round))
      process.kill(-process.pid, "SIGKILL");
  },
});
