/** A unit's leaves, what of its states is kept, and how any of them is shown again. */
import { createHash } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { verifyProof } from "../../lib/verify/merkle.js";
import { copyState, loadState, type StateTensors, tensorsOf } from "../../lib/verify/state.js";
import {
  commitmentOf,
  keptEvery,
  StateSource,
  stateDigest,
  UnitRecorder,
  verdictCommitmentOf,
} from "../../lib/verify/unit.js";
import { failure } from "../failure.js";
import { drawOf, FIRST, makeTrainer, recordUnit, STEPS } from "./case.js";

const test = suite("work unit");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const flat = ({ parameters, inner }: StateTensors) => [parameters, ...inner].map((tensor) => [...tensor]);

test("a state's digest is of the step number, the parameters and the inner state", async () => {
  const trainer = await makeTrainer("mlp");
  await trainer.step({ step: 0 });
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(2n ** 40n);
  const parts = [
    await native.digest([trainer.parameters]),
    await native.digest(trainer.innerState.map(({ data }) => data)),
  ].map((digest) => Buffer.from(digest, "hex"));
  const expected = sha256(Buffer.concat([Buffer.from("gradmesh-state"), number, ...parts]));
  assert.is(await stateDigest(trainer, 2 ** 40), expected);
  for (const { data } of [{ data: trainer.parameters }, ...trainer.innerState]) {
    const kept = data[7]!;
    data[7] = kept + 1;
    assert.is.not(await stateDigest(trainer, 2 ** 40), expected);
    data[7] = kept;
  }
  assert.is.not(await stateDigest(trainer, 2 ** 40 + 1), expected);
  assert.is((await failure(stateDigest(trainer, -1))).code, "ERR_INVALID_ARGUMENT");
  trainer.close();
});

test("leaves are the states before and after each step, then the contribution; each is proved", async () => {
  const [worker, other] = [await makeTrainer("gpt"), await makeTrainer("gpt")];
  const { unit } = await recordUnit(worker);
  const leaves = [await stateDigest(other, FIRST)];
  for (let step = FIRST; step < FIRST + STEPS; step++) {
    await other.step({ step, draw: drawOf(step) });
    leaves.push(await stateDigest(other, step + 1));
  }
  leaves.push(await native.digest([other.parameters]));
  assert.equal(unit.leaves, leaves);
  assert.equal([unit.before, unit.after, unit.contribution], [leaves[0], ...leaves.slice(-2)]);
  for (const [index, leaf] of leaves.entries())
    assert.ok(verifyProof(unit.root, STEPS + 2, index, leaf, unit.tree.proof(index)));
  worker.close();
  other.close();
});

test("every state is shown again from about sqrt(H) kept ones, whose memory serves round after round", async () => {
  const [worker, replica] = [await makeTrainer("gpt"), await makeTrainer("gpt")];
  const recorder = await recordUnit(worker, undefined, new UnitRecorder(worker, STEPS, 0));
  const states: StateTensors[] = [];
  const every = keptEvery(STEPS, 1, 0);
  const memory = Array.from({ length: STEPS + 1 }, (_, k) => recorder.kept(k));
  assert.equal(
    memory.map(({ index }) => index),
    Array.from({ length: STEPS + 1 }, (_, k) => k - (k % every)),
  );
  assert.is(new Set(memory.map(({ state }) => state.parameters)).size, 3, "of 10 steps 0, 4 and 8 are kept");

  // Another round from another state; then what is shown is this one's, and lies in the same memory.
  worker.parameters.set(worker.parameters.map((value) => value / 2));
  worker.parametersChanged();
  const begin = copyState(tensorsOf(worker));
  await recordUnit(worker, undefined, recorder);
  loadState(replica, begin);
  states.push(copyState(tensorsOf(replica)));
  for (let step = FIRST; step < FIRST + STEPS; step++) {
    await replica.step({ step, draw: drawOf(step) });
    states.push(copyState(tensorsOf(replica)));
  }
  for (const [k, { state }] of memory.entries())
    assert.is(recorder.kept(k).state.parameters, state.parameters);
  const source = new StateSource(recorder, replica);
  const shown = await Promise.all(states.map((_, k) => source.state(k)));
  assert.equal(shown.map(flat), states.map(flat));

  const opening = await source.open(STEPS + 1);
  assert.equal(opening.leaves, recorder.unit.leaves.slice(-2));
  for (const k of [0, STEPS + 2, 1.5])
    assert.match((await failure(source.open(k))).message, /there is no transition/);
  worker.close();
  replica.close();
});

test("steps out of order, too many or too few are refused", async () => {
  const trainer = await makeTrainer("mlp");
  const recorder = new UnitRecorder(trainer, 2);
  assert.match((await failure(recorder.stepped(0))).message, /has not begun/);
  await recorder.begin(5);
  assert.match((await failure(recorder.stepped(6))).message, /step 6 was recorded where 5 is next/);
  await recorder.stepped(5);
  assert.match((await failure(recorder.close("0".repeat(64)))).message, /closed after 1 of 2 steps/);
  await recorder.stepped(6);
  assert.match((await failure(recorder.stepped(7))).message, /one more than the unit's 2/);
  assert.throws(() => recorder.unit, /not closed/);
  await recorder.close("0".repeat(64));
  await recorder.begin(7);
  assert.throws(() => recorder.unit, /not closed/);
  assert.throws(() => new UnitRecorder(trainer, 0), /positive integer/);
  trainer.close();
});

test("a recorder whose unit failed records the next one", async () => {
  const trainer = await makeTrainer("mlp");
  const recorder = new UnitRecorder(trainer, 1);
  // The state before this step has no digest: its number is none.
  await recorder.begin(-1);
  await recorder.stepped(-1);
  assert.match((await failure(recorder.close(hash(1)))).message, /step is -1/);
  await recorder.begin(5);
  await recorder.stepped(5);
  assert.is((await recorder.close(hash(1))).before, await stateDigest(trainer, 5));
  trainer.close();
});

const hash = (byte: number) => byte.toString(16).padStart(2, "0").repeat(32);

test("commitments hash every field in its place", () => {
  const work = {
    ledgerId: hash(1),
    round: 258,
    author: hash(2),
    root: hash(3),
    before: hash(4),
    after: hash(5),
    contribution: hash(6),
    salt: "0708",
  };
  const fields = Buffer.from(
    `${hash(1)}02010000${hash(2)}${hash(3)}${hash(4)}${hash(5)}${hash(6)}0708`,
    "hex",
  );
  assert.is(commitmentOf(work), sha256(Buffer.concat([Buffer.from("gradmesh-commit"), fields])));
  const verdict = {
    ...{ ledgerId: hash(1), round: 3, author: hash(2), worker: hash(9) },
    ...{ transition: 11, verdict: 2, digest: hash(10), salt: hash(11) },
  };
  const ofVerdict = Buffer.from(
    `${hash(1)}03000000${hash(2)}${hash(9)}0b00000002${hash(10)}${hash(11)}`,
    "hex",
  );
  assert.is(
    verdictCommitmentOf(verdict),
    sha256(Buffer.concat([Buffer.from("gradmesh-verdict"), ofVerdict])),
  );
  const wrong = [
    { round: -1 },
    { round: 2 ** 32 },
    { author: "ab" },
    { root: "AB".repeat(32) },
    { salt: "" },
  ];
  for (const change of wrong)
    assert.throws(() => commitmentOf({ ...work, ...change }), new RegExp(Object.keys(change)[0]!));
  assert.throws(() => verdictCommitmentOf({ ...verdict, verdict: 256 }), /verdict is 256, not a u8/);
});

test.run();
