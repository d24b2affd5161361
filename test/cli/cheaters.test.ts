/** The demo with cheaters: who cheats, who counts as found, what is printed, and options that it does not take. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cheatersLines, demoCommand } from "../../lib/cli/commands/demo.js";
import { type CheatersOptions, cheatersConfig, cheatPlans } from "../../lib/cli/demo/cheaters.js";
import {
  type CheaterReport,
  type CheatersReport,
  cheaterReport,
} from "../../lib/cli/demo/cheaters-report.js";
import { capabilityBits } from "../../lib/ledger/events.js";
import { peerIdOfAccount } from "../../lib/ledger/sign.js";
import type { CheatPlan } from "../../lib/run/cheat.js";
import { parseConfig } from "../../lib/run/config.js";
import type { TimedEvent } from "../../lib/run/events.js";
import { treeOf } from "../../lib/verify/merkle.js";
import { hashOf, terms, World } from "../ledger/rules-world.js";
import { runCommand } from "./run-command.js";

const options: CheatersOptions = {
  peers: 6,
  cheaters: 2,
  rounds: 16,
  innerSteps: 20,
  rate: 0.05,
  data: "moby-dick",
  seed: 1,
  device: "cpu",
  folder: "runs/none",
  json: false,
  signal: new AbortController().signal,
};

const skip: CheatPlan = { kind: "skip", round: 2 };

/** What became of `name`, by all that happened in a world whose records count from 100. */
function reportOf(world: World, name: string, events: readonly TimedEvent[] = []): CheaterReport {
  const names = new Map(["mallory", "alice", "bob"].map((one) => [peerIdOfAccount(world.account(one)), one]));
  const happened = world.effects.map((effect, index) => ({ ...effect, record: 100 + index }));
  return cheaterReport({ events, names }, name, skip, happened);
}

function newWorld() {
  const world = new World({ slashRate: 1_000_000 });
  const [mallory, alice, bob] = ["mallory", "alice", "bob"].map((name) => world.join(name)) as [
    string,
    string,
    string,
  ];
  return { world, mallory, alice, bob };
}

test("the last peers cheat, in turns of kind, each from a round of its own in the first third", () => {
  assert.equal(
    [...cheatPlans(options)],
    [
      ["peer-4", { kind: "skip", round: 3 }],
      ["peer-5", { kind: "copy", round: 4 }],
    ],
  );
  const short = [...cheatPlans({ ...options, cheaters: 4, rounds: 4 }).values()];
  assert.equal(
    short.map(({ round }) => round),
    [2, 2, 2, 2],
    "never later than leaves time to be found",
  );
  assert.is(parseConfig(cheatersConfig(options)).trust.rate, 0.05);
});

test("who is fined and then loses a dispute about its work is found, with what the dispute took", () => {
  const { world, mallory, alice, bob } = newWorld();
  world.open([mallory, alice, bob]);
  world.commitAll();
  world.reveal(alice);
  world.reveal(bob);
  world.wait(terms.revealSpan);
  world.judge();
  world.close([alice, bob]);
  world.do(mallory, { kind: "Bonded", amount: 500n });
  world.play([mallory, alice, bob]);
  const id = world.dispute(bob, mallory, 2);
  world.wait(terms.moveSpan);
  const slashed = world.effects.filter(({ type, account }) => type === "slashed" && account === mallory);
  assert.ok(slashed.length > 1 && slashed[0]!.dispute === undefined, "the fine came first");
  const checked = {
    type: "checked",
    at: 0,
    peer: peerIdOfAccount(bob),
    round: 1,
    worker: peerIdOfAccount(mallory),
    transition: 2,
    verdict: "hard",
    reason: "leads elsewhere",
  } as TimedEvent;
  const { found } = reportOf(world, "mallory", [checked]);
  const { record, slashed: amount, ...said } = found!;
  assert.equal(said, {
    round: 2,
    verifier: "bob",
    transition: 2,
    reason: "leads elsewhere",
    dispute: id,
    moves: 2,
    ruling: world.effects.find(({ type }) => type === "settled")!.reason,
  });
  assert.ok(amount >= 1000, `the stake: ${amount}`);
  assert.equal(world.effects[record - 100]!.dispute, id);
  assert.is(world.effects[record - 100]!.type, "slashed");
});

test("who was only fined, or only lost the bond of a wrong accusation, was not found", () => {
  const { world, mallory, alice, bob } = newWorld();
  world.join("rex", 1000n, 0n, capabilityBits.referee);
  world.play([mallory, alice, bob]);
  const id = world.dispute(mallory, alice, 2);
  const operators = treeOf(["first", "second"].map(hashOf));
  world.playDispute(id, operators, 1, 0);
  const lost = world.effects.find(({ type, account }) => type === "slashed" && account === mallory);
  assert.is(lost?.dispute, id, "the bond is slashed in a dispute");
  assert.is(reportOf(world, "mallory").found, null);
  world.close([mallory, alice, bob]);
  world.open([mallory, alice, bob]);
  world.commitAll();
  world.wait(terms.revealSpan);
  const fines = world.effects.filter(({ type, account }) => type === "slashed" && account === alice);
  assert.is(fines.length, 1);
  assert.is(reportOf(world, "alice").found, null);
});

test("the report of a cheater that was found, and of one that was not", () => {
  const found: CheaterReport = {
    name: "peer-4",
    cheat: { kind: "skip", round: 3 },
    found: {
      round: 4,
      verifier: "peer-0",
      transition: 6,
      reason: "",
      dispute: 0,
      moves: 9,
      ruling: "the challenger wins: the referee ran operator 184",
      record: 171,
      slashed: 1000,
    },
  };
  const report: CheatersReport = {
    rounds: 16,
    parameters: 500,
    validationLoss: { start: 4, end: 2 },
    stateDigests: { "peer-0": "aa", "peer-1": "aa" },
    innerSteps: 20,
    peers: 4,
    cheaters: [found, { name: "peer-5", cheat: { kind: "copy", round: 5 }, found: null }],
    honest: [{ name: "peer-0", accepted: 16, earned: 2170 }],
    replay: { equalRounds: 4, rounds: 16, validationLoss: 2, honestLoss: 1.9, seconds: 3 },
    ledger: { path: "l.sqlite", records: 300, bytesPerRound: 9000 },
    verification: {
      rate: 0.05,
      commit: 0.01,
      serve: 0.02,
      replay: 0.05,
      total: 0.08,
      waitSecondsPerRound: 0.5,
    },
    seconds: 90,
  };
  const text = cheatersLines(report, "r.json").join("\n");
  assert.match(
    text,
    "peer-4 (leaves out every second step from round 3 on): found in round 4 by peer-0, by step 6; dispute 0, 9 moves: the challenger wins: the referee ran operator 184; slashed 1000 units and ejected (ledger record 171)",
  );
  assert.match(text, /peer-5 \(does another's work again from round 5 on\): was not found before/);
  assert.match(text, "peer-0 2170 units for 16 rounds");
  assert.match(text, "the first 4 of 16 rounds are that to the bit");
  assert.match(text, "2 of 2 honest peers equal: aa");
  assert.match(text, "at a rate of 5.0 %: 8.0 % of the time of training");
  const equal = { ...report, replay: { ...report.replay, equalRounds: 16 } };
  assert.match(cheatersLines(equal, "r.json").join("\n"), "all 16 rounds are that to the bit");
});

test("an option that the demo asked for would not heed is refused, with the cure", async () => {
  const refusal = async (...args: string[]) => (await runCommand(demoCommand(), ...args)).error;
  assert.match(
    await refusal("--rate", "0.5"),
    "--rate: 0.5; nothing is checked without cheaters: add --cheaters, or leave --rate out",
  );
  assert.match(await refusal("--cheaters", "1", "--no-kill"), /--no-kill: .*leave --no-kill out/);
  assert.match(
    await refusal("--cheaters", "3", "--peers", "4"),
    /--cheaters: 3; allowed with 4 peers: at most 2/,
  );
  for (const rate of ["0", "0.0000001", "1.5"])
    assert.match(await refusal("--cheaters", "1", "--rate", rate), /a share from 0\.000001 to 1 is allowed/);
  assert.match(
    await refusal("--cheaters", "1", "--rounds", "4", "--inner-steps", "1", "--device", "cuda:99"),
    /device "cuda:99" cannot be used/,
  );
});

test.run();
