/** The short form of `bench convergence`: the starred experiments, each within its bounds. It trains for about a minute. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compare } from "../../bench/convergence.js";
import { formOf } from "../../bench/convergence-forms.js";

const folder = await mkdtemp(join(tmpdir(), "gradmesh-convergence-"));
test.after(() => rm(folder, { recursive: true, force: true }));

test("the starred experiments pass on the short form's model", async () => {
  const { judged, failed } = await compare({ form: formOf("short", null), filter: [], jobs: 2, folder });
  assert.equal([...failed], []);
  // The same bits on every machine: what passes on one passes on all.
  const missed = judged.filter(({ verdict }) => verdict !== "pass");
  assert.equal(
    missed.map(({ experiment: { id }, verdict, found }) => `${id} ${verdict}: ${found}`),
    [],
  );
  assert.ok(judged.length > 10);
});

test.run();
