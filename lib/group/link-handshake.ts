/** The two sides of making one bulk link over one authenticated channel: a hello, its answer, the socket. */
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
  linkHelloSchema,
} from "./link-messages.js";
import type { BulkEndpoint, LinkEntry } from "./link-table.js";

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
  /** How long one message, and then the socket, may take. */
  stepLimitMs: number;
}

/** The other side will not change its mind when asked again. */
export class LinkRefusal extends GradmeshError {}

/** The first message of a channel. @throws ERR_CLOSED when there is none, ERR_TIMEOUT, the signal's reason. */
async function receive(channel: Channel, options: HandshakeOptions, limitMs: number, signal: AbortSignal) {
  const iterator = channel.messages()[Symbol.asyncIterator]();
  const what = `a message of ${channel.remote}`;
  const { done, value } = await withLimit(options.clock, limitMs, what, signal, () => iterator.next());
  if (done) throw new GradmeshError("ERR_CLOSED", `${channel.remote} closed the channel without a word`);
  return value;
}

export async function receiveHello(
  channel: PeerChannel,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<LinkHello> {
  return parseMessage(linkHelloSchema, await receive(channel, options, options.stepLimitMs, signal));
}

/** The lower rank's half after its checks: answers with a ticket, and waits for the socket that opens with it. */
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
    lower: self,
    higher: channel.remote,
    lowerPublicKey: exchange.publicKey,
    higherPublicKey: hello.publicKey,
    ticket,
  });
  const link = endpoint.expect(ticket, keys.lowerToHigher, keys.higherToLower, options.stepLimitMs);
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
  return { link, name: linkName(ticket), epoch: hello.epoch };
}

/** The native endpoint dials numeric addresses only. */
async function numericHost(host: string): Promise<string> {
  return isIP(host) === 0 ? (await lookup(host)).address : host;
}

/**
 * The higher rank's half: says hello, and dials the socket that the answer names, or keeps the link that both have.
 * @param known the link that this side still has.
 * @throws LinkRefusal when the other side refuses for good; any other error may pass when tried again.
 */
export async function dialLink(
  channel: PeerChannel,
  epoch: number,
  known: LinkEntry | undefined,
  answerLimitMs: number,
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<LinkEntry> {
  const { endpoint, runId, self, encryption } = options;
  const exchange = createKeyExchange();
  const { publicKey } = exchange;
  const hello: LinkHello = { runId, epoch, encryption, publicKey, link: known?.name ?? null };
  await channel.send(hello);
  const answer = parseMessage(linkAnswerSchema, await receive(channel, options, answerLimitMs, signal));
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
    lower: channel.remote,
    higher: self,
    lowerPublicKey: answer.publicKey,
    higherPublicKey: publicKey,
    ticket,
  });
  const host = await numericHost(answer.host ?? channel.remoteHost);
  const target = {
    host,
    port: answer.port,
    ticket,
    sendKey: keys.higherToLower,
    receiveKey: keys.lowerToHigher,
  };
  const link = await endpoint.dial(target, options.stepLimitMs, signal);
  if (signal.aborted) endpoint.closeLink(link);
  signal.throwIfAborted();
  return { link, name: linkName(ticket), epoch };
}
