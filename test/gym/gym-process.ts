/** A gym in a process of its own, for tests that kill it: argv is the results folder and the config as JSON. */
import { planArms } from "../../lib/gym/arms.js";
import { parseGymConfig } from "../../lib/gym/config.js";
import { runGym } from "../../lib/gym/runner.js";

const [folder, config] = process.argv.slice(2);
await runGym(planArms(parseGymConfig(JSON.parse(config!))), {
  folder: folder!,
  jobs: 1,
  resume: true,
  snapshotSeconds: 0,
  resultSeconds: 0,
  onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
});
