/** Trainers that replay are used by one at a time, and a shard whose trainer could not be made is not lost for good. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import { TrainerPool } from "../../../lib/run/trust/trainer-pool.js";
import type { Trainer } from "../../../lib/trainer/trainer.js";
import { failure } from "../../failure.js";

function poolOf(failures: number) {
  const made: number[] = [];
  let closed = 0;
  const pool = new TrainerPool(async (shard) => {
    made.push(shard);
    if (made.length <= failures) throw new GradmeshError("ERR_TRAINER", "its data cannot be read");
    const close = () => {
      closed += 1;
    };
    return { close } as unknown as Trainer;
  });
  return { pool, made, closed: () => closed };
}

test("a trainer that could not be made is made again by the next who needs it", async () => {
  const { pool, made, closed } = poolOf(1);
  const both = [pool.use(2, false, async () => 1), pool.use(2, false, async () => 2)].map(failure);
  for (const { code } of await Promise.all(both)) assert.is(code, "ERR_TRAINER");
  assert.is(await pool.use(2, false, async () => 3), 3);
  assert.is(await pool.use(2, false, async () => 4), 4);
  assert.equal(made, [2, 2]);
  await pool.close();
  assert.is(closed(), 1);
});

test("work on one shard waits for the work before it, also where that fails", async () => {
  const { pool } = poolOf(0);
  const order: string[] = [];
  const first = pool.use(0, false, async () => {
    await new Promise((resolve) => setImmediate(resolve));
    order.push("first");
    throw new GradmeshError("ERR_ABORTED", "it fails");
  });
  const second = pool.use(0, false, async () => order.push("second"));
  assert.is((await failure(first)).code, "ERR_ABORTED");
  await second;
  assert.equal(order, ["first", "second"]);
  await pool.close();
});

test.run();
