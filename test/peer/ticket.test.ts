/** Tickets: round trip, and that a damaged one is refused with the reason. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../lib/base/clock.js";
import { GradmeshError } from "../../lib/base/errors.js";
import { generateIdentity } from "../../lib/peer/identity.js";
import { formatTicket, parseTicket, type Ticket } from "../../lib/peer/ticket.js";

const ticket: Ticket = {
  runId: "moby-dick",
  peerId: generateIdentity().peerId,
  addresses: ["/ip4/127.0.0.1/tcp/4001", "/dns4/peer.example/tcp/4001"],
  secret: Uint8Array.from({ length: 16 }, (_, index) => index),
};
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof GradmeshError && error.code === "ERR_INVALID_ARGUMENT" && pattern.test(error.message);

const fields = {
  runId: fc.string({ minLength: 1, maxLength: 40 }),
  peerId: fc.constantFrom(...Array.from({ length: 4 }, () => generateIdentity().peerId)),
  addresses: fc.array(
    fc.tuple(fc.ipV4(), fc.integer({ min: 1, max: 65535 })).map(([host, port]) => `/ip4/${host}/tcp/${port}`),
    { minLength: 1, maxLength: 16 },
  ),
  secret: fc.uint8Array({ minLength: 16, maxLength: 16 }),
};
const tickets = fc.record(fields, { noNullPrototype: true });

test("a ticket comes back equal, also with white space in it", () => {
  fc.assert(
    fc.property(tickets, fc.nat(), (value, at) => {
      const text = formatTicket(value);
      assert.match(text, /^gradmesh1[A-Za-z0-9_-]+$/);
      assert.equal(parseTicket(text), value);
      const cut = at % text.length;
      assert.equal(parseTicket(`  ${text.slice(0, cut)}\n ${text.slice(cut)}\r\n`), value);
    }),
  );
  assert.ok(
    parseTicket(formatTicket(ticket)).secret.buffer.byteLength === 16,
    "the secret is a copy of its own",
  );
});

test("flipped characters are never another ticket", () => {
  const text = formatTicket(ticket);
  const flips = fc.array(fc.tuple(fc.nat(text.length - 1), fc.constantFrom(...alphabet, "é", ".", "/")), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(flips, (changes) => {
      const characters = [...text];
      for (const [at, character] of changes) characters[at] = character;
      const changed = characters.join("");
      fc.pre(changed !== text);
      assert.throws(() => parseTicket(changed), refused(/the ticket cannot be used/));
    }),
    { numRuns: 3000 },
  );
});

test("every single flipped or swapped character is refused", () => {
  const text = formatTicket(ticket);
  for (let at = 0; at < text.length; at += 1) {
    for (const character of alphabet) {
      if (character === text[at]) continue;
      assert.throws(() => parseTicket(text.slice(0, at) + character + text.slice(at + 1)), refused(/./));
    }
    const swapped = text.slice(0, at) + (text[at + 1] ?? "") + text[at] + text.slice(at + 2);
    if (swapped !== text) assert.throws(() => parseTicket(swapped), refused(/./));
  }
});

test("the error says what is wrong", () => {
  const text = formatTicket(ticket);
  for (let length = "gradmesh1".length; length < text.length; length += 1) {
    assert.throws(() => parseTicket(text.slice(0, length)), refused(/cut off/));
  }
  assert.throws(() => parseTicket(`${text}AAAA`), refused(/something follows/));
  assert.throws(() => parseTicket(text.replace("gradmesh1", "gradmesh2")), refused(/version "2"/));
  assert.throws(() => parseTicket("hello"), refused(/does not begin with "gradmesh1"/));
  assert.throws(() => parseTicket(""), refused(/does not begin/));
  assert.throws(() => parseTicket(`${text.slice(0, 20)}!${text.slice(21)}`), refused(/"!" is in no ticket/));
  assert.throws(() => parseTicket("gradmesh1".padEnd(5000, "A")), refused(/too many/));
});

test("an expired ticket is refused, an impossible one cannot be made", () => {
  const text = formatTicket({ ...ticket, expires: 1000 });
  assert.is(parseTicket(text, createManualClock(1000)).expires, 1000);
  assert.throws(
    () => parseTicket(text, createManualClock(1001)),
    (error: unknown) => error instanceof GradmeshError && error.code === "ERR_UNAUTHORIZED",
  );
  const impossible: [Partial<Ticket>, RegExp][] = [
    [{ secret: new Uint8Array(15) }, /ticket\.secret: must have 16 bytes/],
    [{ addresses: [] }, /ticket\.addresses/],
    [{ addresses: ["127.0.0.1:4001"] }, /ticket\.addresses\.0: is no multiaddr/],
    [{ runId: "" }, /ticket\.runId/],
    [{ peerId: "somebody" }, /ticket\.peerId: is no peer id/],
    [{ expires: 0.5 }, /ticket\.expires/],
  ];
  for (const [change, pattern] of impossible) {
    assert.throws(() => formatTicket({ ...ticket, ...change }), refused(pattern));
  }
});

test.run();
