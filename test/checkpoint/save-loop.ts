/** Saves checkpoints of ever later rounds until it is killed, telling each round; started by checkpoint.test.ts. */
import { saveCheckpoint } from "../../lib/checkpoint/checkpoint.js";
import { contents } from "./example.js";

const [folder, first] = process.argv.slice(2) as [string, string];
for (let round = Number(first); ; round++) {
  // Every third round is written twice: a folder that is replaced has its own way to be torn.
  for (let times = 0; times < (round % 3 === 0 ? 2 : 1); times++)
    await saveCheckpoint(folder, contents(round), { keep: 2 });
  process.stdout.write(`${round}\n`);
}
