/** A peer's stake is laid down once there are units for it, and again when a fine took of it; with words where it cannot be. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { newAccount } from "../../../lib/ledger/rules/lookup.js";
import type { AccountState } from "../../../lib/ledger/rules/state.js";
import { Stake } from "../../../lib/run/trust/stake.js";
import { failure } from "../../failure.js";
import { fakeLedger, refusal } from "./fake-ledger.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const turn = () => new Promise((resolve) => setImmediate(resolve));

function stakeOf(has: Partial<AccountState>, refuses = false) {
  const own = { ...newAccount(account), registered: true, ...has };
  const warned: string[] = [];
  const fake = fakeLedger(account, { accounts: new Map([[account, own]]) }, (event) => {
    if (refuses) throw refusal(event);
    if (event.kind !== "Bonded") return;
    own.free -= event.amount;
    own.bonded += event.amount;
  });
  const stake = new Stake({ ledger: fake.ledger, least: 1000n, warn: (reason) => void warned.push(reason) });
  return { ...fake, own, stake, warned };
}

const never = new AbortController().signal;
const bonding = (amount: bigint) => ({ kind: "Bonded", amount });

test("the first stake is laid down when its units come, without a word; a fined one again at once", async () => {
  const { own, stake, submitted, warned, changed } = stakeOf({});
  const laid = stake.lay(false, never);
  await turn();
  assert.equal(submitted, []);
  own.free = 1500n;
  changed();
  await laid;
  assert.equal(submitted.splice(0), [bonding(1000n)]);
  own.bonded -= 11n;
  changed();
  await turn();
  assert.equal(submitted.splice(0), [bonding(11n)]);
  changed();
  await turn();
  assert.equal(submitted, [], "it has its stake");
  assert.equal(warned, []);
  own.bonded -= 11n;
  own.ejected = true;
  changed();
  await turn();
  assert.equal(submitted, [], "who is ejected has nothing to bond for");
});

test("where its free units do not suffice it says so once for each change, with the amounts and the cure", async () => {
  const { own, stake, submitted, warned, changed } = stakeOf({ bonded: 1000n, free: 3n, claimable: 450n });
  await stake.lay(true, never);
  own.bonded = 989n;
  for (let record = 0; record < 3; record += 1) changed();
  await turn();
  assert.equal(submitted, []);
  assert.is(warned.length, 1);
  assert.match(warned[0]!, /its stake is 989 units of 1000, and only 3 are free.*until 8 more are free/);
  assert.match(warned[0]!, /RewardClaimed; 450 units are claimable.*or join with a new key.*--folder/);
  own.free = 5n;
  own.claimable = 0n;
  changed();
  await turn();
  assert.is(warned.length, 2);
  assert.not.match(warned[1]!, /RewardClaimed/);
  own.free = 450n;
  changed();
  await turn();
  assert.equal(submitted, [bonding(11n)]);
  assert.is(own.bonded, 1000n);
});

test("one that starts with too little says so, and waits until there is enough", async () => {
  const { own, stake, submitted, warned, changed } = stakeOf({ bonded: 900n, free: 50n });
  const laid = stake.lay(true, never);
  await turn();
  assert.match(warned.join(), /its stake is 900 units of 1000, and only 50 are free.*until 50 more/);
  own.free = 100n;
  changed();
  await laid;
  assert.equal(submitted, [bonding(100n)]);
  const stop = new AbortController();
  const waits = failure(stakeOf({}).stake.lay(false, stop.signal));
  stop.abort(refusal({ kind: "Advanced" }));
  assert.is((await waits).code, "ERR_LEDGER");
});

test("what the rules refuse is told, and not tried again before the account changes", async () => {
  const { own, stake, submitted, warned, changed } = stakeOf({ bonded: 1000n, free: 500n }, true);
  await stake.lay(true, never);
  own.bonded = 989n;
  for (let record = 0; record < 3; record += 1) {
    changed();
    await turn();
  }
  assert.equal(submitted, [bonding(11n)]);
  assert.equal(warned, ["Bonded is refused"]);
  stake.close();
  own.free = 501n;
  changed();
  assert.is(submitted.length, 1);
});

test.run();
