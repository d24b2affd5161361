/** What disputes are tried with: two workers, somebody who may accuse, a referee, and a step of forty operators. */
import { capabilityBits } from "../../lib/ledger/events.js";
import { treeOf } from "../../lib/verify/merkle.js";
import { hashOf, World } from "./rules-world.js";

/** The trace of a disputed step. */
export const operators = treeOf(Array.from({ length: 40 }, (_, index) => hashOf(`operator ${index}`)));
export interface Case {
  readonly world: World;
  readonly ada: string;
  readonly bob: string;
  readonly eve: string;
}

/** Ada and Bob work; Eve may accuse; Rex is a referee. */
export function three(over: ConstructorParameters<typeof World>[0] = {}): Case {
  const world = new World(over);
  const [ada, bob, eve] = ["ada", "bob", "eve"].map((name) => world.join(name)) as [string, string, string];
  world.join("rex", 1000n, 0n, capabilityBits.referee);
  return { world, ada, bob, eve };
}
