/** The verifiable random function: the vectors of RFC 9381, one output per key and input, and no way to pass another. */
import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { VRF_PROOF_BYTES, vrfProve, vrfVerify } from "../../lib/ledger/vrf.js";

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** RFC 9381, Appendix B.3. */
const vectors = [
  {
    name: "example 16",
    secret: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    account: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    alpha: "",
    proof:
      "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d97" +
      "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
    output:
      "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff" +
      "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
  },
  {
    name: "example 17",
    secret: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    account: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    alpha: "72",
    proof:
      "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c92a465" +
      "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
    output:
      "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb" +
      "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
  },
  {
    name: "example 18",
    secret: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    account: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    alpha: "af82",
    proof:
      "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f9ea3c0" +
      "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
    output:
      "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45" +
      "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
  },
];

/** The points of small order in all 14 encodings that a lax decoder takes, canonical or not (Chalkias et al., 2020). */
const smallOrder = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "0100000000000000000000000000000000000000000000000000000000000080",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

const littleEndian = (value: bigint, length: number) =>
  bytes(value.toString(16).padStart(2 * length, "0")).reverse();
const toInteger = (data: Uint8Array) => BigInt(`0x${hex(Uint8Array.from(data).reverse())}`);

for (const { name, secret, account, alpha, proof, output } of vectors)
  test(`threat 19: RFC 9381, Appendix B.3, ${name}`, () => {
    assert.is(vrfProve(secret, bytes(alpha)), proof);
    assert.is(vrfVerify(account, bytes(alpha), proof), output);
  });

test("threat 19: every changed bit of a proof, key or input is rejected", () => {
  const { account, alpha, proof } = vectors[2]!;
  const flipped = (text: string, bit: number) => {
    const data = bytes(text);
    data[bit >> 3]! ^= 1 << (bit & 7);
    return hex(data);
  };
  // Three bits of each byte keep it quick; the last byte of each part holds the bits that decoders like to ignore.
  for (let at = 0; at < VRF_PROOF_BYTES; at += 1)
    for (const bit of [31, 47, 79].includes(at) ? [0, 1, 2, 3, 4, 5, 6, 7] : [0, 7])
      assert.is(
        vrfVerify(account, bytes(alpha), flipped(proof, 8 * at + bit)),
        null,
        `byte ${at}, bit ${bit}`,
      );
  for (let bit = 0; bit < 256; bit += 5)
    assert.is(vrfVerify(flipped(account, bit), bytes(alpha), proof), null, `key, bit ${bit}`);
  for (let bit = 0; bit < 16; bit += 1)
    assert.is(vrfVerify(account, bytes(flipped(alpha, bit)), proof), null);
  assert.is(vrfVerify(account, bytes(`${alpha}00`), proof), null);
  assert.is(vrfVerify(vectors[1]!.account, bytes(alpha), proof), null);
});

test("threat 19: a response that is not below the group's order is rejected", () => {
  for (const { account, alpha, proof } of vectors) {
    const response = toInteger(bytes(proof.slice(96)));
    for (let times = 1n; response + times * ORDER < 1n << 256n; times += 1n) {
      const other = proof.slice(0, 96) + hex(littleEndian(response + times * ORDER, 32));
      assert.is(vrfVerify(account, bytes(alpha), other), null, `s + ${times} L`);
    }
  }
});

/** RFC 9381's challenge and proof by a prover that may use any key point and gamma; `scalar` explains both up to torsion. */
function forge(account: string, alpha: Uint8Array, gamma: string, scalar: bigint): string {
  const sha512 = (...parts: Uint8Array[]) => createHash("sha512").update(Buffer.concat(parts)).digest();
  let input: InstanceType<typeof Point> | undefined;
  for (let counter = 0; input === undefined; counter += 1) {
    const data = sha512(Uint8Array.of(3, 1), bytes(account), alpha, Uint8Array.of(counter, 0)).subarray(
      0,
      32,
    );
    try {
      input = Point.fromBytes(new Uint8Array(data)).clearCofactor();
    } catch {}
  }
  // The torsion disappears where it is multiplied by a challenge divisible by 8: a forger tries until it has one.
  for (let nonce = 1n; ; nonce += 1n) {
    const [u, v] = [Point.BASE.multiply(nonce), input.multiply(nonce)];
    const challenge = sha512(
      Uint8Array.of(3, 2),
      bytes(account),
      input.toBytes(),
      bytes(gamma),
      u.toBytes(),
      v.toBytes(),
      Uint8Array.of(0),
    ).subarray(0, 16);
    if (challenge[0]! % 8 !== 0) continue;
    const response = (nonce + toInteger(challenge) * scalar) % ORDER;
    return gamma + hex(challenge) + hex(littleEndian(response, 32));
  }
}

test("threat 19: an account of low order proves nothing, in any encoding", () => {
  const alpha = bytes("00");
  for (const account of smallOrder) {
    // For such a key the secret 0 explains the identity, and every input would have a proof that anybody can make.
    const proof = forge(account, alpha, smallOrder[0]!, 0n);
    assert.is(vrfVerify(account, alpha, proof), null, account);
    for (const each of vectors) assert.is(vrfVerify(account, bytes(each.alpha), each.proof), null);
  }
});

test("threat 19: a leader cannot move its output by torsion, nor by how gamma is written", () => {
  const { secret, account, alpha, proof, output } = vectors[0]!;
  const { scalar } = ed25519.utils.getExtendedPublicKey(bytes(secret));
  const gamma = Point.fromHex(proof.slice(0, 64));
  assert.is(
    vrfVerify(account, bytes(alpha), forge(account, bytes(alpha), proof.slice(0, 64), scalar)),
    output,
  );
  for (const small of smallOrder.slice(1, 8)) {
    const moved = gamma.add(Point.fromHex(small, true)).toHex();
    const forged = forge(account, bytes(alpha), moved, scalar);
    // The proof holds, as the RFC has it, and the cofactor takes the torsion out: still the one output.
    assert.is(vrfVerify(account, bytes(alpha), forged), output, small);
  }
  // Gamma as an encoding with y at or above the field's prime, or a negative zero.
  for (const lax of smallOrder.slice(8))
    assert.is(vrfVerify(account, bytes(alpha), lax + proof.slice(64)), null);
});

test("threat 19: garbage is no proof and throws nothing", () => {
  const { account, proof } = vectors[0]!;
  const verify = vrfVerify as (account: unknown, alpha: Uint8Array, proof: unknown) => string | null;
  const none = new Uint8Array();
  fc.assert(
    fc.property(fc.anything(), (value) => {
      assert.is(verify(value, none, proof), null);
      assert.is(verify(account, none, value), null);
    }),
    { numRuns: 500 },
  );
  const random = fc.uint8Array({ minLength: VRF_PROOF_BYTES, maxLength: VRF_PROOF_BYTES });
  fc.assert(
    fc.property(random, (data) => assert.is(vrfVerify(account, none, hex(data)), null)),
    { numRuns: 200 },
  );
  for (const text of [
    "",
    proof.slice(2),
    `${proof}00`,
    proof.toUpperCase(),
    `${proof.slice(1)}g`,
    ` ${proof.slice(1)}`,
  ])
    assert.is(vrfVerify(account, none, text), null, text);
  assert.throws(() => vrfProve("00", none), /secret of a verifiable random function/);
});

test("threat 19: random keys and inputs: a proof holds for its key and input, and is always the same", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(key, fc.uint8Array({ maxLength: 100 }), (secret, alpha) => {
      const proof = vrfProve(hex(secret), alpha);
      assert.is(vrfProve(hex(secret), alpha), proof);
      const account = hex(ed25519.getPublicKey(secret));
      assert.match(vrfVerify(account, alpha, proof) ?? "null", /^[0-9a-f]{128}$/);
      assert.is(vrfVerify(account, Uint8Array.of(...alpha, 0), proof), null);
    }),
    { numRuns: 30 },
  );
});

test.run();
