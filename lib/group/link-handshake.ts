/** The two sides of making one bulk link over one authenticated channel: a ping, a hello, its answer, the sockets. */
import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Clock, withLimit } from "../base/clock.js";
import { GradmeshError } from "../base/errors.js";
import type { Channel } from "../peer/channel.js";
import type { PeerChannel } from "../peer/libp2p-channel.js";
import { parseMessage } from "../peer/message.js";
import { BULK_TICKET_BYTES, createKeyExchange, linkName } from "./link-keys.js";
import {
  type Encryption,
  type LinkAnswer,
  type LinkHello,
  linkAnswerSchema,
  linkPingSchema,
  linkWordSchema,
} from "./link-messages.js";
import type { BulkEndpoint, LinkEntry } from "./link-table.js";
import { type StreamsSetting, streamsFor } from "./streams.js";

/** What a handshake needs of its peer. */
export interface HandshakeOptions {
  /** This peer's id. */
  self: string;
  runId: string;
  encryption: Encryption;
  endpoint: BulkEndpoint;
  clock: Clock;
  /** Where others reach the endpoint; undefined: at the address of the control connection. */
  advertiseHost: string | undefined;
  /** Sockets of the links that this side greets for. */
  streams: StreamsSetting;
  /** How long one message, and then the socket, may take. */
  stepLimitMs: number;
}

/** Round trips that a greeter measures before its hello. */
const PINGS = 2;

/** The other side will not change its mind when asked again. */
export class LinkRefusal extends GradmeshError {}

type Words = AsyncIterator<unknown>;

/** The channel's messages; the greeter and the answerer each read all of theirs from one iterator. */
export function wordsOf(channel: Channel): Words {
  return channel.messages()[Symbol.asyncIterator]();
}

/** The next message of a channel. @throws ERR_CLOSED when there is none, ERR_TIMEOUT, the signal's reason. */
async function receive(
  channel: Channel,
  words: Words,
  options: HandshakeOptions,
  limitMs: number,
  signal: AbortSignal,
) {
  const what = `a message of ${channel.remote}`;
  const { done, value } = await withLimit(options.clock, limitMs, what, signal, () => words.next());
  if (done) throw new GradmeshError("ERR_CLOSED", `${channel.remote} closed the channel without a word`);
  return value;
}

/** Answers the pings of a greeter until it says hello. */
export async function receiveHello(
  channel: PeerChannel,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<LinkHello> {
  const words = wordsOf(channel);
  for (let pings = 0; ; pings += 1) {
    const word = parseMessage(
      linkWordSchema,
      await receive(channel, words, options, options.stepLimitMs, signal),
    );
    if (word.type === "hello") return word;
    if (pings === PINGS) throw new GradmeshError("ERR_PROTOCOL", `more than ${PINGS} pings before a hello`);
    await channel.send({ type: "ping" });
  }
}

/** The least round trip of the control connection, in milliseconds: the first one may have waited for other work. */
async function roundTrip(
  channel: PeerChannel,
  words: Words,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let ping = 0; ping < PINGS; ping += 1) {
    const start = options.clock.now();
    await channel.send({ type: "ping" });
    const answer = await receive(channel, words, options, options.stepLimitMs, signal);
    parseMessage(linkPingSchema, answer);
    least = Math.min(least, options.clock.now() - start);
  }
  return least;
}

/** The answerer's half after its checks: answers with a ticket, and waits for the sockets that open with it. */
export async function expectLink(
  channel: PeerChannel,
  hello: LinkHello,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<LinkEntry> {
  const { endpoint, runId, self } = options;
  const exchange = createKeyExchange();
  const ticket = Uint8Array.from(randomBytes(BULK_TICKET_BYTES));
  const keys = exchange.derive(hello.publicKey, {
    runId,
    epoch: hello.epoch,
    answerer: self,
    greeter: channel.remote,
    answererPublicKey: exchange.publicKey,
    greeterPublicKey: hello.publicKey,
    streams: hello.streams,
    ticket,
  });
  const { streams } = hello;
  const secrets = { ticket, sendKey: keys.toGreeter, receiveKey: keys.toAnswerer, streams };
  const link = endpoint.expect(secrets, options.stepLimitMs);
  try {
    const answer: LinkAnswer = {
      type: "open",
      publicKey: exchange.publicKey,
      host: options.advertiseHost ?? null,
      port: endpoint.port,
      ticket,
    };
    await channel.send(answer);
    await endpoint.ready(link, options.stepLimitMs, signal);
  } catch (error) {
    endpoint.closeLink(link);
    throw error;
  }
  return { link, name: linkName(ticket), epoch: hello.epoch, streams };
}

/** The native endpoint dials numeric addresses only. */
async function numericHost(host: string): Promise<string> {
  return isIP(host) === 0 ? (await lookup(host)).address : host;
}

/** What the greeter's half needs to know. */
export interface Greeting {
  epoch: number;
  /** The link that this side still has. */
  known: LinkEntry | undefined;
  /** The lower rank greets. */
  turned: boolean;
  answerLimitMs: number;
}

/**
 * The greeter's half: says hello, and dials the sockets that the answer names, or keeps the link that both have.
 * @throws LinkRefusal when the other side refuses for good; any other error may pass when tried again.
 */
export async function dialLink(
  channel: PeerChannel,
  { epoch, known, turned, answerLimitMs }: Greeting,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<LinkEntry> {
  const { endpoint, runId, self, encryption } = options;
  const words = wordsOf(channel);
  const streams = streamsFor(options.streams, await roundTrip(channel, words, options, signal));
  const exchange = createKeyExchange();
  const { publicKey } = exchange;
  const link = known?.name ?? null;
  const hello: LinkHello = { type: "hello", runId, epoch, encryption, publicKey, link, streams, turned };
  await channel.send(hello);
  const answer = parseMessage(
    linkAnswerSchema,
    await receive(channel, words, options, answerLimitMs, signal),
  );
  if (answer.type === "refused") {
    const lasting = answer.code === "ERR_REFUSED" || answer.code === "ERR_UNAUTHORIZED";
    const why = `${channel.remote} refuses: ${answer.reason}`;
    throw lasting ? new LinkRefusal(answer.code, why) : new GradmeshError(answer.code, why);
  }
  if (answer.type === "keep") {
    if (known === undefined) {
      throw new GradmeshError("ERR_PROTOCOL", `${channel.remote} keeps a link that was not named`);
    }
    return { ...known, epoch };
  }
  const ticket = Uint8Array.from(answer.ticket);
  const keys = exchange.derive(answer.publicKey, {
    runId,
    epoch,
    answerer: channel.remote,
    greeter: self,
    answererPublicKey: answer.publicKey,
    greeterPublicKey: publicKey,
    streams,
    ticket,
  });
  const host = await numericHost(answer.host ?? channel.remoteHost);
  const secrets = { ticket, sendKey: keys.toAnswerer, receiveKey: keys.toGreeter, streams };
  const dialed = await endpoint.dial({ host, port: answer.port, ...secrets }, options.stepLimitMs, signal);
  if (signal.aborted) endpoint.closeLink(dialed);
  signal.throwIfAborted();
  return { link: dialed, name: linkName(ticket), epoch, streams };
}
