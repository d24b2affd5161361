/** Every benchmark says what it can be told, and a misspelt option is named. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { median } from "../../bench/median.js";

const main = fileURLToPath(new URL("../../bench/main.js", import.meta.url));

interface Ended {
  readonly failed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const bench = (...args: readonly string[]) =>
  new Promise<Ended>((resolve) => {
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) =>
      resolve({ failed: error !== null, stdout, stderr }),
    );
  });

test("--help lists the options of each benchmark that there is, and runs nothing", async () => {
  const { stderr } = await bench("nothing");
  const names = [...stderr.matchAll(/^ {2}(\w+): /gm)].map(([, name]) => name!);
  assert.ok(names.length > 10, stderr);
  for (const name of names) {
    const { failed, stdout, stderr } = await bench(name, "--help");
    assert.not.ok(failed, `${name}: ${stderr}`);
    assert.ok(stdout.startsWith(`bench ${name} [options]`), stdout);
    assert.match(stdout, /\n {2}--/);
  }
});

test("a misspelt option is named, with where to look", async () => {
  const { failed, stderr } = await bench("ledger", "--event", "3");
  assert.ok(failed);
  assert.match(
    stderr,
    /^error ERR_CONFIG: Unknown option '--event'.*"bench ledger --help" lists what there is/s,
  );
});

test("a median is the middle value, or the mean of the two in the middle", () => {
  assert.is(median([3, 1, 2]), 2);
  assert.is(median([4, 1, 3, 2]), 2.5);
  assert.is(median([10]), 10);
});

test.run();
