/** The submitter's entry checks: one at a time, once for each account, and not without bound. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../../lib/base/errors.js";
import { EntryChecks } from "../../../lib/run/trust/entry-checks.js";

/** Checks that end when they are told to. */
function held() {
  const begun: { account: string; end: PromiseWithResolvers<string> }[] = [];
  const checks = new EntryChecks((account) => {
    const end = Promise.withResolvers<string>();
    begun.push({ account, end });
    return end.promise;
  });
  const names = () => begun.map(({ account }) => account);
  return { begun, checks, names };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("one check runs at a time, and each account is checked once", async () => {
  const { begun, checks, names } = held();
  const answers = ["ada", "bob", "ada", "eve", "ada"].map((account) => checks.of(account));
  await turn();
  assert.equal(names(), ["ada"]);
  begun[0]!.end.resolve("ada's");
  await turn();
  assert.equal(names(), ["ada", "bob"]);
  begun[1]!.end.resolve("bob's");
  await turn();
  begun[2]!.end.resolve("eve's");
  assert.equal(await Promise.all(answers), ["ada's", "bob's", "ada's", "eve's", "ada's"]);
  assert.is(await checks.of("bob"), "bob's");
  assert.is(begun.length, 3);
});

test("a check that fails here is made again, and the next one runs", async () => {
  const { begun, checks, names } = held();
  const [ada, bob] = [checks.of("ada"), checks.of("bob")];
  await turn();
  begun[0]!.end.reject(new Error("no memory"));
  assert.match(String(await ada.catch((error) => error)), /no memory/);
  await turn();
  begun[1]!.end.resolve("bob's");
  assert.is(await bob, "bob's");
  const again = checks.of("ada");
  await turn();
  assert.equal(names(), ["ada", "bob", "ada"]);
  begun[2]!.end.resolve("ada's");
  assert.is(await again, "ada's");
});

test("no more than 64 checks wait", async () => {
  const { begun, checks } = held();
  const answers = Array.from({ length: 64 }, (_, index) => checks.of(`peer ${index}`));
  const error = await checks.of("one more").catch((caught: GradmeshError) => caught);
  assert.is((error as GradmeshError).code, "ERR_LEDGER");
  assert.match((error as GradmeshError).message, /64 entry checks wait already; join again later/);
  for (let index = 0; index < 64; index += 1) {
    await turn();
    begun[index]!.end.resolve("right");
  }
  await Promise.all(answers);
  const late = checks.of("one more");
  await turn();
  begun[64]!.end.resolve("right");
  assert.is(await late, "right");
});

test.run();
