/** DeMo and DisTrO as data: every step a gather of every peer's wire, and a learning rate with a schedule of its own. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configError, costOf, layoutOf, one, timetable, viewOf } from "./views.js";

const both = ["demo", "distro"];
const N = 8 * 4096;

const rates = (options: object, steps: readonly number[]) =>
  steps.flatMap((step) =>
    one({ name: "demo", ...options })
      .actions(step, viewOf(2))
      .flatMap((action) => (action.kind === "apply" ? [action.learningRate] : [])),
  );

test("a gradient is exchanged in every step; peers compare after as many as they like", () => {
  for (const name of both) {
    assert.equal(timetable(one({ name }), 2), [
      "1: begin 0, apply 0, commit 0",
      "2: begin 1, apply 1, commit 1",
    ]);
    assert.equal(timetable(one({ name, commitSteps: 2 }), 2), [
      "1: begin 0, apply 0",
      "2: begin 1, apply 1, commit 0",
    ]);
  }
});

test("the defaults are those of the papers", () => {
  const slots = (name: string) => {
    const { source, feedback, coding, route, outer } = one({ name }).recipe;
    return [source, feedback, coding.up, route, outer];
  };
  const rest = [{ kind: "gather" }, { kind: "sign", weightDecay: 0 }];
  assert.equal(slots("demo"), ["gradient", { kind: "momentum", decay: 0.999 }, "dct_topk:k=32", ...rest]);
  assert.equal(slots("distro"), [
    "gradient",
    { kind: "momentum", decay: 0.995 },
    "dct_topk:k=4,values=sign",
    ...rest,
  ]);
});

test("a peer's wire goes to every other: of a tile k values, 12 bits an index, and the signs' scale", () => {
  for (const peers of [1, 2, 5]) {
    const price = (name: string) => costOf({ name }, 3, { layout: layoutOf(N), view: viewOf(peers) });
    const tiles = N / 4096;
    assert.equal(price("demo").parts, {
      payload: (peers - 1) * tiles * 32 * 4,
      scales: 0,
      indices: (peers - 1) * tiles * 48,
    });
    assert.equal(price("distro").parts, {
      payload: (peers - 1) * tiles,
      scales: (peers - 1) * tiles * 4,
      indices: (peers - 1) * tiles * 6,
    });
  }
});

test("the learning rate rises, stays and falls", () => {
  assert.equal(rates({ learningRate: 0.5 }, [1, 2, 1000]), [0.5, 0.5, 0.5]);
  const schedule = { learningRate: 1, warmupSteps: 4, decayStart: 6, decaySteps: 4, finalLearningRate: 0.5 };
  assert.equal(
    rates(schedule, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 50]),
    [0.25, 0.5, 0.75, 1, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5],
  );
});

test("impossible options are refused with the reason", () => {
  for (const name of both) {
    const refused = (options: object, message: RegExp) =>
      assert.throws(() => one({ name, ...options }), configError(message));
    refused(
      { codec: "eden:bits=1" },
      /^strategy\.codec: "eden:bits=1": error feedback takes contractive codecs only/,
    );
    refused(
      { warmupSteps: 10, decayStart: 5, decaySteps: 5 },
      /^strategy\.decayStart: 5; allowed: at least warmupSteps/,
    );
    refused({ feedbackDecay: 1.5 }, /^strategy\.feedbackDecay: 1\.5; allowed: a number from 0 to 1/);
    refused({ innerSteps: 5 }, /^strategy\.innerSteps: unknown key/);
  }
});

test("a run too short for its density is warned of", () => {
  const warnings = (rounds: number) => one({ name: "distro" }).warnings!(rounds);
  assert.match(
    warnings(100).join(),
    /sends 0\.0977 % of the elements, in 100 exchanges 0\.0977 times all of them/,
  );
  assert.equal(warnings(10_240), []);
});

test.run();
