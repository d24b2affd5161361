/** A referee decides against a worker that shows nothing, and never because the referee itself, or a dial, had failed. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import { newUnit } from "../../../lib/ledger/rules/lookup.js";
import type { Dispute, RoundState } from "../../../lib/ledger/rules/state.js";
import { peerIdOfAccount } from "../../../lib/ledger/sign.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { Rulings } from "../../../lib/run/trust/rulings.js";
import { leafHash } from "../../../lib/verify/merkle.js";
import { copyState, tensorsOf } from "../../../lib/verify/state.js";
import { failure } from "../../failure.js";
import { contributionOf, FIRST, makeTrainer, recordUnit, STEPS } from "../../verify/case.js";
import { fakeLedger } from "./fake-ledger.js";
import { clientOfTries, serverOf } from "./proof-world.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const round = FIRST / STEPS;

type Meet = (channel: Channel) => unknown;

/** The referee of a dispute about the contribution of an honest worker, who shows the first and the last state of its unit. */
async function court() {
  const trainer = await makeTrainer("mlp");
  const first = copyState(tensorsOf(trainer));
  const { unit } = await recordUnit(trainer);
  const last = copyState(tensorsOf(trainer));
  const arrays = [first, last].flatMap(({ parameters, inner }) => [parameters, ...inner]);
  const behind = { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] };
  const revealed = { before: unit.before };
  const opened = {
    round,
    beacon: "11".repeat(32),
    units: new Map([[account, { ...newUnit(account, behind), revealed }]]),
  };
  const rounds = new Map([[round, opened as unknown as RoundState]]);
  const { ledger } = fakeLedger(account, { rounds });
  const transition = STEPS + 1;
  const leaf = leafHash(transition, unit.contribution);
  const about = { id: 3, round, worker: account, transition, turn: "referee", leaves: 1, operator: 0 };
  const dispute = {
    ...about,
    before: unit.leaves[STEPS],
    leaf,
    trace: leaf,
    operatorLeaf: leaf,
  } as unknown as Dispute;
  const server = serverOf({ source: { opening: () => Promise.reject(), evidence: async () => arrays } });
  const stop = new AbortController();
  /** What the referee says where its tries to ask meet these, and all later ones the last. */
  const ruleAfter = async (tries: readonly (GradmeshError | Meet)[], limitMs = 20_000) => {
    const { client: proofs } = clientOfTries(tries, { like: first, limitMs });
    const rulings = new Rulings(
      {
        ledger,
        proofs,
        unitSteps: STEPS,
        use: (_, work) => work(trainer),
        contributionOf: (_round, _worker, _before, parameters) => contributionOf({ parameters }),
        resultOf: () => null,
      },
      stop.signal,
    );
    const ruled = await rulings.of(dispute);
    return ruled?.kind === "Settled" ? (["worker", "challenger"] as const)[ruled.winner] : null;
  };
  return {
    ruleAfter,
    shows: (channel: Channel) => server.serve(channel),
    stop,
    close: () => trainer.close(),
  };
}

const unreachable = new GradmeshError("ERR_UNREACHABLE", `cannot reach ${peerIdOfAccount(account)}`);
const hangsUp: Meet = (channel) => channel.close();

test("an honest worker whose first dial fails, or whose channel is lost, keeps its stake", async () => {
  const { ruleAfter, shows, close } = await court();
  assert.is(await ruleAfter([shows]), "worker");
  assert.is(await ruleAfter([unreachable, shows]), "worker");
  assert.is(await ruleAfter([hangsUp, unreachable, shows]), "worker");
  close();
});

test("a worker that shows nothing, refuses, or shows something else loses", async () => {
  const { ruleAfter, close } = await court();
  const says = (answer: unknown) => async (channel: Channel) => {
    await channel.send(answer).catch(() => {});
    await channel.close();
  };
  const refused = { type: "refused", code: "ERR_INTERNAL", reason: "no", retryMs: null };
  for (const silent of [unreachable, hangsUp, () => {}])
    assert.is(await ruleAfter([silent], 150), "challenger");
  for (const answer of [refused, { type: "evidence", sizes: [4] }, { type: "lies" }])
    assert.is(await ruleAfter([says(answer)]), "challenger");
  close();
});

test("a referee that cannot ask settles nothing", async () => {
  const { ruleAfter, stop, close } = await court();
  for (const code of ["ERR_CLOSED", "ERR_INTERNAL"] as const) {
    const own = new GradmeshError(code, "the referee's own trouble");
    assert.is((await failure(ruleAfter([own]))).message, own.message);
  }
  const pending = failure(ruleAfter([unreachable]));
  stop.abort(new GradmeshError("ERR_CLOSED", "the peer is closing"));
  assert.is((await pending).message, "the peer is closing");
  close();
});

test.run();
