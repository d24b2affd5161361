/** A config's strategy section: names, presets, lists, and what is said where something is wrong. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { z } from "zod";
import type { Fault } from "../../lib/strategy/checks.js";
import { diloco, dilocoOptions } from "../../lib/strategy/diloco.js";
import { presets } from "../../lib/strategy/presets.js";
import {
  createStrategies,
  describeStrategies,
  type StrategyOptions,
  strategies,
  strategySchema,
} from "../../lib/strategy/registry.js";
import { createSection, row } from "../../lib/strategy/section.js";
import { configError } from "./views.js";

const refused = (options: unknown, message: string | RegExp) =>
  assert.throws(() => createStrategies(options), configError(message), JSON.stringify(options));

test("a section without a name is diloco, and every name makes its strategy from its defaults", () => {
  assert.equal(
    createStrategies(undefined).map(({ recipe }) => recipe.strategy),
    ["diloco"],
  );
  for (const [name, { options }] of Object.entries(strategies)) {
    const [strategy] = createStrategies({ name });
    assert.is(strategy!.recipe.strategy, name);
    assert.is((options.parse({}) as StrategyOptions).name, name, "the schema's own default");
  }
});

test("an unknown name says the nearest and all that there are", () => {
  refused(
    { name: "dilocco" },
    /^strategy\.name: "dilocco" \(did you mean "diloco"\?\); allowed: "ddp", "local-sgd", /,
  );
  refused({ name: "fed_avg" }, /did you mean "fedavg"/);
  refused({ name: "toString" }, /^strategy\.name: "toString"; allowed: "ddp"/);
  refused({ name: 3 }, /^strategy\.name: 3; allowed:/);
  refused(
    7,
    "strategy: 7; allowed: an object with a strategy's name and options, or a list of them (side by side)",
  );
  refused(null, /^strategy: null; allowed: an object/);
});

test("every strategy refuses a key that it does not know, and says the nearest", () => {
  for (const [name, { options }] of Object.entries(strategies)) {
    const keys = Object.keys((options as z.ZodObject).shape);
    const key = keys.at(-1)!;
    const message = `strategy.${key}s: unknown key (did you mean "strategy.${key}"?); allowed: ${keys.join(", ")}`;
    refused({ name, [`${key}s`]: 1 }, message);
    refused({ name, qqqqqq: 1 }, `strategy.qqqqqq: unknown key; allowed: ${keys.join(", ")}`);
  }
});

test("a list runs side by side; a fault in it names the entry", () => {
  const both = createStrategies([{ name: "local-sgd", innerSteps: 2 }, { innerSteps: 6 }]);
  assert.equal(
    both.map(({ recipe }) => recipe.strategy),
    ["local-sgd", "diloco"],
  );
  refused(
    [{ innerSteps: 6 }, { name: "fedafg" }],
    /^strategy\.1\.name: "fedafg" \(did you mean "fedavg"\?\)/,
  );
  refused(
    [{ inerSteps: 6 }],
    /^strategy\.0\.inerSteps: unknown key \(did you mean "strategy\.0\.innerSteps"\?\)/,
  );
  refused([], "strategy: a list of 0; allowed: 1 to 16 strategies");
  refused([{ innerSteps: 6 }, 5], /^strategy\.1: 5; allowed: an object/);
});

test("strategies that do not go together are refused with the reason", () => {
  refused(
    [{ innerSteps: 10 }, { name: "local-sgd", innerSteps: 4 }],
    'strategy.1: "local-sgd" commits every 4 inner steps, and the longest round has 10; allowed: a divisor of 10',
  );
  refused(
    [{ innerSteps: 4 }, { name: "fedavg", innerSteps: 4 }],
    'strategy.1: "fedavg" sends pseudo-gradients, and the parameters follow one anchor; strategy 0, "diloco", does so already',
  );
  refused(
    [{ name: "ddp" }, { name: "ddp" }],
    /^strategy\.1: "ddp" sends gradients, and a step takes one mean of them/,
  );
});

const section = createSection({
  strategies: { diloco: row(dilocoOptions, diloco) },
  presets: {
    frugal: { doc: "few bytes", options: { name: "diloco", innerSteps: 50, codec: "eden:bits=2" } },
  },
  initial: "diloco",
});

test("a preset stands for its options, of which a section may change some", () => {
  const coding = (options: unknown) => {
    const { recipe } = section.createStrategies(options)[0]!;
    return [recipe.commit.steps, recipe.coding.up];
  };
  assert.equal(coding({ preset: "frugal" }), [50, "eden:bits=2"]);
  assert.equal(coding({ preset: "frugal", innerSteps: 100 }), [100, "eden:bits=2"]);
  assert.equal(coding([{ preset: "frugal", name: "diloco" }]), [50, "eden:bits=2"]);
  const written = section.strategySchema.parse({ preset: "frugal" }) as StrategyOptions;
  assert.is(written.preset, undefined, "what is hashed is what it stands for");
  assert.equal(written, section.strategySchema.parse(written));
  const bad = (options: unknown, message: string) =>
    assert.throws(() => section.createStrategies(options), configError(message));
  bad({ preset: "frugle" }, 'strategy.preset: "frugle" (did you mean "frugal"?); allowed: "frugal"');
  bad({ preset: "frugal", name: "ddp" }, 'strategy.name: "ddp"; the preset "frugal" is of "diloco"');
  bad({ preset: "frugal", innerSteps: 0 }, "strategy.innerSteps: 0; allowed: an integer from 1 to 1000000");
});

test("every shipped preset makes a strategy", () => {
  for (const [preset, { doc }] of Object.entries(presets)) {
    assert.is(createStrategies({ preset }).length, 1, preset);
    assert.ok(doc.length > 0);
  }
});

test("the schema fills in defaults, and reports faults at their keys in the config's words", () => {
  const config = z.strictObject({ strategy: strategySchema.prefault({}) });
  const { strategy } = config.parse({}) as { strategy: StrategyOptions };
  assert.is(strategy.name, "diloco");
  assert.is(strategy.innerSteps, 20);
  const list = config.parse({ strategy: [{ name: "ddp", codec: "topk:k=64" }] })
    .strategy as StrategyOptions[];
  assert.is(list[0]!.codec, "topk");
  const result = config.safeParse({ strategy: [{ innerSteps: 0, codec: "x" }] });
  const issues = result.success ? [] : result.error.issues;
  assert.equal(
    issues.map(({ code, path }) => [code, path.join(".")]),
    [
      ["custom", "strategy.0.innerSteps"],
      ["custom", "strategy.0.codec"],
    ],
  );
  assert.is(issues[0]!.message, "0; allowed: an integer from 1 to 1000000");
});

test("the docs have a row for every key of every strategy", () => {
  const docs = describeStrategies();
  assert.equal(
    docs.map(({ name }) => name),
    Object.keys(strategies),
  );
  for (const { doc, keys, name } of docs) {
    assert.ok(doc.length > 10, `${name} says what it is`);
    for (const { key, allowed, meaning, default: value } of keys) {
      assert.ok(key.startsWith("strategy.") && allowed.length > 0 && meaning.length > 0, `${name} ${key}`);
      assert.is.not(allowed.includes("undefined"), true, `${name} ${key}: ${allowed}`);
      assert.is.not(value, undefined, `${name} ${key} has a default`);
    }
  }
  const diloco = docs.find(({ name }) => name === "diloco")!;
  assert.equal(diloco.keys[1], {
    key: "strategy.innerSteps",
    allowed: "an integer from 1 to 1000000",
    default: 20,
    meaning: "inner optimizer steps of each peer in a round (H)",
  });
});

test("a definition's own faults count, where a recipe alone shows none", () => {
  const faults: readonly Fault[] = [{ key: "innerSteps", problem: "no good" }];
  const strict = createSection({
    strategies: { diloco: row(dilocoOptions, (options) => ({ ...diloco(options), faults })) },
    presets: {},
    initial: "diloco",
  });
  assert.throws(
    () => strict.createStrategies({}, "arms.2.strategy"),
    configError("arms.2.strategy.innerSteps: no good"),
  );
});

test.run();
