/** Signatures are for one ledger, one author and one nonce; whoever signs two of one nonce, or two heads, proves it himself. */
import { ed25519 } from "@noble/curves/ed25519.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { LedgerEvent, SignedEvent } from "../../lib/ledger/events.js";
import { decodeHead, encodeHead, provenEquivocation, signHead, verifyHead } from "../../lib/ledger/head.js";
import { encodeRecord } from "../../lib/ledger/record.js";
import {
  accountOfPeerId,
  KeyRing,
  peerIdOfAccount,
  secretOf,
  signEvent,
  signerOf,
  verifyEvent,
} from "../../lib/ledger/sign.js";
import { generateIdentity } from "../../lib/peer/identity.js";
import { genesis, newSigner } from "./tiny-rules.js";

const ledgerId = "aa".repeat(32);
const bonded: LedgerEvent = { kind: "Bonded", amount: 5n };
const released: LedgerEvent = { kind: "Released" };
const at = (signed: SignedEvent, seq = 1) =>
  encodeRecord({ seq, previous: "00".repeat(32), time: seq, ...signed });
const proof = (error: unknown) => error instanceof GradmeshError && error.code === "ERR_PROOF";

test("the account is the peer's libp2p key", () => {
  const identity = generateIdentity();
  const { account } = signerOf(identity);
  assert.is(accountOfPeerId(identity.peerId), account);
  assert.is(peerIdOfAccount(account), identity.peerId);
  assert.is(
    Buffer.from(ed25519.getPublicKey(Buffer.from(secretOf(identity), "hex"))).toString("hex"),
    account,
  );
  assert.throws(() => accountOfPeerId("12D3"), /is no peer id/);
  // An RSA key's peer id, from libp2p's specification of peer ids.
  assert.throws(
    () => accountOfPeerId("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"),
    /not of an Ed25519 key/,
  );
});

test("threat 8: a signature holds for its event and ledger only", () => {
  const signer = newSigner();
  const signed = signEvent(signer, ledgerId, 1n, bonded);
  assert.ok(verifyEvent(signed, ledgerId));
  assert.not.ok(verifyEvent(signed, "bb".repeat(32)), "in another ledger");
  assert.not.ok(verifyEvent({ ...signed, nonce: 2n }, ledgerId), "with another nonce");
  assert.not.ok(verifyEvent({ ...signed, author: newSigner().account }, ledgerId), "by another author");
  assert.not.ok(
    verifyEvent({ ...signed, event: { kind: "Withdrawn", amount: 5n } }, ledgerId),
    "of another kind",
  );
  assert.not.ok(
    verifyEvent({ ...signed, event: { kind: "Bonded", amount: 6n } }, ledgerId),
    "of another amount",
  );
});

test("keys of small order sign nothing", () => {
  const keys = new KeyRing();
  const identity = Buffer.alloc(32);
  identity[0] = 1;
  // R = identity and s = 0 fulfil the equation for the key of order 1, whatever the message.
  const forged = Buffer.concat([identity, Buffer.alloc(32)]);
  assert.not.ok(keys.verify(identity.toString("hex"), Buffer.from("anything"), forged));
  const generator = ed25519.Point.BASE;
  for (const point of smallOrderPoints()) {
    const account = Buffer.from(point.toBytes()).toString("hex");
    assert.not.ok(keys.verify(account, Buffer.from("x"), forged), account);
  }
  assert.not.ok(generator.isSmallOrder());
});

/** The eight of them, as multiples of one of order 8. */
function smallOrderPoints() {
  const eight = ed25519.Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
  const points = [ed25519.Point.ZERO];
  for (let count = 1; count < 8; count++) points.push(points.at(-1)!.add(eight));
  assert.is(new Set(points.map((point) => point.toHex())).size, 8);
  return points;
}

test("two events of one nonce are proven, in any place", () => {
  const [signer, sequencer] = [newSigner(), newSigner().account];
  const first = at(signEvent(signer, ledgerId, 4n, bonded), 9);
  const second = at(signEvent(signer, ledgerId, 4n, released), 10);
  assert.is(provenEquivocation(first, second, ledgerId, sequencer), signer.account);
  const refused = (one: Uint8Array, other: Uint8Array, id = ledgerId) =>
    assert.throws(() => provenEquivocation(one, other, id, sequencer), proof);
  refused(first, at(signEvent(signer, ledgerId, 4n, bonded), 11));
  refused(first, at(signEvent(signer, ledgerId, 5n, released)));
  refused(first, at(signEvent(newSigner(), ledgerId, 4n, released)));
  refused(first, second, "bb".repeat(32));
  refused(first, at(signEvent(signer, "bb".repeat(32), 4n, released)));
  const forged = { ...signEvent(signer, ledgerId, 4n, released), signature: "00".repeat(64) };
  refused(first, at(forged));
});

test("the beginnings of a submitter's two runs are no offence", () => {
  const signer = newSigner();
  const begin = (unitSteps: number) =>
    at(signEvent(signer, ledgerId, 1n, { kind: "RunCreated", ...genesis, unitSteps }), 0);
  assert.throws(() => provenEquivocation(begin(1), begin(2), ledgerId, signer.account), proof);
});

test("two heads of one number are proven against the sequencer", () => {
  const signer = newSigner();
  const [one, other] = ["11", "22"].map((digit) => signHead(signer, ledgerId, 7, digit.repeat(32)));
  assert.ok(verifyHead(one!, ledgerId, signer.account));
  assert.equal(decodeHead(encodeHead(one!)), one);
  const [first, second] = [encodeHead(one!), encodeHead(other!)];
  assert.is(provenEquivocation(first, second, ledgerId, signer.account), signer.account);
  assert.throws(() => provenEquivocation(first, first, ledgerId, signer.account), proof);
  const later = encodeHead(signHead(signer, ledgerId, 8, "22".repeat(32)));
  assert.throws(() => provenEquivocation(first, later, ledgerId, signer.account), proof);
  const foreign = encodeHead(signHead(newSigner(), ledgerId, 7, "22".repeat(32)));
  assert.throws(() => provenEquivocation(first, foreign, ledgerId, signer.account), proof);
  assert.throws(() =>
    provenEquivocation(first, at(signEvent(signer, ledgerId, 1n, bonded)), ledgerId, signer.account),
  );
});

test.run();
