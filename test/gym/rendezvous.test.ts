/** Members meet in any order, hear of failures, and a lost one ends only what waits for it. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Rendezvous } from "../../lib/gym/rendezvous.js";

const seed = 7;

/** Sums the calls, a fraction of a second apart from the meeting's number. */
const summing = (members: number) =>
  new Rendezvous<number, number>({
    members,
    hold: async (number, calls) =>
      calls.map(() => number * 1000 + calls.reduce((sum, call) => sum + call, 0)),
    broken: async (number) => new Error(`broken at ${number}`),
  });

test("every member gets the result of every meeting, whoever comes first", async () => {
  const order = fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.array(order, { minLength: 1, maxLength: 5 }), async (orders) => {
      const meetings = summing(5);
      const results = await Promise.all(
        orders.flatMap((members, number) =>
          members.map((member) => meetings.meet(member, number, 2 ** member)),
        ),
      );
      assert.equal(
        results,
        orders.flatMap((members, number) => members.map(() => number * 1000 + 31)),
      );
    }),
    { seed, numRuns: 50 },
  );
});

test("an error of a meeting is every member's", async () => {
  const meetings = new Rendezvous<number, number>({
    members: 2,
    hold: async () => {
      throw new Error("no");
    },
    broken: async () => new Error("broken"),
  });
  const outcomes = await Promise.allSettled([meetings.meet(0, 0, 1), meetings.meet(1, 0, 1)]);
  assert.equal(
    outcomes.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  const later = await Promise.allSettled([meetings.meet(0, 1, 1)]);
  assert.is(later[0]!.status, "rejected");
});

test("a lost member breaks the meeting to which all others have come, and no earlier one", async () => {
  const meetings = summing(3);
  const first = [0, 1, 2].map((member) => meetings.meet(member, 0, 1));
  meetings.leave(1);
  assert.equal(await Promise.all(first), [3, 3, 3]);
  let settled = false;
  const waiting = meetings.meet(0, 1, 1).finally(() => {
    settled = true;
  });
  waiting.catch(() => {});
  await new Promise(setImmediate);
  assert.not(settled, "not all others have come");
  const last = meetings.meet(2, 1, 1);
  const outcomes = await Promise.allSettled([waiting, last]);
  for (const outcome of outcomes) {
    assert.is(outcome.status, "rejected");
    assert.match(String((outcome as PromiseRejectedResult).reason), "broken at 1");
  }
});

test("a meeting that takes place while somebody leaves takes place once", async () => {
  let held = 0;
  const gate = Promise.withResolvers<void>();
  const meetings = new Rendezvous<number, number>({
    members: 2,
    async hold(_, calls) {
      held += 1;
      await gate.promise;
      return calls;
    },
    broken: async () => new Error("broken"),
  });
  const outcomes = [meetings.meet(0, 0, 5), meetings.meet(1, 0, 6)];
  meetings.leave(1);
  gate.resolve();
  assert.equal(await Promise.all(outcomes), [5, 6]);
  assert.is(held, 1);
});

test("a member that leaves from a meeting on comes to earlier ones, and breaks that one", async () => {
  const meetings = summing(2);
  meetings.leave(1, 8);
  const later = meetings.meet(0, 16, 1);
  later.catch(() => {});
  assert.equal(await Promise.all([meetings.meet(0, 0, 1), meetings.meet(1, 0, 1)]), [2, 2]);
  const outcomes = await Promise.allSettled([meetings.meet(0, 8, 1), later]);
  for (const outcome of outcomes)
    assert.match(String((outcome as PromiseRejectedResult).reason), "broken at 8");
});

test.run();
