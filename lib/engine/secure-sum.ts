/**
 * Secure aggregation (Bonawitz et al. 2016, arXiv 1611.04482): members learn the sum of their contributions and nothing else
 * of any of them. Each adds to its fixed-point integers, mod 2^32, a mask with every other member, which cancel in pairs, and
 * one of its own. What would take the masks off is shared out by Shamir, so that the sum of those who sent is exact whoever
 * else is gone, as long as `threshold` members stay.
 *
 * It holds against members who follow the protocol and look (fewer than the threshold together), and against those who drop
 * out; a member that sends a wrong contribution is not found. Messages come by authenticated channels.
 */
import { combine, split } from "shamir-secret-sharing";
import { GradmeshError } from "../base/errors.js";
import { addMask, newKeys, newSeed, open, pairSeed, publicOf, seal, seedDigest } from "./secure-keys.js";
import { checkTerms, contributionsLeast, meanOfFixed, type SecureTerms, toFixed } from "./secure-terms.js";

/** First message, to all. */
export interface SecureHello {
  readonly peerId: string;
  /** X25519 public keys, 32 bytes each: for shares, and for masks. */
  readonly shareKey: Uint8Array;
  readonly maskKey: Uint8Array;
  /** Of the seed of its own mask. */
  readonly seedDigest: Uint8Array;
}

/** Second message, to one member: sealed shares of what would unmask the sender. */
export interface SecureShares {
  readonly from: string;
  readonly to: string;
  readonly sealed: Uint8Array;
}

/** Third message, to all. */
export interface SecureMasked {
  readonly peerId: string;
  readonly words: Uint32Array;
}

/** Fourth message, to all: of each member one share, of one kind. */
export interface SecureReveal {
  readonly from: string;
  /** Of those who sent: shares of their own mask's seed. Of those who are gone: of their mask key. */
  readonly seeds: ReadonlyMap<string, Uint8Array>;
  readonly maskKeys: ReadonlyMap<string, Uint8Array>;
}

const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const protocol = (why: string) => new GradmeshError("ERR_PROTOCOL", `secure sum: ${why}`);

/** One member's part of one sum; its methods are called once each, in their order. */
export class SecureMember {
  readonly #terms: SecureTerms;
  readonly #self: string;
  readonly #shareKeys = newKeys();
  readonly #maskKeys = newKeys();
  readonly #seed = newSeed();
  #hellos: ReadonlyMap<string, SecureHello> = new Map();
  /** Shares that others gave this member, by whose secret. */
  readonly #held = new Map<string, { readonly maskKey: Uint8Array; readonly seed: Uint8Array }>();
  #shared = false;
  #masked = false;
  #revealed = false;

  /** @throws ERR_CONFIG for impossible terms, and for a rule that must see contributions. */
  constructor(terms: SecureTerms, self: string) {
    checkTerms(terms);
    if (!terms.members.includes(self)) throw protocol(`${self} is no member`);
    this.#terms = terms;
    this.#self = self;
  }

  hello(): SecureHello {
    return {
      peerId: this.#self,
      shareKey: this.#shareKeys.public,
      maskKey: this.#maskKeys.public,
      seedDigest: seedDigest(this.#seed),
    };
  }

  /**
   * @param hellos of those who are there, this member's own with them.
   * @throws ERR_PROTOCOL for fewer than the threshold or contributorsMin, and for a second call.
   */
  async share(hellos: readonly SecureHello[]): Promise<SecureShares[]> {
    const { members, threshold, name } = this.#terms;
    // A key that seals takes one text: it has one nonce.
    if (this.#shared) throw protocol("this member has shared already");
    const there = members.flatMap((peerId) => hellos.find((hello) => hello.peerId === peerId) ?? []);
    const least = contributionsLeast(this.#terms);
    if (there.length < least) throw protocol(`${there.length} members are there; needed: ${least}`);
    this.#shared = true;
    this.#hellos = new Map(there.map((hello) => [hello.peerId, hello]));
    const [keys, seeds] = await Promise.all([
      split(this.#maskKeys.secret, there.length, threshold),
      split(this.#seed, there.length, threshold),
    ]);
    return there.flatMap(({ peerId, shareKey }, index) => {
      const [maskKey, seed] = [keys[index]!, seeds[index]!];
      if (peerId === this.#self) {
        this.#held.set(peerId, { maskKey, seed });
        return [];
      }
      const way = { sum: name, from: this.#self, to: peerId };
      const text = Uint8Array.from([...maskKey, ...seed]);
      return [{ from: this.#self, to: peerId, sealed: seal(this.#shareKeys.secret, shareKey, way, text) }];
    });
  }

  /**
   * This member's contribution under its masks.
   * @param shares those for this member; who sent none takes no part. @throws ERR_PROTOCOL for fewer than the threshold.
   */
  mask(shares: readonly SecureShares[], x: Float32Array): SecureMasked {
    const { threshold, name, members } = this.#terms;
    if (this.#masked)
      throw protocol("this member has sent its contribution; a second one would tell the difference");
    for (const { from, to, sealed } of shares) {
      const hello = this.#hellos.get(from);
      if (hello === undefined || from === this.#self || to !== this.#self)
        throw protocol(`shares of ${from} for ${to}`);
      const text = open(this.#shareKeys.secret, hello.shareKey, { sum: name, from, to }, sealed);
      const half = text.length / 2;
      this.#held.set(from, { maskKey: text.slice(0, half), seed: text.slice(half) });
    }
    if (this.#held.size < threshold)
      throw protocol(`${this.#held.size} members shared; needed: ${threshold}`);
    const words = toFixed(this.#terms, x);
    addMask(words, this.#seed, 1);
    for (const peerId of this.#held.keys()) {
      if (peerId === this.#self) continue;
      const sign = members.indexOf(this.#self) < members.indexOf(peerId) ? 1 : -1;
      addMask(words, pairSeed(this.#maskKeys.secret, this.#hellos.get(peerId)!.maskKey, name), sign);
    }
    this.#masked = true;
    return { peerId: this.#self, words };
  }

  /**
   * What takes the masks off the sum of those who sent. It is told once: with a second set of contributors, shares of both
   * kinds of one member would come out, and with them its contribution.
   * @throws ERR_PROTOCOL for fewer contributors than the threshold or contributorsMin.
   */
  reveal(contributors: readonly string[]): SecureReveal {
    const sent = new Set(contributors);
    if (this.#revealed) throw protocol("this member has helped to take off masks already");
    const least = contributionsLeast(this.#terms);
    if (sent.size < least)
      throw protocol(`a sum of ${sent.size} contributions would tell too much of each; needed: ${least}`);
    const unknown = contributors.find((peerId) => !this.#held.has(peerId));
    if (unknown !== undefined) throw protocol(`${unknown} shared nothing with this member`);
    this.#revealed = true;
    const [seeds, maskKeys] = [new Map<string, Uint8Array>(), new Map<string, Uint8Array>()];
    for (const [peerId, held] of this.#held) {
      if (sent.has(peerId)) seeds.set(peerId, held.seed);
      else maskKeys.set(peerId, held.maskKey);
    }
    return { from: this.#self, seeds, maskKeys };
  }
}

/** Puts a secret together of `threshold` shares. */
async function together(
  reveals: readonly SecureReveal[],
  which: "seeds" | "maskKeys",
  peerId: string,
  threshold: number,
): Promise<Uint8Array> {
  const shares = reveals.flatMap((reveal) => reveal[which].get(peerId) ?? []);
  if (shares.length < threshold)
    throw protocol(`${shares.length} shares of what hides ${peerId}'s contribution; needed: ${threshold}`);
  return combine(shares.slice(0, threshold));
}

const wrong = (peerId: string) =>
  new GradmeshError("ERR_PROOF", `secure sum: the shares of ${peerId}'s secret do not give it`, {
    detail: { peers: [peerId] },
  });

/**
 * The mean of the contributions that came, float32 [elements]: their integers are added exactly.
 * @param hellos of all who shared, alike on all members.
 * @throws ERR_PROTOCOL for fewer contributions or reveals than needed; ERR_PROOF where shares do not give what was announced.
 */
export async function unmaskMean(
  terms: SecureTerms,
  hellos: readonly SecureHello[],
  masked: readonly SecureMasked[],
  reveals: readonly SecureReveal[],
): Promise<Float32Array> {
  checkTerms(terms);
  const { members, threshold, name, elements } = terms;
  const known = new Map(hellos.map((hello) => [hello.peerId, hello]));
  const sent = new Set(masked.map(({ peerId }) => peerId));
  const least = contributionsLeast(terms);
  if (sent.size < least) throw protocol(`${sent.size} members contributed; needed: ${least}`);
  const odd = masked.find(({ peerId, words }) => !known.has(peerId) || words.length !== elements);
  if (odd !== undefined || sent.size < masked.length)
    throw protocol(`a contribution of ${odd?.peerId ?? "one member twice"} is none that was announced`);
  const total = new Uint32Array(elements);
  for (const { words } of masked) for (let i = 0; i < elements; i += 1) total[i] = total[i]! + words[i]!;
  for (const peerId of sent) {
    const seed = await together(reveals, "seeds", peerId, threshold);
    if (!equal(seedDigest(seed), known.get(peerId)!.seedDigest)) throw wrong(peerId);
    addMask(total, seed, -1);
  }
  for (const { peerId, maskKey } of hellos.filter((hello) => !sent.has(hello.peerId))) {
    const secret = await together(reveals, "maskKeys", peerId, threshold);
    if (!equal(publicOf(secret), maskKey)) throw wrong(peerId);
    for (const other of sent) {
      // What the other added or took away for the one that is gone.
      const added = members.indexOf(other) < members.indexOf(peerId);
      addMask(total, pairSeed(secret, known.get(other)!.maskKey, name), added ? -1 : 1);
    }
  }
  return meanOfFixed(terms, total, sent.size);
}
