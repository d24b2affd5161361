/** Events and records as bytes: one encoding each, nothing else decodes, and whatever does not is refused by its field. */
import { randomInt } from "node:crypto";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { eventKinds, type FieldType, type LedgerEvent, type LedgerRecord } from "../../lib/ledger/events.js";
import {
  decodeEvent,
  decodeRecord,
  encodeEvent,
  encodeRecord,
  recordField,
} from "../../lib/ledger/record.js";

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value).toString("hex"));

const values: Record<FieldType, fc.Arbitrary<unknown>> = {
  u8: fc.integer({ min: 0, max: 255 }),
  u16: fc.integer({ min: 0, max: 65_535 }),
  u32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  hash: hex(32),
  account: hex(32),
  vrf: hex(80),
  salt: hex(32),
  text: fc
    .string({ unit: "grapheme", maxLength: 200 })
    .filter((text) => text.isWellFormed() && Buffer.byteLength(text) <= 256),
  hashes: fc.array(hex(32), { maxLength: 20 }),
  bytes: fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value).toString("hex")),
};

const plain = { noNullPrototype: true } as const;

const event: fc.Arbitrary<LedgerEvent> = fc.oneof(
  ...Object.entries(eventKinds).map(([kind, { fields }]) =>
    fc
      .record(Object.fromEntries(Object.entries(fields).map(([name, type]) => [name, values[type]])), plain)
      .map((body) => ({ kind, ...body }) as unknown as LedgerEvent),
  ),
);

const record: fc.Arbitrary<LedgerRecord> = fc.record(
  {
    seq: fc.maxSafeNat(),
    previous: hex(32),
    time: fc.maxSafeNat(),
    author: hex(32),
    nonce: values.u64 as fc.Arbitrary<bigint>,
    event,
    signature: hex(64),
  },
  plain,
);

const seed = Number(process.env.GRADMESH_SEED ?? randomInt(2 ** 31 - 1));
const runs = Number(process.env.GRADMESH_LEDGER_RUNS ?? 3000);
process.stdout.write(`seed ${seed}\n`);
const check = <Values>(property: fc.IProperty<Values>) => fc.assert(property, { seed, numRuns: runs });

/** The error of ours that the call must throw where it throws. */
function attempt<Result>(call: () => Result): Result | GradmeshError {
  try {
    return call();
  } catch (error) {
    if (error instanceof GradmeshError && error.code === "ERR_LEDGER") return error;
    throw error;
  }
}

test("what is encoded is what is decoded, for every kind", () => {
  check(
    fc.property(record, (value) => {
      assert.equal(decodeRecord(encodeRecord(value)), value);
      const { seq: _, previous: __, time: ___, ...signed } = value;
      assert.equal(decodeEvent(encodeEvent(signed)), signed);
    }),
  );
});

test("threat 6: mutated bytes are refused, or are the one encoding of what they say", () => {
  let refused = 0;
  let read = 0;
  const mutation = fc.record({
    at: fc.nat(),
    how: fc.constantFrom("flip", "cut", "add", "length", "swap"),
    value: fc.integer({ min: 1, max: 255 }),
  });
  check(
    fc.property(record, fc.array(mutation, { minLength: 1, maxLength: 4 }), (value, mutations) => {
      let bytes = encodeRecord(value);
      for (const { at, how, value: by } of mutations) {
        const offset = at % bytes.length;
        if (how === "flip") bytes[offset]! ^= by;
        else if (how === "cut") bytes = bytes.subarray(0, Math.max(1, offset));
        else if (how === "add") bytes = Buffer.concat([bytes, Buffer.alloc(by, by)]);
        else if (how === "length" && bytes.length > 94) bytes.writeUInt32LE(at >>> 0, 90);
        else bytes = Buffer.concat([bytes.subarray(offset), bytes.subarray(0, offset)]);
      }
      const result = attempt(() => decodeRecord(bytes));
      if (result instanceof GradmeshError) refused += 1;
      else {
        read += 1;
        assert.ok(encodeRecord(result).equals(bytes), "another encoding of the same record");
      }
    }),
  );
  assert.ok(refused > runs / 10 && read > runs / 100, `refused ${refused}, read ${read}`);
});

test("random bytes and a huge length are refused at once", () => {
  check(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      attempt(() => decodeRecord(bytes));
      attempt(() => decodeEvent(bytes));
    }),
  );
  const deposit: LedgerEvent = { kind: "Deposited", account: "00".repeat(32), amount: 1n };
  const signed = { author: "11".repeat(32), nonce: 1n, event: deposit, signature: "22".repeat(64) };
  const bytes = encodeEvent(signed);
  bytes.writeUInt32LE(2 ** 30, 42);
  assert.throws(() => decodeEvent(bytes), /the body's length is 1073741824; allowed is 40/);
});

const ejected = { account: "00".repeat(32), evidence: "00".repeat(32) };

const refusals: [what: string, value: unknown, message: RegExp][] = [
  ["a missing field", { kind: "Bonded" }, /Bonded\.amount is undefined; allowed is a bigint/],
  [
    "a field too many",
    { kind: "Bonded", amount: 1n, ammount: 1n },
    /Bonded\.ammount is 1; allowed is only kind, amount/,
  ],
  ["a number for a bigint", { kind: "Bonded", amount: 1 }, /Bonded\.amount is 1; allowed is a bigint/],
  ["a bigint beyond 64 bits", { kind: "Bonded", amount: 2n ** 64n }, /Bonded\.amount/],
  ["a kind that is none", { kind: "Stolen" }, /kind is "Stolen"; allowed is the name of an event/],
  ["upper case", { kind: "Snapshot", state: "AB".repeat(32) }, /Snapshot\.state .* 64 lowercase/],
  ["a short hash", { kind: "Snapshot", state: "ab" }, /Snapshot\.state is "ab"; allowed is 64/],
  [
    "a fraction",
    { kind: "ManifestPublished", round: 1.5, digest: "00".repeat(32), size: 1n },
    /round is 1\.5/,
  ],
  ["half a character", { kind: "Ejected", ...ejected, reason: "\ud800" }, /Ejected\.reason is/],
  ["a long text", { kind: "Ejected", ...ejected, reason: "é".repeat(129) }, /at most 256 bytes/],
  ["an odd blob", { kind: "EquivocationProven", first: "abc", second: "" }, /EquivocationProven\.first/],
  [
    "many hashes",
    { kind: "Split", dispute: 0, children: Array(257).fill("00".repeat(32)) },
    /at most 256 hashes/,
  ],
  [
    "a bad hash in a list",
    { kind: "Split", dispute: 0, children: ["00".repeat(32), "x"] },
    /Split\.children\[1\]/,
  ],
];

for (const [what, event, message] of refusals)
  test(`${what} is refused by name`, () => {
    const signed = {
      author: "11".repeat(32),
      nonce: 1n,
      event: event as LedgerEvent,
      signature: "22".repeat(64),
    };
    assert.throws(
      () => encodeEvent(signed),
      (error: unknown) => error instanceof GradmeshError && message.test(error.message),
    );
  });

test("text that is no UTF-8, and a kind that no event has, are refused by name", () => {
  const text: LedgerEvent = { kind: "Ejected", ...ejected, reason: "\ufefflost" };
  const signed = { author: "11".repeat(32), nonce: 1n, event: text, signature: "22".repeat(64) };
  const bytes = encodeEvent(signed);
  assert.equal(decodeEvent(bytes), signed, "a byte-order mark is kept");
  const wrongText = Buffer.from(bytes);
  wrongText[wrongText.length - 64 - 1] = 0xff;
  assert.throws(() => decodeEvent(wrongText), /Ejected\.reason is not UTF-8/);
  const wrongKind = Buffer.from(bytes);
  wrongKind.writeUInt16LE(999, 0);
  assert.throws(() => decodeEvent(wrongKind), /kind is 999, which no event has/);
});

test("bytes after the last field are refused, though the length counts them", () => {
  const signed = { author: "11".repeat(32), nonce: 1n, signature: "22".repeat(64) };
  const bytes = encodeEvent({ ...signed, event: { kind: "Bonded", amount: 5n } });
  const longer = Buffer.concat([bytes.subarray(0, -64), Buffer.alloc(1), bytes.subarray(-64)]);
  longer.writeUInt32LE(9, 42);
  assert.throws(() => decodeEvent(longer), /the body of Bonded is followed by 1 bytes that are no field/);
});

test("every byte of a record has a field with a name", () => {
  const value: LedgerEvent = { kind: "Split", dispute: 7, children: ["ab".repeat(32)] };
  const signed = { author: "11".repeat(32), nonce: 1n, event: value, signature: "22".repeat(64) };
  const bytes = encodeRecord({ seq: 3, previous: "33".repeat(32), time: 5, ...signed });
  const names = Array.from(bytes, (_, offset) => recordField(bytes, offset));
  const runsOf = names.filter((name, index) => name !== names[index - 1]);
  const expected = "seq previous time kind author nonce length Split.dispute Split.children signature";
  assert.equal(runsOf.join(" "), expected);
});

test.run();
