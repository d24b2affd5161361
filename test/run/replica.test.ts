/** A stranger's trainer is checked by the contract before anything relies on it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cheatKinds } from "../../lib/run/cheat.js";
import { parseConfig } from "../../lib/run/config.js";
import { createTrainer, Replica } from "../../lib/run/replica.js";
import { createStrategies } from "../../lib/strategy/registry.js";
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

test("a cheating peer makes a second trainer only to copy with it, and closes all that it made", async () => {
  const counts = { made: 0, closed: 0 };
  Object.assign(globalThis, { cheatCounts: counts });
  await create("counted", {
    samples: "(globalThis.cheatCounts.made += 1, 1)",
    close: "() => { globalThis.cheatCounts.closed += 1; }",
  }).then((replica) => replica.close());
  assert.equal(counts, { made: 1, closed: 1 });
  const config = parseConfig({ trainer: { module: "./counted.mjs" } });
  for (const kind of cheatKinds) {
    Object.assign(counts, { made: 0, closed: 0 });
    const options = { config, shard: 1, threads: 1, folder, cheat: { kind, round: 1 } };
    (await createTrainer(options, createStrategies(config.strategy))).close();
    assert.equal(counts, kind === "copy" ? { made: 2, closed: 2 } : { made: 1, closed: 1 }, kind);
  }
});

test("a cheating peer that cannot make the second trainer closes the first", async () => {
  const counts = { made: 0, closed: 0 };
  Object.assign(globalThis, { cheatCounts: counts });
  const once = `(() => {
    const counts = globalThis.cheatCounts;
    counts.made += 1;
    if (counts.made === 2) throw new Error("no memory for another");
    return 1;
  })()`;
  await create("once", { samples: once, close: "() => { globalThis.cheatCounts.closed += 1; }" }).then(
    (replica) => replica.close(),
  );
  Object.assign(counts, { made: 0, closed: 0 });
  const config = parseConfig({ trainer: { module: "./once.mjs" } });
  const cheat = { kind: "copy", round: 1 } as const;
  const options = { config, shard: 1, threads: 1, folder, cheat };
  const made = createTrainer(options, createStrategies(config.strategy));
  assert.match(String(await made.catch((error: unknown) => error)), /no memory for another/);
  assert.equal(counts, { made: 2, closed: 1 });
});

test("a checkpoint has the model's tensors by their names, a second strategy's behind its own", async () => {
  const data = join(folder, "text.txt");
  await writeFile(data, "call me ishmael. ".repeat(200));
  const options = { data, layers: 1, width: 8, heads: 1, context: 4, batch: 1 };
  const namesOf = async (strategy: unknown) => {
    const config = parseConfig({ peersMax: 1, trainer: { options }, strategy });
    const replica = await Replica.create({ config, shard: 0, threads: 1, folder });
    const { outer, inner } = replica.tensors();
    const { layout } = replica.engine.trainer;
    await replica.close();
    const plain = (tensors: typeof outer) => tensors.map(({ name }) => name.replace(/\/.*/, ""));
    const first = layout.slots[0]!.name;
    assert.is(outer[0]!.name.endsWith(`/${first}`), true, outer[0]!.name);
    return [[...new Set(plain(outer))], [...new Set(plain(inner))]];
  };
  assert.equal(await namesOf({ name: "diloco" }), [
    ["parameters", "momentum"],
    ["adamw.first", "adamw.second"],
  ]);
  assert.equal(await namesOf({ name: "ddp" }), [["parameters", "adamw.first", "adamw.second"], []]);
  const both = [{ name: "sparta", commitEvery: 20 }, { name: "diloco" }];
  assert.equal(await namesOf(both), [["diloco.1"], ["adamw.first", "adamw.second"]]);
});

test("a round that changes nothing, or begins again, leaves what is shared as it was, and the inner state as it is", async () => {
  const data = join(folder, "whale.txt");
  await writeFile(data, "call me ishmael. ".repeat(200));
  const options = { data, layers: 1, width: 8, heads: 1, context: 4, batch: 1 };
  for (const strategy of [
    { name: "diloco", innerSteps: 2 },
    { name: "local-sgd", innerSteps: 2 },
  ]) {
    const config = parseConfig({ peersMax: 1, trainer: { options }, strategy });
    const replica = await Replica.create({ config, shard: 0, threads: 1, folder });
    const { engine } = replica;
    const { trainer } = engine;
    const start = { ...replica.standing, parameters: trainer.parameters.slice() };
    await engine.train();
    const innerState = () => trainer.innerState.map((tensor) => tensor.data.slice());
    const inner = innerState();
    assert.is.not(trainer.parameters.join(), start.parameters.join());
    await replica.restart();
    assert.equal(replica.standing, { round: 0, stateDigest: start.stateDigest });
    assert.equal(trainer.parameters, start.parameters);
    assert.equal(innerState(), inner);
    await engine.train();
    assert.is.not(trainer.parameters.join(), start.parameters.join(), "its steps are taken again");
    await replica.restart();
    await engine.train();
    await replica.pass();
    assert.is(replica.standing.round, 1);
    assert.equal(trainer.parameters, start.parameters);
    await replica.close();
  }
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
    ["samples", "0", /samples must be a positive number, or absent/],
    ["gradients", "new Float32Array(3)", /gradients must be a Float32Array of layout.elements, 2, or absent/],
    ["gradients", "new Float32Array(2)", /gradient must be a function where gradients are offered/],
  ];
  for (const [index, [field, value, said]] of faults.entries()) {
    const error = await failure(create(`fault${index}`, { [field]: value }));
    assert.is(error.code, "ERR_TRAINER");
    assert.match(error.message, said);
  }
});

test.run();
