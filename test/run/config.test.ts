/** The config: defaults, every kind of mistake in one error, syntax errors with their place, the recipe's digest. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson } from "../../lib/base/canonical-json.js";
import { closestName } from "../../lib/base/closest-name.js";
import { GradmeshError } from "../../lib/base/errors.js";
import { codecs, collectives } from "../../lib/native/abi.gen.js";
import { describeConfig, loadConfig, parseConfig, runRecipe } from "../../lib/run/config.js";
import { describeStrategies } from "../../lib/strategy/registry.js";

const folder = mkdtempSync(join(tmpdir(), "gradmesh-config-"));
test.after(() => rmSync(folder, { recursive: true, force: true }));

function problem(value: unknown): string {
  try {
    parseConfig(value, "run.json");
  } catch (error) {
    assert.instance(error, GradmeshError);
    assert.is((error as GradmeshError).code, "ERR_CONFIG");
    return (error as Error).message;
  }
  throw new Error(`accepted: ${JSON.stringify(value)}`);
}

test("an empty config is whole, and its defaults are the described ones", () => {
  const config = parseConfig({});
  for (const { key, default: value } of describeConfig()) {
    const found = key.split(".").reduce((at: unknown, name) => (at as Record<string, unknown>)[name], config);
    if (key === "strategy") assert.equal(parseConfig({ strategy: value }).strategy, found);
    else assert.equal(found, value, key);
  }
  assert.equal(parseConfig(config), config, "a whole config is valid too");
  assert.is([config.strategy].flat()[0]!.codec, "int8_block");
  assert.is(config.network.advertiseHost, null);
});

test("every key is described, with its default, what is allowed, and its meaning", () => {
  const rows = describeConfig();
  assert.is(rows.length, 40);
  for (const { key, allowed, meaning, default: value } of rows) {
    assert.ok(value !== undefined && meaning.length > 10, key);
    assert.not.match(allowed, /undefined/);
  }
  const diloco = describeStrategies().find(({ name }) => name === "diloco")!;
  const allowed = new Map([...rows, ...diloco.keys].map((row) => [row.key, row.allowed]));
  assert.match(allowed.get("strategy")!, /^an object with a strategy's name and options, or a list of them/);
  for (const name of Object.keys(codecs))
    assert.match(allowed.get("strategy.codec")!, new RegExp(` ${name}\\b`));
  assert.is(
    allowed.get("strategy.collective"),
    '"auto", "ring", "direct", "halving_doubling", "hierarchical"',
  );
  assert.is(allowed.get("network.streams"), '"auto", or an integer from 1 to 16');
  assert.is(allowed.get("network.dialable"), "true or false");
  assert.ok(Object.keys(collectives).includes("broadcast"), "broadcast exists, but is no reduction");
  assert.is(allowed.get("strategy.momentumEnd"), "a number from 0 to less than 1");
  assert.is(allowed.get("network.segmentElements"), "a multiple of 256 from 256 to 16777216");
});

test("all problems are in one error, with key, value and what is allowed", () => {
  const message = problem({
    inerSteps: 3,
    seed: -1,
    peersMin: 9,
    peersMax: 3,
    strategy: { innerstep: 2, codec: "int9", momentumStart: 0.95 },
    network: { segmentElements: 100, bulkPort: "x" },
    checkpoint: { keep: 0 },
  });
  for (const line of [
    "run.json: 9 problems",
    'inerSteps: unknown key (did you mean "strategy.innerSteps"?); allowed: name, seed',
    "seed: -1; allowed: an integer from 0 to 9007199254740991",
    "peersMin: 9; allowed: at most peersMax, which is 3",
    'strategy.innerstep: unknown key (did you mean "strategy.innerSteps"?); allowed: name, innerSteps',
    'strategy.codec: codec is "int9": there is no codec "int9"; allowed: "fp32", "bf16", "int8_block", ',
    "strategy.momentumStart: 0.95; allowed: at most momentumEnd, which is 0.9",
    "network.segmentElements: 100; allowed: a multiple of 256 from 256 to 16777216",
    'network.bulkPort: "x"; allowed: an integer from 0 to 65535',
    "checkpoint.keep: 0; allowed: an integer from 1 to 1000000",
  ])
    assert.ok(message.includes(line), `${line}\nis not in\n${message}`);
});

test("single mistakes", () => {
  const cases: [unknown, RegExp][] = [
    [5, /the config: 5; allowed: an object$/],
    [null, /the config: null; allowed: an object$/],
    [[], /the config: \[\]; allowed: an object$/],
    [
      { strategy: 3 },
      /^run.json: strategy: 3; allowed: an object with a strategy's name and options, or a list of them/,
    ],
    [{ name: "" }, /name: ""; allowed: text of 1 to 100 characters/],
    [{ rounds: 1.5 }, /rounds: 1.5; allowed: an integer from 1/],
    [{ rounds: "5" }, /rounds: "5"; allowed: an integer/],
    [{ seed: Number.NaN }, /seed: NaN is not a JSON number/],
    [{ trainer: { options: { hook: () => 1 } } }, /trainer.options.hook: JSON cannot hold a function/],
    [{ trainer: { options: { when: new Date(0) } } }, /trainer.options.when: must be a plain object/],
    [{ trainer: { options: [1] } }, /trainer.options: \[1\]; allowed: an object/],
    [
      { peersMin: 4, strategy: { aggregate: { rule: "krum", faulty: 1 } } },
      /peersMin: 4; a round may have so many members, and the rule "krum" with faulty f = 1 needs n >= 2f \+ 3, that is 5/,
    ],
    [{ strategy: { collective: "broadcast" } }, /collective: "broadcast"; allowed: "auto", "ring"/],
    [
      { strategy: { collective: "halving_doubling" } },
      /codec: "int8_block": the collective "halving_doubling" adds float32 sums on the way and takes only "fp32"/,
    ],
    [{ strategy: { momentumEnd: 1 } }, /momentumEnd: 1; allowed: a number from 0 to less than 1/],
    [
      { network: { silenceLimitMs: 2e5 } },
      /silenceLimitMs: 200000; allowed: at most network.operationLimitMs/,
    ],
    [{ network: { encryption: "off" } }, /encryption: "off"; allowed: "aes-256-gcm", "none"/],
    [{ trust: { verify: true, stake: 50 } }, /trust.bond: 100; allowed: at most trust.stake, 50$/],
    [{ trust: { verify: true, stake: 0 } }, /trust.stake: 0; allowed: /],
    [{ trust: { verify: true, grant: 0 } }, /trust.grant: 0; allowed: at least stake and bond, 1100$/],
    [{ trust: { verify: true, grant: 1099 } }, /trust.grant: 1099; allowed: at least stake and bond, 1100$/],
    [{ innerSteps: 3 }, /did you mean "strategy.innerSteps"/],
    [
      { strategy: [{ name: "diloco" }, { name: "sparta", share: 2 }] },
      /strategy.1.share: 2; allowed: a number from 0.000001 to 1/,
    ],
    [
      { strategy: { name: "dilocco" } },
      /strategy.name: "dilocco" \(did you mean "diloco"\?\); allowed: "ddp",/,
    ],
    [{ strategy: [] }, /strategy: a list of 0; allowed: 1 to 16 strategies/],
    [{ rounds: 1e9 }, /rounds: 1000000000; allowed: at most \d+ with this strategy/],
    [JSON.parse('{"__proto__": {"seed": 3}}'), /__proto__: unknown key/],
    [{ xyzzy: 1 }, /xyzzy: unknown key; allowed: name,/],
  ];
  for (const [value, message] of cases) assert.match(problem(value), message);
  parseConfig({ trust: { verify: false, grant: 0 } });
  const ring = { name: "diloco", collective: "ring", codec: "fp32" };
  const { strategy } = parseConfig({ strategy: [ring] });
  assert.equal([strategy].flat()[0], { ...[parseConfig({}).strategy].flat()[0], ...ring });
});

test("a syntax error has its line and column", async () => {
  const path = join(folder, "run.json");
  const cases: [string, RegExp][] = [
    ['{"a": tru}', /:1:10: not valid JSON: Unexpected token '}'$/],
    ['{\n  "seed": nul,\n  "name": "x"}', /:2:14: not valid JSON: Unexpected token ','$/],
    ['{\n "rounds": }', /:2:12: /],
    ['{"rounds": 1,}', /:1:14: not valid JSON: Expected double-quoted property name$/],
    ['{"rounds": 1, // one\n}', /:1:15: /],
    ['{"rounds":\n', /:2:1: not valid JSON: Unexpected end of JSON input$/],
    ["", /:1:1: /],
  ];
  for (const [text, message] of cases) {
    writeFileSync(path, text);
    try {
      await loadConfig(path);
      assert.unreachable(text);
    } catch (error) {
      assert.is((error as GradmeshError).code, "ERR_CONFIG");
      assert.match((error as Error).message, message);
    }
  }
  writeFileSync(path, '{"rounds": 7}');
  assert.is((await loadConfig(path)).rounds, 7);
});

test("an absent file is named", async () => {
  try {
    await loadConfig(join(folder, "absent.json"));
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /absent.json: there is no such file/);
  }
});

test("the recipe is what peers must share: not names, addresses, threads, limits or checkpoints", () => {
  const digest = (value: unknown) => runRecipe(parseConfig(value), "fingerprint");
  const plain = digest({});
  assert.is.not(runRecipe(parseConfig({}), "another model or text"), plain);
  // What the trainer's options change is in its fingerprint; a file's path may differ between machines.
  assert.is(digest({ trainer: { options: { data: "elsewhere.txt" } } }), plain);
  assert.match(plain, /^[0-9a-f]{64}$/);
  for (const own of [
    { name: "other" },
    { trainer: { threads: 2 } },
    {
      network: { host: "0.0.0.0", bulkPort: 9, silenceLimitMs: 9, streams: 4, paceMbit: 9.5, slowLimitMs: 1 },
    },
    { checkpoint: { keep: 9 } },
  ])
    assert.is(digest(own), plain, JSON.stringify(own));
  for (const shared of [
    { seed: 2 },
    { rounds: 26 },
    { trainer: { module: "./mine.js" } },
    { strategy: { innerSteps: 21 } },
    { strategy: { codec: "bf16" } },
    { strategy: { momentumWarmupRounds: 11 } },
    { strategy: { name: "ddp" } },
    { strategy: [{ name: "sparta" }, { name: "diloco" }] },
    { network: { encryption: "none" } },
    { network: { segmentElements: 512 } },
    { network: { onLoss: "salvage" } },
  ])
    assert.is.not(digest(shared), plain, JSON.stringify(shared));
});

test("canonical JSON does not depend on the order of keys, and keeps the value", () => {
  const seed = Number(process.env.GRADMESH_TEST_SEED ?? Date.now() % 2 ** 31);
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, field]) => [key, reversed(field)]),
    );
  };
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      assert.is(canonicalJson(reversed(value)), text);
      assert.is(
        JSON.stringify(JSON.parse(text)),
        JSON.stringify(JSON.parse(canonicalJson(JSON.parse(text)))),
      );
      assert.equal(JSON.parse(text), JSON.parse(JSON.stringify(value)));
    }),
    { seed, numRuns: 300 },
  );
  assert.is(
    canonicalJson({ b: [1, { d: 1e21, c: "é" }], a: null }),
    '{"a":null,"b":[1,{"c":"é","d":1e+21}]}',
  );
});

test("the closest name is close, or none", () => {
  const names = ["innerSteps", "codec", "collective"];
  assert.is(closestName("inner_steps", names), "innerSteps");
  assert.is(closestName("codce", names), "codec");
  assert.is(closestName("colective", names), "collective");
  assert.is(closestName("banana", names), null);
  assert.is(closestName("x".repeat(100_000), names), null);
});

test.run();
