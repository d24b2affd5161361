/**
 * The digest of each case's first rounds, on every backend of this machine, against test/vectors/strategy.json: the numbers
 * of a run do not change unless somebody means it. After such a change GRADMESH_UPDATE_VECTORS=1 writes the file anew.
 */
import { readFile, writeFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalDigest } from "../../lib/base/canonical-json.js";
import { native } from "../../lib/native/load.js";
import { cases } from "./cases.js";
import { trajectory } from "./swarm.js";

const ROUNDS = 4;
const path = new URL("../../../test/vectors/strategy.json", import.meta.url);

interface Vectors {
  readonly version: 1;
  readonly cases: readonly { readonly name: string; readonly rounds: readonly string[] }[];
}

/** Of each round, the digest of all peers' digests by rank. */
async function roundsOf(strategy: unknown): Promise<string[]> {
  return (await trajectory({ strategy }, ROUNDS)).map((digests) => canonicalDigest(digests));
}

async function update(): Promise<void> {
  const lines: string[] = [];
  for (const { name, strategy } of cases)
    lines.push(`    ${JSON.stringify({ name, rounds: await roundsOf(strategy) })}`);
  await writeFile(path, `{\n  "version": 1,\n  "cases": [\n${lines.join(",\n")}\n  ]\n}\n`);
}

const { backends } = JSON.parse(native.capabilities()) as { backends: readonly string[] };

test.after(() => native.backendForce("auto"));

if (process.env.GRADMESH_UPDATE_VECTORS !== undefined) {
  native.backendForce("scalar");
  await update();
}
const vectors = JSON.parse(await readFile(path, "utf8")) as Vectors;

test("every case has a trajectory, and there are no others", () => {
  assert.equal(
    vectors.cases.map(({ name }) => name),
    cases.map(({ name }) => name),
  );
});

for (const { name, strategy } of cases)
  test(`${name}: the digests of ${ROUNDS} rounds`, async () => {
    const expected = vectors.cases.find((one) => one.name === name)?.rounds;
    for (const backend of backends) {
      native.backendForce(backend);
      assert.equal(await roundsOf(strategy), expected, backend);
    }
  });

test.run();
