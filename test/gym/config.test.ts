/** A mistake in the gym's config is named with its place, its value and what is allowed; a sound one becomes plans. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { planArms, planOne } from "../../lib/gym/arms.js";
import { parseGymConfig } from "../../lib/gym/config.js";
import { exampleConfig } from "../../lib/gym/example.js";

function problem(value: unknown): string {
  try {
    planArms(parseGymConfig(value, "c.json"), "c.json");
  } catch (error) {
    assert.instance(error, GradmeshError);
    assert.is((error as GradmeshError).code, "ERR_CONFIG");
    return (error as GradmeshError).message;
  }
  throw new Error("the config was taken");
}

const faults: readonly [string, unknown, readonly string[]][] = [
  ["no arms", {}, ["c.json: arms: absent", "a list of 1 to 256 arms"]],
  [
    "a misspelt key",
    { arms: [{ name: "a", stepss: 5 }] },
    ['arms[0] ("a")', '"stepss"', 'did you mean "steps"'],
  ],
  ["a number of peers", { arms: [{ name: "a", peers: 0 }] }, ["peers[0].count: 0", "from 1 to 1024"]],
  ["a link", { arms: [{ name: "a", peers: [{ link: "dsl" }] }] }, ['peers[0].link: "dsl"', '"home-10mbit"']],
  ["a peer's key", { arms: [{ name: "a", peers: [{ uMbit: 1 }] }] }, ['"uMbit"', 'did you mean "upMbit"']],
  [
    "a fault's key",
    { arms: [{ name: "a", peers: [{ faults: { deth: 1 } }] }] },
    ['"deth"', 'did you mean "death"'],
  ],
  ["a rate", { arms: [{ name: "a", peers: [{ upMbit: 0 }] }] }, ["upMbit: 0", "above 0 to 1000000"]],
  ["an arm's name", { arms: [{ name: "a/b" }] }, ['name: "a/b"', "letters, digits"]],
  ["two arms alike", { arms: [{ name: "a" }, { name: "a" }] }, ['2 of them are named "a"']],
  [
    "steps that are no rounds",
    { arms: [{ name: "a", steps: 30 }] },
    ["steps: 30", "a multiple", "20 steps, as 40"],
  ],
  [
    "steps and rounds",
    { arms: [{ name: "a", steps: 20, config: { rounds: 4 } }] },
    ["steps: 20", "config.rounds is 4"],
  ],
  [
    "a run's key",
    { arms: [{ name: "a", config: { seeed: 1 } }] },
    ['arms[0] ("a").config.seeed', "unknown key"],
  ],
  [
    "a strategy's option",
    { arms: [{ name: "a", config: { strategy: { name: "diloco", innerSteps: 0 } } }] },
    ["config.strategy.innerSteps: 0"],
  ],
  [
    "nobody at the start",
    { arms: [{ name: "a", peers: [{ joinRound: 1 }] }] },
    ["nobody is there at the start"],
  ],
  [
    "leaving before coming",
    { arms: [{ name: "a", peers: [{}, { joinRound: 3, leaveRound: 2 }] }] },
    ["peer 1 leaves in round 2", "after it joins"],
  ],
  [
    "more peers than the run's",
    { arms: [{ name: "a", peers: 5, config: { peersMax: 4 } }] },
    ["5 peers", "which is 4"],
  ],
];

for (const [what, value, words] of faults)
  test(`refused: ${what}`, () => {
    const message = problem(value);
    for (const word of words)
      assert.ok(message.includes(word), `${JSON.stringify(word)} is not in: ${message}`);
  });

test("every problem is told at once", () => {
  const message = problem({
    arms: [
      { name: "a", peers: [{ upMbit: 0 }] },
      { name: "b", stepps: 1 },
    ],
  });
  assert.ok(message.includes("upMbit: 0") && message.includes("stepps"), message);
});

test("defaults are merged key by key, but a strategy is one arm's own", () => {
  const [first, second] = planArms(
    parseGymConfig({
      seeds: [3, 4],
      defaults: {
        peers: 2,
        steps: 40,
        config: { strategy: { name: "diloco", innerSteps: 20 }, rounds: undefined },
      },
      arms: [
        { name: "a", config: { network: { segmentElements: 1024 } } },
        { name: "b", config: { strategy: { name: "ddp" } } },
      ],
    }),
  ).filter(({ config }) => config.seed === 3);
  assert.equal([first!.name, first!.roundSteps, first!.rounds, first!.shards], ["a.seed-3", 20, 2, 2]);
  assert.is(first!.config.network.segmentElements, 1024);
  assert.equal([second!.roundSteps, second!.rounds, second!.profiles.length], [1, 40, 2]);
});

test("the digest tells plans apart, and equal ones not", () => {
  const arm = { name: "a", peers: 3, steps: 40 };
  assert.is(planOne(arm).digest, planOne({ ...arm }).digest);
  assert.is.not(planOne(arm).digest, planOne({ ...arm, peers: [{ count: 3, delayMs: 1 }] }).digest);
});

test("64 peers are more than a run has, and the gym takes them", () => {
  const plan = planOne({ name: "a", peers: 64 });
  assert.equal([plan.shards, plan.profiles.length], [64, 64]);
});

test("the example is sound", () => {
  assert.is(planArms(parseGymConfig(exampleConfig)).length, exampleConfig.arms.length);
});

test.run();
