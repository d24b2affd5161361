/** FedProx's term: mu (parameters - anchor) more gradient, and no bit of difference with mu 0. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Proximal } from "../../lib/engine/local.js";
import { assertSame, createToy, normals } from "./exchanges.js";

async function adjusted(mu: number) {
  const trainer = await createToy(0);
  const { parameters } = trainer;
  const anchor = await normals(1, 1, parameters.length);
  await trainer.gradient({ step: 0 });
  // A zero that a product with 0 would turn around.
  trainer.gradients.fill(-0, 0, 100);
  const before = trainer.gradients.slice();
  const proximal = new Proximal({ mu, anchor, parameters, trainer, threads: 1 });
  await proximal.adjust();
  proximal.close();
  return { before, after: trainer.gradients, away: parameters.map((value, i) => value - anchor[i]!) };
}

test("gradients are pulled towards the anchor", async () => {
  const { before, after, away } = await adjusted(0.25);
  // A quarter loses nothing, so that the sum is rounded once here too.
  assertSame(
    after,
    before.map((value, i) => 0.25 * away[i]! + value),
  );
  assert.not.equal(after, before);
});

test("with mu 0 nothing changes", async () => {
  const { before, after } = await adjusted(0);
  assertSame(after, before);
});

test.run();
