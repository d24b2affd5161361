/** A fixed part of the fault table with real processes, and the judge itself; `npm run faults` runs the whole table. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Draw } from "../e2e/chaos-plan.js";
import { networkUnavailable } from "../net/network.js";
import { judge, type Observed } from "./checks.js";
import { openNetwork, runCell } from "./faults.js";
import { faultProgram, sanitizedProgram } from "./group.js";
import { runLeaks } from "./leaks.js";
import type { Ended } from "./peer.js";
import { everyCell, makesSense, nameOf, planCell } from "./plan.js";
import { algorithms, type Cell, faults, phases } from "./table.js";

const SEED = 20;
const LEAK_ROUNDS = 20;
const SANITIZED_CELLS = 4;

/** Every fault with three algorithms and every algorithm with three faults, phases and modes in turn. */
function fixedCells(): Cell[] {
  return faults.flatMap((fault, row) =>
    [0, 3, 7].map((shift, turn): Cell => {
      const algorithm = algorithms[(row + shift) % algorithms.length]!;
      const phase = phases[(row + turn) % phases.length]!;
      const cell = { fault, algorithm, phase, place: "loopback", seed: SEED + row * 10 + turn } as const;
      const salvage: Cell = { ...cell, mode: "salvage" };
      return turn !== 1 && makesSense(salvage) ? salvage : { ...cell, mode: "exact" };
    }),
  );
}

async function holds(
  cell: Cell,
  ...rest: [program?: string, network?: Awaited<ReturnType<typeof openNetwork>>]
) {
  const { problems } = await runCell(cell, ...rest);
  assert.equal(problems, [], nameOf(cell));
}

test("the fixed cells are every fault with two algorithms and every algorithm with two faults at least", () => {
  const cells = fixedCells();
  const distinct = (of: readonly string[]) => new Set(of).size;
  for (const fault of faults)
    assert.ok(
      distinct(cells.filter((cell) => cell.fault === fault).map(({ algorithm }) => algorithm.name)) >= 2,
    );
  for (const algorithm of algorithms)
    assert.ok(
      distinct(cells.filter((cell) => cell.algorithm === algorithm).map(({ fault }) => fault.name)) >= 2,
    );
});

for (const fault of faults)
  test(`${fault.name}: survivors end alike, and the next operation succeeds`, async () => {
    for (const cell of fixedCells().filter((each) => each.fault === fault)) await holds(cell);
  });

test("faulty rounds in living processes: descriptors, threads and memory do not grow", async () => {
  const { problems } = await runLeaks({ program: faultProgram, seed: SEED, rounds: LEAK_ROUNDS });
  assert.equal(problems, []);
});

const sanitized = sanitizedProgram ? test : test.skip;
if (!sanitizedProgram) console.log("skipped: build/sanitize holds no fault peer");
sanitized("under sanitizers: some cells and faulty rounds", async () => {
  const cells = fixedCells().filter(({ fault }) => ["killed", "lies", "corrupted"].includes(fault.name));
  for (const cell of cells.slice(0, SANITIZED_CELLS)) await holds(cell, sanitizedProgram!);
  const rounds = { program: sanitizedProgram!, seed: SEED, rounds: 2, sanitized: true };
  assert.equal((await runLeaks(rounds)).problems, []);
});

const reason = networkUnavailable();
const networked = reason ? test.skip : test;
if (reason) console.log(`skipped: the test network ${reason}`);
networked("on a network of 1 Gbit/s and 20 ms: killed, cut one way, slow, corrupted", async () => {
  const network = await openNetwork();
  try {
    for (const cell of everyCell("network", [SEED]))
      if (
        cell.phase === "middle" &&
        cell.mode === "exact" &&
        ["ring", "direct"].includes(cell.algorithm.name)
      )
        await holds(cell, faultProgram, network);
  } finally {
    await network.close();
  }
});

/** A cell in which peer 3 is killed, and what a right run of it looks like. */
function example() {
  const [fault, algorithm] = [faults[0]!, algorithms[0]!];
  const cell: Cell = { fault, algorithm, phase: "middle", mode: "exact", place: "loopback", seed: 1 };
  const plan = { ...planCell(cell, new Draw(1)), victims: [3], survivors: [0, 1, 2], other: 1 };
  const end = { code: "ok", at: 0, seconds: 0, steps: 9, lost: -1, digest: "whole", inputIntact: true };
  const lost = {
    ...end,
    code: "peer_lost",
    lost: 3,
    at: 4e6,
    message: "the other side closed the connection",
  };
  const next = { ...end, at: 9e6, digest: "alone" };
  const observed: Observed = {
    struckAt: 1e6,
    whole: [end, end, end, end],
    alone: [next, next, next],
    survivors: [lost, lost, lost],
    next: [next, next, next],
    problems: [],
  };
  return { cell, plan, observed, end, lost, next };
}

test("the judge: a right run has times and no problems", () => {
  const { cell, plan, observed } = example();
  const verdict = judge(cell, plan, observed);
  assert.equal(verdict, { outcome: "failed", seenMs: 3, nextMs: 5, kept: null, problems: [] });
});

test("the judge sees each promise that is broken", () => {
  const { cell, plan, observed, end, lost, next } = example();
  const broken = (changes: Partial<Observed>, problem: RegExp, of: Cell = cell) => {
    const { problems } = judge(of, plan, { ...observed, ...changes });
    assert.ok(
      problems.some((each) => problem.test(each)),
      `${problem}: ${JSON.stringify(problems)}`,
    );
  };
  const survivors = (odd: Ended) => ({ survivors: [lost, odd, lost] });
  broken({ struckAt: null }, /did not strike/);
  broken(survivors(end), /some survivors succeeded/);
  broken(survivors({ ...lost, code: "timeout" }), /error timeout/);
  broken(survivors({ ...lost, lost: 2 }), /of peer 2/);
  broken(survivors({ ...lost, inputIntact: false }), /input was changed/);
  broken(survivors({ ...lost, at: 9e9 }), /seen after/);
  broken({ survivors: [end, end, { ...end, digest: "odd" }] }, /disturbed: rank 2 has odd/);
  broken({ survivors: [lost, lost, lost].map((each) => ({ ...each, message: "x" })) }, /nobody says why/);
  broken({ victim: { ...end, code: "timeout" } }, /the victim ends with timeout/);
  broken({ next: [next, next, { ...next, digest: "odd" }] }, /next: rank 2 has odd/);
  broken({ next: [next, { ...next, code: "peer_lost" }, next] }, /next: rank 1: peer_lost/);
  broken({ problems: ["peer 0 has 9 descriptors"] }, /descriptors/);
  const slow = faults.find(({ ends }) => ends === "well")!;
  broken({}, /disturbed: rank 0: peer_lost/, { ...cell, fault: slow });
});

test.run();
