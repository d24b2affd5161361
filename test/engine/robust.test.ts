/** Robust rules against their definitions in plain loops, and their way through an exchange. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Communicator } from "../../lib/engine/communicator.js";
import { Engine } from "../../lib/engine/engine.js";
import { applyRule, krumRows, RowGraphs } from "../../lib/engine/robust-rules.js";
import { LocalGroup } from "../../lib/gym/group.js";
import { exchangeAll, membersOf } from "../../lib/gym/lockstep.js";
import { native } from "../../lib/native/load.js";
import { decodeOwn, packWires, unpackWires } from "../../lib/reduce/gather-wires.js";
import { robustRules } from "../../lib/strategy/recipe.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import { impossible, type RobustAggregate } from "../../lib/strategy/robust.js";
import { failure } from "../failure.js";
import { createToy, normals } from "./exchanges.js";
import { contractiveCodecs } from "./group.js";

const aggregateOf = (more: Partial<RobustAggregate> & Pick<RobustAggregate, "rule">): RobustAggregate => ({
  kind: "robust",
  faulty: 0,
  selected: null,
  radius: null,
  iterations: 5,
  ...more,
});

/** Rows of their own length that a rule aggregates. */
async function aggregated(
  aggregate: RobustAggregate,
  rows: readonly (readonly number[])[],
): Promise<number[]> {
  const columns = rows[0]!.length;
  const graphs = new RowGraphs(rows.length, columns, 1);
  const out = new Float32Array(columns);
  await applyRule(graphs, aggregate, Float32Array.from(rows.flat()), out);
  graphs.close();
  return [...out];
}

/** Small whole numbers, so that float32 and double agree. */
const table = (rowsMin: number) =>
  fc.tuple(fc.integer({ min: rowsMin, max: 12 }), fc.integer({ min: 1, max: 5 })).chain(([rows, columns]) =>
    fc.array(fc.array(fc.integer({ min: -50, max: 50 }), { minLength: columns, maxLength: columns }), {
      minLength: rows,
      maxLength: rows,
    }),
  );

const column = (rows: readonly (readonly number[])[], at: number) =>
  rows.map((row) => row[at]!).toSorted((a, b) => a - b);
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const squared = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0);

/** Elements of some tens, summed in float32. */
function assertClose(found: readonly number[], expected: readonly number[]): void {
  assert.is(found.length, expected.length);
  for (const [at, value] of found.entries())
    assert.ok(Math.abs(value - expected[at]!) < 1e-4, `element ${at} is ${value}, not ${expected[at]}`);
}

/** CenteredClip in plain loops: from the median, a radius of null being the median distance from it. */
function clippedCenter(rows: readonly (readonly number[])[], radius: number | null, iterations: number) {
  const middle = Math.floor((rows.length - 1) / 2);
  const center = rows[0]!.map((_, at) => meanOf(column(rows, at).slice(middle, rows.length - middle)));
  const distances = rows.map((row) => Math.sqrt(squared(row, center)));
  const most = radius ?? distances.toSorted((a, b) => a - b)[middle]!;
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const from = [...center];
    for (const row of rows) {
      const distance = Math.sqrt(squared(row, from));
      const factor = distance <= most ? 1 : most / distance;
      for (const [at, value] of row.entries()) center[at]! += (factor * (value - from[at]!)) / rows.length;
    }
  }
  return center;
}

test("median and trimmed mean are those of each column", async () => {
  await fc.assert(
    fc.asyncProperty(table(1), fc.nat(5), async (rows, some) => {
      const most = Math.floor((rows.length - 1) / 2);
      const faulty = Math.min(some, most);
      const trimmed = (cut: number) =>
        rows[0]!.map((_, at) => Math.fround(meanOf(column(rows, at).slice(cut, rows.length - cut))));
      assert.equal(await aggregated(aggregateOf({ rule: "median" }), rows), trimmed(most));
      assert.equal(await aggregated(aggregateOf({ rule: "trimmedMean", faulty }), rows), trimmed(faulty));
    }),
    { numRuns: 60 },
  );
});

test("Krum takes the row that is nearest to others, multi-Krum the mean of several, ties by rank", async () => {
  await fc.assert(
    fc.asyncProperty(table(5), fc.nat(4), async (rows, some) => {
      const faulty = Math.min(some, Math.floor((rows.length - 3) / 2));
      const scores = rows.map((row, at) =>
        rows
          .flatMap((other, to) => (to === at ? [] : [squared(row, other)]))
          .toSorted((a, b) => a - b)
          .slice(0, rows.length - faulty - 2)
          .reduce((sum, distance) => sum + distance, 0),
      );
      const order = scores
        .map((score, at) => [score, at] as const)
        .toSorted((a, b) => a[0] - b[0] || a[1] - b[1]);
      const [best] = order;
      assert.equal(await aggregated(aggregateOf({ rule: "krum", faulty }), rows), [...rows[best![1]]!]);
      for (const selected of [null, 2]) {
        const chosen = order.slice(0, selected ?? rows.length - faulty - 2).map(([, at]) => rows[at]!);
        assertClose(
          await aggregated(aggregateOf({ rule: "multiKrum", faulty, selected }), rows),
          rows[0]!.map((_, at) => meanOf(chosen.map((row) => row[at]!))),
        );
      }
    }),
    { numRuns: 60 },
  );
  // Distances that overflow are no reason to choose a row, nor to choose none.
  const far = new Float32Array(25).fill(Number.POSITIVE_INFINITY);
  assert.equal(krumRows(far, 5, 1, 2), [0, 1]);
});

test("CenteredClip goes from the median by the rows' pulls, each clipped to the radius", async () => {
  const options = [null, 3].flatMap((radius) => [1, 5].map((iterations) => ({ radius, iterations })));
  await fc.assert(
    fc.asyncProperty(table(3), fc.constantFrom(...options), async (rows, { radius, iterations }) => {
      const found = await aggregated(aggregateOf({ rule: "centeredClip", radius, iterations }), rows);
      assertClose(found, clippedCenter(rows, radius, iterations));
    }),
    { numRuns: 100 },
  );
});

test("CenteredClip ends near the honest rows, and norm clipping scales what is longer than the middle one", async () => {
  const honest = [
    [1, 2],
    [1.5, 2],
    [1, 2.5],
  ];
  const lies = [
    [1e6, -1e6],
    [1e6, -1e6],
  ];
  const [x, y] = await aggregated(aggregateOf({ rule: "centeredClip", faulty: 2, radius: 0.5 }), [
    ...lies,
    ...honest,
  ]);
  assert.ok(Math.abs(x! - 1.2) < 1 && Math.abs(y! - 2.2) < 1, `${x}, ${y}`);
  const clipped = await aggregated(aggregateOf({ rule: "normClip", faulty: 1 }), [
    [3, 4],
    [0, 10],
    [0, 1],
  ]);
  assert.equal(
    clipped,
    [3 / 3, (4 + 5 + 1) / 3].map((value) => Math.fround(value)),
  );
});

test("each rule gives the same bits on every backend and with more threads", async () => {
  const { backends } = JSON.parse(native.capabilities()) as { backends: readonly string[] };
  const [rows, columns] = [11, 9001];
  const x = await normals(4, 0, rows * columns);
  for (const rule of robustRules) {
    const seen = new Set<string>();
    for (const backend of backends)
      for (const threads of [1, 3]) {
        native.backendForce(backend);
        const graphs = new RowGraphs(rows, columns, threads);
        const out = new Float32Array(columns);
        await applyRule(graphs, aggregateOf({ rule, faulty: rule === "mean" ? 0 : 4 }), x, out);
        graphs.close();
        seen.add(await native.digest([out]));
      }
    native.backendForce("auto");
    assert.is(seen.size, 1, rule);
  }
});

test("a rule is possible exactly where its inequality holds", () => {
  const possible = (
    rule: RobustAggregate["rule"],
    faulty: number,
    members: number,
    selected: number | null = null,
  ) => impossible(aggregateOf({ rule, faulty, selected }), members) === null;
  for (let n = 1; n <= 32; n += 1)
    for (let f = 0; f <= 16; f += 1) {
      for (const rule of ["median", "trimmedMean", "centeredClip", "normClip"] as const)
        assert.is(possible(rule, f, n), 2 * f < n, `${rule} ${f} ${n}`);
      assert.is(possible("krum", f, n), n >= 2 * f + 3);
      assert.is(possible("multiKrum", f, n), n >= 2 * f + 3);
      for (const m of [1, 3, 9]) assert.is(possible("multiKrum", f, n, m), n >= 2 * f + 3 && m <= n - f - 2);
    }
  assert.is(possible("mean", 0, 33), false);
  assert.is(
    impossible(aggregateOf({ rule: "krum", faulty: 2 }), 6),
    'the rule "krum" with faulty f = 2 needs n >= 2f + 3, that is 7 members at least, and there are n = 6',
  );
});

const refused = (options: object): string => {
  try {
    createStrategies({ name: "diloco", ...options });
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("what no number of members makes possible is refused with the key, the value and the cure", () => {
  const aggregate = (more: object) => refused({ aggregate: { rule: "median", ...more } });
  assert.is(aggregate({ faulty: 1 }), "");
  assert.match(
    aggregate({ rule: "mean", faulty: 1 }),
    /^strategy\.aggregate\.faulty: 1: one faulty peer moves a mean/,
  );
  assert.match(
    aggregate({ faulty: 16 }),
    /^strategy\.aggregate\.faulty: 16: "median" needs 2f < n; at most 32/,
  );
  assert.match(aggregate({ radius: 2 }), /^strategy\.aggregate\.radius: 2: only/);
  assert.match(aggregate({ selected: 2 }), /^strategy\.aggregate\.selected: 2: only/);
  assert.match(aggregate({ iterations: 6 }), /^strategy\.aggregate\.iterations: 6: only/);
  assert.match(refused({ aggregate: { rule: "mode" } }), /strategy\.aggregate/);
  assert.match(
    refused({ aggregate: { rule: "median" }, collective: "ring", codec: "fp32" }),
    /^strategy\.collective: "ring"/,
  );
  assert.match(
    refused({ aggregate: { rule: "median" }, downCodec: "fp32" }),
    /^strategy\.downCodec: "fp32": with agg/,
  );
  assert.match(
    refused({ aggregate: { rule: "median" }, ownerFeedback: 1 }),
    /^strategy\.ownerFeedback: 1: with agg/,
  );
  const fedavg = { name: "fedavg", aggregate: { rule: "median", faulty: 1 } };
  assert.match(
    refused(fedavg),
    /^strategy\.weighting: "samples": with aggregate every contribution counts alike/,
  );
  assert.match(refused({ ...fedavg, weighting: "uniform", fraction: 0.5 }), /^strategy\.fraction: 0\.5/);
  assert.is(refused({ ...fedavg, weighting: "uniform" }), "");
  assert.match(
    refused({ name: "ddp", powersgdRank: 2, aggregate: { rule: "median" } }),
    /^strategy\.powersgdRank: 2/,
  );
});

test("everybody decodes alike what a member can know before it sends it, with any codec", async () => {
  const [ranks, elements] = [3, 5000];
  const key = { seed: 9, step: 4 };
  for (const codec of [...contractiveCodecs, "fp32", "eden:bits=2", "int8_block:rounding=stochastic"]) {
    const inputs = await Promise.all(Array.from({ length: ranks }, (_, rank) => normals(6, rank, elements)));
    const coders = [4, 0, 7];
    const calls = inputs.map((input) => ({
      ...{ codec, key, coders, input },
      output: new Float32Array(ranks * elements),
    }));
    const packed = await Promise.all(calls.map((call, rank) => packWires(call, rank, ranks)));
    const words = packed[0]!.own.length / ranks;
    for (const { all } of packed)
      for (const [rank, { own }] of packed.entries())
        all.set(own.subarray(rank * words, (rank + 1) * words), rank * words);
    for (const [index, call] of calls.entries()) await unpackWires(call, packed[index]!.all);
    const known = await Promise.all(calls.map((call, rank) => decodeOwn(call, coders[rank]!)));
    const digests = new Set([await native.digest(known)]);
    for (const { output } of calls) digests.add(await native.digest([output]));
    assert.is(digests.size, 1, codec);
  }
});

const strategy = { name: "diloco", innerSteps: 2, codec: "fp32", aggregate: { rule: "median", faulty: 1 } };

async function engines(members: number, section: object = strategy): Promise<Engine[]> {
  return Promise.all(
    Array.from({ length: members }, async (_, shard) =>
      Engine.create({
        trainer: await createToy(shard),
        strategies: createStrategies(section),
        seed: 3,
        threads: 1,
      }),
    ),
  );
}

const view = (group: readonly Engine[], shards?: readonly number[]) => ({
  epoch: 0,
  members: membersOf(group, shards),
  seed: 3,
  measures: {},
});

/** This member sends something else than its work. */
const lying = (inner: Communicator, lie: (input: Float32Array) => Float32Array): Communicator => ({
  ...inner,
  gatherAll: (call) => inner.gatherAll({ ...call, input: lie(call.input) }),
});

test("threat 27, NaN and infinity: one whose contribution is not finite is named by all, and the round goes on without it", async () => {
  const group = await engines(5);
  const local = new LocalGroup({ view: view(group) });
  const outcomes = await Promise.all(
    group.map(async (engine, rank) => {
      const over = local.communicators[rank]!;
      const own =
        rank === 2 ? lying(over, (input) => input.map((value, i) => (i === 7 ? Number.NaN : value))) : over;
      return failure(engine.exchange(own));
    }),
  );
  local.close();
  for (const { code, detail, message } of outcomes) {
    assert.is(code, "ERR_DIVERGED");
    assert.equal(detail.peers, ["peer-2"]);
    assert.match(message, /^the contribution of peer-2 has NaN/);
  }
  const rest = group.filter((_, rank) => rank !== 2);
  const again = new LocalGroup({ view: view(rest, [0, 1, 3, 4]) });
  await exchangeAll(rest, again);
  await Promise.all(rest.map((engine) => engine.apply()));
  again.close();
  assert.is(new Set(rest.map(({ standing }) => standing.stateDigest)).size, 1);
  assert.is(rest[0]!.standing.round, 1);
  for (const engine of group) await engine.close();
});

test("what was gathered can be looked at before it counts, and who looks may name peers", async () => {
  const group = await engines(3);
  const seen: string[][] = [];
  const local = new LocalGroup({
    view: view(group),
    inspect: async ({ contributions }, rank) => {
      seen[rank] = await Promise.all(contributions.map((row) => native.digest([row])));
    },
  });
  await exchangeAll(group, local);
  local.close();
  assert.is(new Set(seen.map((digests) => digests.join())).size, 1);
  assert.is(new Set(seen[0]).size, 3);
  for (const engine of group) await engine.close();
});

test("a view of too few members is refused with the inequality", async () => {
  const group = await engines(2);
  const local = new LocalGroup({ view: view(group) });
  const { code, message } = await failure(exchangeAll(group, local));
  assert.is(code, "ERR_CONFIG");
  assert.match(
    message,
    /^strategy\.aggregate: the rule "median" with faulty f = 1 needs 2f < n, that is 3 members/,
  );
  for (const engine of group) await engine.close();
});

test("a liar moves the mean, not the median, all through a round", async () => {
  const moved = async (aggregate: object) => {
    const group = await engines(5, {
      ...strategy,
      outerLearningRate: 1,
      momentumStart: 0,
      momentumEnd: 0,
      aggregate,
    });
    const local = new LocalGroup({ view: view(group) });
    const before = group[0]!.trainer.parameters.slice();
    const sent = local.communicators.map((over, rank) =>
      rank === 4 ? lying(over, (input) => input.map((value) => -1000 * value)) : over,
    );
    await Promise.all(group.map((engine, rank) => engine.exchange(sent[rank]!)));
    await Promise.all(group.map((engine) => engine.apply()));
    local.close();
    assert.is(new Set(group.map(({ standing }) => standing.stateDigest)).size, 1);
    const distance = Math.hypot(...group[0]!.trainer.parameters.map((value, i) => value - before[i]!));
    for (const engine of group) await engine.close();
    return distance;
  };
  const honest = await moved({ rule: "median", faulty: 2 });
  assert.ok((await moved({ rule: "mean" })) > 20 * honest);
});

test.run();
