/** A program that prints the roots of a unit and of a step's trace, as its backend and device compute them. */
import { Replayer } from "../../lib/verify/replay.js";
import { copyState, tensorsOf } from "../../lib/verify/state.js";
import { traceOf } from "../../lib/verify/trace.js";
import { drawOf, FIRST, type ModelName, makeTrainer, recordUnit } from "./case.js";

const [, , device = "cpu", ...models] = process.argv;
const roots: string[] = [];
for (const model of models as ModelName[]) {
  const trainer = await makeTrainer(model, {}, device);
  const state = copyState(tensorsOf(trainer));
  const { unit } = await recordUnit(trainer);
  await new Replayer(trainer).load(state, FIRST);
  const { tree } = await traceOf(trainer, { step: FIRST, draw: drawOf(FIRST) });
  roots.push(unit.root, unit.after, tree.root);
  trainer.close();
}
console.log(JSON.stringify(roots));
