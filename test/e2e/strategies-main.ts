/** Every row of the table of strategies: `node dist/test/e2e/strategies-main.js [words of names]`. Ends with 1 where one failed. */
import { resumeEquals, surviveKill } from "./strategies.js";
import { missing, sections } from "./strategies-table.js";

const words = process.argv.slice(2);
const chosen = Object.entries(sections).filter(
  ([name]) => words.length === 0 || words.some((word) => name.includes(word)),
);
let failed = missing().length;
for (const name of missing()) console.log(`FAIL ${name}: it has no row in test/e2e/strategies-table.ts`);
for (const [name, section] of chosen)
  for (const [what, play] of [
    ["resumed as if it had never stopped", resumeEquals],
    ["survives a kill", surviveKill],
  ] as const) {
    const startedAt = performance.now();
    const problem = await play(section).then(
      () => null,
      (error: Error) => error.stack ?? error.message,
    );
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    if (problem === null) console.log(`  ok ${name}: ${what}, ${seconds} s`);
    else {
      failed += 1;
      console.log(`FAIL ${name}: ${what}, ${seconds} s\n${problem}`);
    }
  }
console.log(`${2 * chosen.length} runs, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
