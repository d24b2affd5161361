/** Peers that come, go, die and lag: the rounds go on with the others, and everything is the same the next time. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runArm } from "../../lib/gym/arm.js";
import type { ArmPlan } from "../../lib/gym/arms.js";
import { fateOf, peerSchema, profilesOf } from "../../lib/gym/profile.js";
import type { ArmResult } from "../../lib/gym/results.js";
import { tinyArm } from "./arms.js";

const run = async (plan: ArmPlan): Promise<ArmResult> => (await runArm(plan)).result;
const digests = ({ rows }: ArmResult) => rows.map(({ digest }) => digest);
const changes = ({ events }: ArmResult) =>
  events.map(({ round, peer, change }) => `${round} ${peer} ${change}`);

/** The first seed of a run in which this peer's fate in this round is as wanted: fates are drawn by it. */
function seedWhere(
  death: number,
  shard: number,
  round: number,
  wanted: (at: number | null) => boolean,
): number {
  const [profile] = profilesOf(peerSchema.parse({ faults: { death } }));
  for (let seed = 1; ; seed += 1) if (wanted(fateOf(profile!, seed, shard, round).death)) return seed;
}

test("an arm is the same each time, clock and bytes included, whatever the strategy", async () => {
  const strategies = [
    { name: "diloco", innerSteps: 5 },
    { name: "ddp" },
    [{ name: "sparta" }, { name: "diloco", innerSteps: 5 }],
  ];
  for (const strategy of strategies) {
    const peers = [
      { count: 2, link: "home-10mbit", faults: { death: 0.2, returnRounds: 1, slow: 0.3 } },
      { count: 1, speed: 0.5 },
    ];
    const arm = { peers, steps: 15, config: { strategy } };
    const first = await run(tinyArm(arm));
    for (let again = 0; again < 3; again += 1) assert.equal(await run(tinyArm(arm)), first);
  }
});

test("a peer that dies in the first round leaves what there would be without it", async () => {
  const peers = [{ count: 2 }, { faults: { death: 1 } }];
  const died = await run(tinyArm({ peers, config: { peersMax: 3 } }));
  assert.equal(changes(died), ["0 peer-2 died"]);
  const without = await run(tinyArm({ peers: 2, config: { peersMax: 3 } }));
  assert.equal(digests(died), digests(without));
  const [row] = died.rows;
  assert.ok(
    row!.bytes.retried > 0 && row!.seconds > without.rows[0]!.seconds + 4.9,
    "found out after 5 s of silence",
  );
});

test("a death between a round's exchanges begins the round again from its start", async () => {
  const strategy = { name: "streaming-diloco", innerSteps: 8, fragments: 4, overlapSteps: 1 };
  const seed = seedWhere(1, 2, 0, (at) => at !== null && at > 0.5);
  const config = { peersMax: 3, strategy, seed };
  const died = await run(tinyArm({ peers: [{ count: 2 }, { faults: { death: 1 } }], steps: 24, config }));
  const without = await run(tinyArm({ peers: 2, steps: 24, config }));
  assert.equal(digests(died), digests(without));
  const half = without.rows[0]!.bytes.payload / 2;
  assert.ok(died.rows[0]!.bytes.retried > half, "exchanges before its death were in vain");
});

test("one that died comes back with nothing, gets the state, and all hold the same", async () => {
  const seed = seedWhere(0.2, 1, 2, (at) => at !== null);
  const peers = [{ count: 3, faults: { death: 0.2, returnRounds: 2 } }];
  const result = await run(tinyArm({ peers, steps: 50, config: { seed } }));
  assert.ok(changes(result).includes("2 peer-1 died") && changes(result).includes("4 peer-1 joined"));
  assert.ok(result.rows[4]!.bytes.state >= 2 * 4 * result.parameters, "anchor and momentum");
  assert.is(result.rows.length, 10);
});

test("peers join and leave at their rounds", async () => {
  const result = await run(tinyArm({ peers: [{ count: 2 }, { joinRound: 2 }, { leaveRound: 3 }] }));
  assert.equal(
    result.rows.map(({ members }) => members),
    [3, 3, 4, 3, 3, 3],
  );
  assert.equal(changes(result), ["2 peer-2 joined", "3 peer-3 left"]);
  assert.ok(result.rows[2]!.bytes.state > 0);
});

test("the lowest rank may leave, and the state goes on with the others", async () => {
  const result = await run(tinyArm({ peers: [{ leaveRound: 1 }, { joinRound: 1 }, { joinRound: 3 }] }));
  assert.equal(
    result.rows.map(({ members }) => members),
    [1, 1, 1, 2, 2, 2],
  );
});

test("when nobody is left, the arm says so", async () => {
  try {
    await run(tinyArm({ peers: [{ leaveRound: 2 }] }));
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, "ERR_RUN_ENDED");
    assert.match(String(error), "round 3");
  }
});

test("a slow peer is left out, comes back with its work, and is then waited for", async () => {
  const peers = [{ count: 3 }, { speed: 0.25 }];
  const result = await run(tinyArm({ peers, steps: 40, config: { network: { slowLimitMs: 300 } } }));
  assert.equal(changes(result).slice(0, 2), ["0 peer-3 slow", "4 peer-3 back"]);
  assert.equal(
    result.rows.slice(0, 5).map(({ members }) => members),
    [3, 3, 3, 3, 4],
  );
  assert.ok(result.events[1]!.norm! > 0, "its work is not lost");
  const waited = result.rows[4]!.seconds - result.rows[3]!.seconds;
  assert.ok(waited > 1.9 && waited < 2.5, `the round with it takes its 2 s: ${waited}`);
  const never = await run(tinyArm({ peers, steps: 40 }));
  assert.ok(
    never.rows.at(-1)!.seconds > 2 * result.rows.at(-1)!.seconds - 4,
    "who waits each round takes longer",
  );
});

test("64 peers on 10 Mbit/s finish, and sync costs what their links make it cost", async () => {
  const plan = tinyArm({ peers: [{ count: 64, link: "10mbit" }], steps: 10 });
  const result = await run(plan);
  assert.is(result.rows.length, 2);
  const [first] = result.rows;
  assert.is(first!.members, 64);
  // Both directions of a peer's line carry its bytes, and two one-way delays and the commit's two are waited for.
  const wire = (8 * first!.bytes.most) / 10e6;
  const waited = first!.seconds - 0.5;
  assert.ok(waited > wire && waited < wire + 0.5, `${waited} s for ${wire} s of bytes`);
});

test.run();
