/** Finding trainers: the built-in one, a stranger's module, and modules that are none; options are checked whole. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { loadTrainer } from "../../lib/trainer/load.js";

const test = suite("trainer loading", { folder: "" });

test.before(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), "gradmesh-trainer-"));
});
test.after(({ folder }) => rm(folder, { recursive: true, force: true }));

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as GradmeshError).code} ${(error as Error).message}`;
  }
  return assert.unreachable("it was not refused") as never;
}

test("a module of one's own plugs in by its path", async ({ folder }) => {
  await writeFile(join(folder, "mine.mjs"), "export const createTrainer = async ({ seed }) => ({ seed });");
  const context = { seed: 7, shard: 0, shards: 1, options: {}, threads: 1 };
  for (const name of ["./mine.mjs", join(folder, "mine.mjs")]) {
    const createTrainer = await loadTrainer(name, folder);
    assert.equal(await createTrainer(context), { seed: 7 });
  }
});

test("what cannot be imported, or exports no createTrainer, is named with its cure", async ({ folder }) => {
  await writeFile(join(folder, "other.mjs"), "export const train = 1;");
  const allowed = /allowed: gpt, mlp, cnn, or a module that exports createTrainer/;
  const none = await refusal(loadTrainer("./none.mjs", folder));
  assert.match(none, /^ERR_CONFIG trainer is "\.\/none\.mjs", which cannot be imported/);
  assert.match(none, allowed);
  const other = await refusal(loadTrainer("./other.mjs", folder));
  assert.match(other, /^ERR_CONFIG trainer is "\.\/other\.mjs", which exports train/);
  assert.match(other, allowed);
  assert.match(await refusal(loadTrainer("toString", folder)), /^ERR_CONFIG/);
});

test("the GPT refuses impossible options by key", async ({ folder }) => {
  const createTrainer = await loadTrainer("gpt", folder);
  const refused = (options: unknown) =>
    refusal(createTrainer({ seed: 1, shard: 0, shards: 1, options, threads: 1 }));
  assert.match(
    await refused({ laers: 3 }),
    /trainer\.options: unknown key "laers"; allowed: data, partition, layers, width/,
  );
  assert.match(await refused({ layers: "3" }), /trainer\.options\.layers is "3".*number/);
  assert.match(await refused({ batch: 0 }), /trainer\.options\.batch is 0/);
  assert.match(
    await refused({ heads: 3 }),
    /trainer\.options\.heads is 3: it must divide width, which is 128/,
  );
  const outside = createTrainer({ seed: 1, shard: 4, shards: 4, options: {}, threads: 1 });
  assert.match(await refusal(outside), /ERR_INVALID_ARGUMENT trainer: shard is 4 of 4/);
});

test.run();
