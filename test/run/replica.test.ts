/** A stranger's trainer is checked by the contract before anything relies on it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseConfig } from "../../lib/run/config.js";
import { Replica } from "../../lib/run/replica.js";
import { failure } from "../failure.js";

const folder = await mkdtemp(join(tmpdir(), "gradmesh-replica-"));
test.after(() => rm(folder, { recursive: true, force: true }));

/** A trainer of two parameters whose fields are as given, each a JavaScript expression. */
async function create(name: string, fields: Record<string, string>): Promise<Replica> {
  const whole = {
    layout: "{ elements: 2, tensors: () => [] }",
    parameters: "new Float32Array(2)",
    innerState: "[]",
    fingerprint: '"line"',
    step: "async () => ({ loss: 1, tokens: 1 })",
    evaluate: "async () => ({ loss: 1 })",
    close: "() => {}",
    ...fields,
  };
  const text = Object.entries(whole).map(([key, value]) => `${key}: ${value}`);
  await writeFile(
    join(folder, `${name}.mjs`),
    `export const createTrainer = async () => ({ ${text.join(", ")} });`,
  );
  const config = parseConfig({ trainer: { module: `./${name}.mjs` } });
  return Replica.create({ config, shard: 0, threads: 1, folder });
}

test("a trainer that keeps the contract is taken", async () => {
  const replica = await create("whole", {});
  assert.is(replica.standing.round, 0);
  assert.match(replica.standing.stateDigest!, /^[0-9a-f]{64}$/);
  await replica.close();
});

test("one that does not is refused, naming what is wrong", async () => {
  const faults: [field: string, value: string, said: RegExp][] = [
    ["layout", "undefined", /layout must be a TensorLayout/],
    ["parameters", "new Float32Array(3)", /parameters must be a Float32Array of layout.elements, 2/],
    ["parameters", "[0, 0]", /parameters must be/],
    ["innerState", "undefined", /innerState must be an array/],
    ["fingerprint", '""', /fingerprint must be a text/],
    ["step", "undefined", /step must be a function/],
    ["close", "3", /close must be a function/],
  ];
  for (const [index, [field, value, said]] of faults.entries()) {
    const error = await failure(create(`fault${index}`, { [field]: value }));
    assert.is(error.code, "ERR_TRAINER");
    assert.match(error.message, said);
  }
});

test.run();
