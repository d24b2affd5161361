/** When a leader whose opening of a round was refused tries again. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../../lib/base/clock.js";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { LiveView } from "../../../lib/group/member.js";
import type { LedgerState } from "../../../lib/ledger/rules/state.js";
import { peerIdOfAccount } from "../../../lib/ledger/sign.js";
import { openingOf } from "../../../lib/run/trust/opening.js";
import { failure } from "../../failure.js";
import { fakeLedger } from "./fake-ledger.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

const turns = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

test("it tries again as soon as anything has changed that the rules go by, and at once", async () => {
  for (const change of [{ eligible: [account, other] }, { leader: other }, { nextRound: 1 }]) {
    const before = { nextRound: 0, leader: account, eligible: [account] };
    const { ledger, state, changed } = fakeLedger(account, before);
    const stop = new AbortController();
    const members = [{ peerId: peerIdOfAccount(account), shard: 0 }];
    const view = { epoch: 1, round: 0, members, signal: stop.signal } as unknown as LiveView;
    const said: string[] = [];
    const say = async ({ kind }: { kind: string }) => {
      said.push(kind);
      return false;
    };
    // Its time never passes.
    const opened = failure(openingOf({ ledger, clock: createManualClock(), say }, view));
    await turns();
    const become = async (values: Partial<LedgerState>) => {
      Object.assign(state, values);
      changed();
      await turns();
    };
    await become({ time: 1 });
    assert.equal(said, ["RoundOpened"]);
    await become(change);
    // Where another leads, or the round is open, it waits; here until that is over.
    await become(before);
    const tries = "eligible" in change ? 3 : 2;
    assert.equal(said, Array(tries).fill("RoundOpened"), JSON.stringify(change));
    stop.abort(new GradmeshError("ERR_ABORTED", "the view is void"));
    assert.is((await opened).message, "the view is void");
  }
});

test.run();
