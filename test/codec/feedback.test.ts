/** Error feedback, momentum residue and PowerSGD's steps through the addon; their bits are tested natively. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openCodec } from "../../lib/native/codec.js";
import { native } from "../../lib/native/load.js";
import { failure } from "../failure.js";

const ELEMENTS = 5000;

async function normals(stream: number, elements = ELEMENTS): Promise<Float32Array> {
  const target = new Float32Array(elements);
  await native.randomNormal(1, stream, 0, 1, target);
  return target;
}

test("with feedback nothing is lost: what was sent and the residual sum to all that came", async () => {
  const { id } = openCodec("topk:k=16,values=sign");
  const residual = new Float32Array(ELEMENTS);
  const wire = new Uint8Array(native.codecBytes(id, ELEMENTS));
  const sent = new Float32Array(ELEMENTS);
  const came = new Float64Array(ELEMENTS);
  const went = new Float64Array(ELEMENTS);
  for (let step = 0; step < 20; step++) {
    const gradient = await normals(step);
    await native.codecFeedback(id, 1, step, 0, 0, 1, 1, gradient, residual, wire, sent);
    const decoded = new Float32Array(ELEMENTS);
    await native.codecDecode(id, 1, step, 0, 0, wire, decoded);
    assert.equal(decoded, sent);
    for (let i = 0; i < ELEMENTS; i++) {
      came[i]! += gradient[i]!;
      went[i]! += sent[i]!;
    }
  }
  for (let i = 0; i < ELEMENTS; i++) assert.ok(Math.abs(went[i]! + residual[i]! - came[i]!) < 1e-4);
});

test("feedback refuses a codec that is not contractive, and says what to do", async () => {
  const { id } = openCodec("int4_block:rounding=stochastic");
  const floats = () => new Float32Array(ELEMENTS);
  const wire = new Uint8Array(native.codecBytes(id, ELEMENTS));
  const error = await failure(native.codecFeedback(id, 1, 0, 0, 0, 1, 1, floats(), floats(), wire, floats()));
  assert.is(error.code, "ERR_INVALID_ARGUMENT");
  assert.match(error.message, /int4_block:rounding=stochastic/);
  assert.match(error.message, /contractive/);
  const shared = floats();
  const fp32 = openCodec("fp32").id;
  const overlap = await failure(
    native.codecFeedback(fp32, 1, 0, 0, 0, 1, 1, shared, shared, new Uint8Array(4 * ELEMENTS), floats()),
  );
  assert.match(overlap.message, /overlaps/);
});

test("PowerSGD's steps find a matrix of that rank again, and refuse what does not fit", async () => {
  const [rows, columns, rank] = [40, 30, 3];
  const [left, right] = [await normals(1, rank * rows), await normals(2, rank * columns)];
  const matrix = new Float32Array(rows * columns);
  await native.lowrankExpand(left, right, rows, columns, rank, matrix);
  const p = new Float32Array(rank * rows);
  const q = await normals(3, rank * columns);
  await native.lowrankLeft(matrix, rows, columns, q, rank, p);
  await native.lowrankOrthogonalize(p, rows, rank);
  await native.lowrankRight(matrix, rows, columns, p, rank, q);
  const found = new Float32Array(matrix.length);
  await native.lowrankExpand(p, q, rows, columns, rank, found);
  for (const [i, value] of found.entries()) assert.ok(Math.abs(value - matrix[i]!) < 1e-4);
  const short = await failure(native.lowrankLeft(matrix, rows, columns, q, rank + 1, p));
  assert.match(short.message, /p has 120 elements; rank \* rows is 160/);
  const zero = await failure(native.lowrankOrthogonalize(p, 0, rank));
  assert.match(zero.message, /length is 0; allowed: 1 to/);
});

test.run();
