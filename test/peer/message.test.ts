/** Control messages as bytes: what passes, and that nothing else does. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { z } from "zod";
import { GradmeshError } from "../../lib/base/errors.js";
import { MESSAGE_BYTES_MAX } from "../../lib/peer/channel.js";
import {
  createFrameReader,
  frameMessage,
  packMessage,
  parseMessage,
  unpackMessage,
} from "../../lib/peer/message.js";
import { MESSAGE_DEPTH_MAX } from "../../lib/peer/message-shape.js";

const hasCode = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof GradmeshError && error.code === code && pattern.test(error.message);

const plainData = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.double({ noNaN: true }).map((number) => (Object.is(number, -0) ? 0 : number)),
    fc.maxSafeInteger(),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 20, noNullPrototype: true },
    ),
  ),
})).value;

test("plain data comes back equal, in pieces of any size", () => {
  fc.assert(
    fc.property(fc.array(plainData, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (messages, piece) => {
      const bytes = Buffer.concat(messages.map(frameMessage));
      const reader = createFrameReader();
      const received: unknown[] = [];
      for (let at = 0; at < bytes.length; at += piece) {
        reader.push(bytes.subarray(at, at + piece));
        for (let body = reader.next(); body !== undefined; body = reader.next())
          received.push(unpackMessage(body));
      }
      assert.equal(received, messages);
      assert.is(reader.pending, 0);
    }),
  );
});

test("binary values come back as the same bytes", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => index);
  const { key } = unpackMessage(packMessage({ key: bytes })) as { key: Uint8Array };
  assert.equal([...key], [...bytes]);
});

test("random bytes are a value or ERR_PROTOCOL, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        unpackMessage(bytes);
      } catch (error) {
        assert.ok(hasCode("ERR_PROTOCOL", /./)(error), String(error));
      }
    }),
    { numRuns: 5000 },
  );
});

test("headers that announce more than the body holds are refused before decoding", () => {
  const bombs = [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdc, 0xff, 0xff],
    [0xdf, 0x7f, 0xff, 0xff, 0xff, 1],
    [0xc6, 0xff, 0xff, 0xff, 0xff],
    [0xdb, 0x00, 0x10, 0x00, 0x00, 65],
    [0x92, 1],
    [],
  ];
  for (const bomb of bombs) {
    assert.throws(
      () => unpackMessage(Uint8Array.from(bomb)),
      hasCode("ERR_PROTOCOL", /not plain MessagePack/),
    );
  }
  // Each header is honest about its own children, yet together they announce more than there is.
  const nested = Buffer.concat(
    Array.from({ length: 30 }, () => Buffer.from([0xdc, 0x00, 0x20])).concat(Buffer.alloc(40)),
  );
  assert.throws(() => unpackMessage(nested), hasCode("ERR_PROTOCOL", /not plain MessagePack/));
});

test("extensions, trailing bytes and deep nesting are refused", () => {
  for (const bytes of [[0xc7, 1, 0x65, 1], [0xd6, 0xff, 0, 0, 0, 0], [0xd4, 0x72, 0x40], [0xc1], [1, 2]]) {
    assert.throws(
      () => unpackMessage(Uint8Array.from(bytes)),
      hasCode("ERR_PROTOCOL", /not plain MessagePack/),
    );
  }
  const depth = (levels: number) => Uint8Array.from([...Array(levels).fill(0x91), 1]);
  assert.not.throws(() => unpackMessage(depth(MESSAGE_DEPTH_MAX)));
  assert.throws(() => unpackMessage(depth(MESSAGE_DEPTH_MAX + 1)), hasCode("ERR_PROTOCOL", /nested deeper/));
});

test("what is not plain data, or too long, cannot be sent", () => {
  for (const message of [new Date(), { when: new Date() }, [2n ** 80n]]) {
    assert.throws(() => frameMessage(message), hasCode("ERR_INVALID_ARGUMENT", /plain data/));
  }
  assert.throws(
    () => frameMessage("x".repeat(MESSAGE_BYTES_MAX)),
    hasCode("ERR_INVALID_ARGUMENT", /longer than/),
  );
  assert.not.throws(() => frameMessage("x".repeat(MESSAGE_BYTES_MAX - 5)));
  assert.equal(unpackMessage(packMessage({ absent: undefined })), { absent: undefined });
});

test("a length above the limit is refused from its first four bytes", () => {
  for (const length of [0xffffffff, MESSAGE_BYTES_MAX + 1]) {
    const reader = createFrameReader();
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32BE(length);
    reader.push(prefix);
    assert.throws(() => reader.next(), hasCode("ERR_PROTOCOL", new RegExp(`${length} bytes`)));
  }
});

test("parseMessage names the field that does not fit", () => {
  const schema = z.strictObject({ epoch: z.int(), peers: z.array(z.string()) });
  assert.equal(parseMessage(schema, { epoch: 1, peers: ["a"] }), { epoch: 1, peers: ["a"] });
  assert.throws(
    () => parseMessage(schema, { epoch: 1, peers: ["a", 2] }),
    hasCode("ERR_PROTOCOL", /peers\.1/),
  );
  assert.throws(() => parseMessage(schema, { epoch: 1, peers: [], spy: 1 }), hasCode("ERR_PROTOCOL", /spy/));
  assert.throws(() => parseMessage(schema, null), hasCode("ERR_PROTOCOL", /message/));
});

test.run();
