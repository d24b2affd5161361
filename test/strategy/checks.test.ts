/** What recipes are refused for, word for word, and what is warned of. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { codecDensity, type Fault, recipeFaults } from "../../lib/strategy/checks.js";
import { exchangeEvery } from "../../lib/strategy/define.js";
import { plainRecipe, type Recipe } from "../../lib/strategy/recipe.js";
import { configError, one } from "./views.js";

const recipe: Recipe = {
  ...plainRecipe,
  strategy: "made-up",
  trigger: exchangeEvery(6),
  source: "delta",
  coding: { up: "fp32", down: null, ownerFeedback: null },
  route: { kind: "allReduce", collective: "direct" },
  outer: { kind: "nesterov" },
  commit: { steps: 6, equal: true },
};

function refused(change: Partial<Recipe>, key: string, pattern: RegExp): void {
  const faults: Fault[] = recipeFaults({ ...recipe, ...change });
  assert.equal(
    faults.map((one) => one.key),
    [key],
  );
  assert.match(faults[0]!.problem, pattern);
}

const coded = (up: string, down: string | null = null, ownerFeedback: number | null = null) => ({
  coding: { up, down, ownerFeedback },
});
const through = (collective: "ring" | "direct" | "halving_doubling" | "hierarchical" | "auto") => ({
  route: { kind: "allReduce", collective } as const,
});

test("a sender's feedback takes contractive codecs only", () => {
  const sender = { feedback: { kind: "sender", decay: 0.95 } as const };
  const why =
    /^"eden:bits=1": error feedback takes contractive codecs only, and of this one it is unbiased.*"topk".*scale=least; or set feedback to "none"$/;
  refused({ ...sender, ...coded("eden:bits=1") }, "codec", why);
  refused({ ...sender, ...coded("int4_block:rounding=stochastic") }, "codec", /it is unbiased/);
  refused({ feedback: { kind: "momentum", decay: 0.999 }, ...coded("eden") }, "codec", /it is unbiased/);
  refused({ ...sender, ...coded("fp16") }, "codec", /it may make an error larger than it was/);
  for (const up of ["fp32", "topk", "sign1", "int4_block", "eden:scale=least"])
    assert.equal(recipeFaults({ ...recipe, ...sender, ...coded(up) }), []);
});

test("a sender's feedback takes a collective that codes each contribution once", () => {
  const sender = { feedback: { kind: "sender", decay: 1 } as const };
  const message = /what is fed back .* set collective to "direct", or feedback to "none"$/;
  for (const collective of ["ring", "hierarchical", "auto"] as const)
    refused({ ...sender, ...coded("int4_block"), ...through(collective) }, "collective", message);
  assert.equal(recipeFaults({ ...recipe, ...sender, ...through("ring") }), [], "fp32 leaves nothing out");
  assert.equal(recipeFaults({ ...recipe, ...sender, ...coded("topk"), route: { kind: "gather" } }), []);
});

test("an owner's feedback takes a contractive codec down, and an owner", () => {
  const message = /^"eden:bits=2": error feedback .* or set ownerFeedback to null$/;
  refused(coded("eden:bits=2", null, 1), "codec", message);
  refused(coded("int8_block", "eden:bits=2", 1), "downCodec", message);
  refused(
    { ...coded("int4_block", null, 1), ...through("ring") },
    "ownerFeedback",
    /^1: only the collective "direct" has owners .* set collective to "direct", or ownerFeedback to null$/,
  );
  refused(
    { ...coded("int4_block", null, 0), route: { kind: "gather" } },
    "ownerFeedback",
    /only the collective "direct"/,
  );
  assert.equal(recipeFaults({ ...recipe, ...coded("eden:bits=1", "int4_block", 1) }), []);
});

test("only direct codes the mean anew", () => {
  const message = /^"int4_block": only the collective "direct" codes the mean anew .*, or downCodec to null$/;
  for (const collective of ["ring", "hierarchical", "auto"] as const)
    refused({ ...coded("int8_block", "int4_block"), ...through(collective) }, "downCodec", message);
  refused({ ...coded("topk", "int4_block"), route: { kind: "gather" } }, "downCodec", message);
  refused({ ...coded("fp32", "int4_block"), route: { kind: "mix", topology: "ring" } }, "downCodec", message);
});

test("collectives that add on the way take only fp32; ring and direct take any codec", () => {
  refused(
    { ...coded("int8_block"), ...through("halving_doubling") },
    "codec",
    /^"int8_block": the collective "halving_doubling" adds float32 sums on the way and takes only "fp32"; or set collective to "direct", which takes any$/,
  );
  for (const collective of ["ring", "direct", "auto", "hierarchical"] as const)
    assert.equal(recipeFaults({ ...recipe, ...coded("int8_block"), ...through(collective) }), []);
  assert.equal(recipeFaults({ ...recipe, ...through("halving_doubling") }), []);
  refused(
    { ...coded("int8_block"), route: { kind: "powersgd", rank: 4 } },
    "codec",
    /PowerSGD sends its factors as they are/,
  );
});

test("fragments fit into the round, and an overlap into a fragment's turn", () => {
  const streamed = (steps: number, count: number, overlap: number): Partial<Recipe> => ({
    trigger: exchangeEvery(steps / count, overlap),
    fragments: { kind: "layers", count },
    staleness: { kind: "overlap", steps: overlap, mix: 0.5 },
    commit: { steps, equal: true },
  });
  assert.equal(recipeFaults({ ...recipe, ...streamed(12, 3, 4) }), []);
  refused(
    streamed(10, 4, 1),
    "innerSteps",
    /^10: every fragment has its turn in a round after equally many steps; allowed: a multiple of fragments, which is 4$/,
  );
  refused(
    streamed(12, 3, 5),
    "overlapSteps",
    /^5: what is begun must be applied before the round commits; allowed: at most innerSteps \/ fragments, which is 4$/,
  );
  refused({ staleness: { kind: "overlap", steps: 7, mix: 0 } }, "overlapSteps", /allowed: at most 6$/);
  refused(
    { trigger: exchangeEvery(4) },
    "innerSteps",
    /^6: a round holds whole exchanges; allowed: a multiple of 4$/,
  );
  refused(
    { trigger: exchangeEvery(3), staleness: { kind: "eager" } },
    "innerSteps",
    /takes one exchange a round$/,
  );
  refused(
    { source: "gradient", staleness: { kind: "overlap", steps: 1, mix: 0 } },
    "overlapSteps",
    /^a gradient is applied in the step that made it; allowed: 0$/,
  );
});

test("strategies pass these on under their section", () => {
  const cases: readonly [unknown, string | RegExp][] = [
    [
      { codec: "int8_block", collective: "halving_doubling" },
      /^strategy\.codec: "int8_block": the collective "halving/,
    ],
    [{ downCodec: "eden:bits=2", ownerFeedback: 1 }, /^strategy\.downCodec: "eden:bits=2": error feedback/],
    [{ name: "ddp", codec: "eden", feedback: "sender" }, /^strategy\.codec: "eden": error feedback/],
    [
      { name: "ddp", powersgdRank: 4, codec: "int8_block" },
      'strategy.codec: "int8_block": PowerSGD sends its factors as they are; set codec to "fp32"',
    ],
    [
      { name: "ddp", powersgdRank: 4, collective: "ring" },
      /^strategy\.collective: "ring": the factors go by "direct"/,
    ],
    [
      { name: "ddp", powersgdRank: 65 },
      /^strategy\.powersgdRank: 65; allowed: an integer from 1 to 64, or null$/,
    ],
    [
      { name: "ddp", powersgdRank: 4, downCodec: "int4_block", ownerFeedback: 1 },
      'strategy.downCodec: "int4_block": PowerSGD sends its factors as they are; set downCodec to null\n' +
        "strategy.ownerFeedback: 1: PowerSGD sends its factors as they are; set ownerFeedback to null",
    ],
    [{ name: "fedavg", fraction: 0 }, "strategy.fraction: 0; allowed: a number above 0 to 1"],
    [
      { name: "hdee", innerSteps: 4, experts: [{ steps: 2 }, { steps: 5 }] },
      "strategy.experts.1.steps: 5; allowed: at most innerSteps, which is 4",
    ],
  ];
  for (const [options, message] of cases)
    assert.throws(() => one(options), configError(message), JSON.stringify(options));
});

test("a codec of chosen elements tells its density", () => {
  const cases: readonly [string, number | null][] = [
    ["fp32", null],
    ["eden:bits=1", null],
    ["topk", 64 / 4096],
    ["topk:block=256,k=13", 13 / 256],
    ["topk:values=sign,k=128", 128 / 4096],
    ["dct_topk", 64 / 4096],
    ["dct_topk:columns=192,k=32,values=sign", 32 / 4096],
    ["dct_topk:rows=12,columns=50,k=9", 9 / (12 * 50)],
    ["dct_topk:columns=127", 1],
  ];
  for (const [spec, density] of cases) assert.is(codecDensity(spec), density, spec);
});

test("a top-k that covers too little is warned of, not refused", () => {
  const { warnings } = one({ codec: "topk:k=256", innerSteps: 5 });
  assert.equal(warnings!(160), []);
  assert.equal(warnings!(120), [
    'codec "topk:k=256" sends 6.25 % of the elements, in 120 exchanges 7.50 times all of them; below 10 the loss suffers: ' +
      "take a larger k, more rounds or fewer inner steps",
  ]);
  assert.equal(one({ codec: "eden:bits=1" }).warnings!(1), []);
  assert.is(one({ name: "ddp", codec: "topk", commitSteps: 64 }).warnings!(10).length, 0);
  assert.is(one({ name: "ddp", codec: "topk", commitSteps: 63 }).warnings!(10).length, 1);
});

test.run();
