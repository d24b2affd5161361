/** What a replay takes from a ledger for a worker's own word, and what for another's. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { revealedOf } from "../../lib/gym/audit-ledger.js";
import { hashOf, terms, World } from "../ledger/rules-world.js";

const { unitSteps: steps } = terms;

test("what verifiers tell is never the worker's word: not of its own leaves, and only where they accepted", () => {
  const world = new World();
  const [ada, bob] = [world.join("ada"), world.watch("bob")];
  // Every transition is checked; of one the verifier says that it could not see it.
  world.play([ada], (_, transition) => (transition === 1 ? 1 : 0));
  const { round } = world;
  assert.equal(
    round.checks.map(({ verifier, transition }) => [verifier, transition]),
    [1, 2, 3, 4].map((transition) => [bob, transition]),
  );
  const { leaves, tree } = world.made.get(`0 ${ada}`)!;
  const { root, said, told } = revealedOf(world.unit(ada), round, steps)!;
  assert.is(root, tree.root);
  assert.equal(
    [...said],
    [0, steps, steps + 1].map((leaf) => [leaf, leaves[leaf]]),
  );
  // The digests that the verifier told of leaves 3 and 4 are others than the worker's.
  assert.equal([...told], [[2, hashOf("seen")]]);
});

test("of a unit that was never revealed nothing is known", () => {
  const world = new World();
  const ada = world.join("ada");
  world.open([ada]);
  assert.is(revealedOf(world.unit(ada), world.round, steps), null);
});

test.run();
