/** The clocks, and work that must end within a limit. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock, systemClock, withLimit } from "../../lib/base/clock.js";
import { GradmeshError } from "../../lib/base/errors.js";

const forever = new Promise<never>(() => {});

async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("the call did not fail");
}

test("a manual clock wakes sleeps in the order of their times", async () => {
  const clock = createManualClock(100);
  const woken: string[] = [];
  const sleeps = [
    clock.sleep(30).then(() => woken.push("30")),
    clock.sleep(10).then(() => woken.push("10")),
    clock.sleep(50).then(() => woken.push("50")),
  ];
  await clock.sleep(0);
  clock.advance(9);
  assert.is(clock.sleeping, 3);
  clock.advance(21);
  await Promise.all(sleeps.slice(0, 2));
  assert.equal(woken, ["10", "30"]);
  assert.is(clock.now(), 130);
  clock.advance(20);
  await Promise.all(sleeps);
  assert.is(clock.sleeping, 0);
});

test("a sleep ends with its signal, on both clocks", async () => {
  for (const clock of [createManualClock(), systemClock]) {
    const reason = new Error("enough");
    const controller = new AbortController();
    const sleeping = failure(clock.sleep(1e6, controller.signal));
    controller.abort(reason);
    assert.is(await sleeping, reason);
    assert.is(await failure(clock.sleep(1e6, controller.signal)), reason);
  }
});

test("the machine's clock never goes back and sleeps at least as long as asked", async () => {
  const start = systemClock.now();
  await systemClock.sleep(20);
  assert.ok(systemClock.now() - start >= 19);
  assert.ok(Math.abs(systemClock.wall() - Date.now()) < 1000);
});

test("work past its limit is ERR_TIMEOUT, also where it ignores its signal", async () => {
  const clock = createManualClock();
  let seen: AbortSignal | undefined;
  const limited = failure(
    withLimit(clock, 500, "the work", undefined, (signal) => {
      seen = signal;
      return forever;
    }),
  );
  clock.advance(499);
  assert.not(seen!.aborted);
  clock.advance(1);
  const error = (await limited) as GradmeshError;
  assert.is(error.code, "ERR_TIMEOUT");
  assert.match(error.message, /the work took longer than 500 ms/);
  assert.ok(seen!.aborted);
});

test("work that ends leaves no sleep behind, and the caller's signal wins", async () => {
  const clock = createManualClock();
  assert.is(await withLimit(clock, 500, "the work", undefined, async () => 7), 7);
  await failure(withLimit(clock, 500, "the work", undefined, () => Promise.reject(new Error("no"))));
  const controller = new AbortController();
  const stopped = failure(withLimit(clock, 500, "the work", controller.signal, () => forever));
  const reason = new GradmeshError("ERR_ABORTED", "enough");
  controller.abort(reason);
  assert.is(await stopped, reason);
  assert.is(clock.sleeping, 0);
});

test.run();
