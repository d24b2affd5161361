/** Eager and delayed DiLoCo as data: an exchange flies for a whole round. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { describeStrategies } from "../../lib/strategy/registry.js";
import { costOf, layoutOf, one, timetable } from "./views.js";

const name = "eager-diloco";

test("a round's exchange begins at its start and is applied at its end", () => {
  for (const correction of [true, false])
    assert.equal(timetable(one({ name, innerSteps: 5, correction }), 15), [
      "0: begin 0",
      "5: apply 0, commit 0, begin 1",
      "10: apply 1, commit 1, begin 2",
      "15: apply 2, commit 2, begin 3",
    ]);
});

test("a corrected mean is a peer's own, the naive delay's is everybody's", () => {
  const eager = one({ name }).recipe;
  assert.equal([eager.staleness, eager.commit.equal], [{ kind: "eager" }, false]);
  const delayed = one({ name, correction: false }).recipe;
  assert.equal([delayed.staleness, delayed.commit.equal], [{ kind: "delayed" }, true]);
});

test("it is experimental, which its help says", () => {
  assert.match(describeStrategies().find((doc) => doc.name === name)!.doc, /^experimental: /);
});

test("bytes are DiLoCo's: one exchange of a round, the first one too", () => {
  const layout = layoutOf(131_072);
  const bytes = (2 * 3 * (131_072 + 131_072 / 256)) / 4;
  for (const rounds of [1, 3]) {
    const cost = costOf({ name, innerSteps: 10 }, 10 * rounds, { layout });
    assert.is(cost.bytesPerStep, bytes / 10);
    assert.is(cost.bytesPeak, bytes);
    assert.is(cost.latencyStepsPerStep, 2 / 10);
  }
});

test.run();
