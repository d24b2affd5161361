/** A few strategies as real processes; `node dist/test/e2e/strategies-main.js` takes all of them. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { resumeEquals, surviveKill } from "./strategies.js";
import { missing, sections } from "./strategies-table.js";

test("every registered strategy has a row in the table", () => assert.equal(missing(), []));

for (const name of ["ddp", "streaming-diloco", "noloco", "sparta beside diloco", "demo"])
  test(`${name}: resumed from round 2, the later rounds have the same digests`, () =>
    resumeEquals(sections[name]!));

for (const name of ["ddp", "streaming-diloco", "noloco"])
  test(`${name}: a peer is killed in the middle of a round, the others go on, and it comes back`, () =>
    surviveKill(sections[name]!));

test.run();
