/** The side of a bulk link that is greeted: admits hellos of the view's members, and answers with a link or a refusal. */
import { withLimit } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { PeerChannel } from "../peer/libp2p-channel.js";
import { expectLink, type HandshakeOptions, receiveHello } from "./link-handshake.js";
import type { LinkHello } from "./link-messages.js";
import { checkGreeter, type createTurns } from "./link-roles.js";
import type { LinkTable } from "./link-table.js";

export interface AnswererOptions {
  table: LinkTable;
  handshake: HandshakeOptions;
  /** Of the greeting side, so that a pair in which both greet makes one link. */
  turns: ReturnType<typeof createTurns>;
  /** How long a hello waits for this peer to reach its epoch. */
  viewWaitMs: number;
  /** Ends every answer under way. */
  closing: AbortSignal;
}

/** Peers whose hello may wait for a view at the same time. */
const ANSWERING_MAX = 256;

export class LinkAnswerer {
  readonly #options: AnswererOptions;
  /** The hello of each peer that is being answered; a newer one of the same peer ends it. */
  readonly #answering = new Map<string, AbortController>();

  constructor(options: AnswererOptions) {
    this.#options = options;
  }

  /** Answers one hello, with a link or a refusal, and closes the channel. */
  async answer(channel: PeerChannel): Promise<void> {
    const peerId = channel.remote;
    const controller = new AbortController();
    try {
      const hello = await receiveHello(channel, this.#options.handshake, this.#options.closing);
      this.#answering.get(peerId)?.abort(new GradmeshError("ERR_ABORTED", `${peerId} said a newer hello`));
      if (this.#answering.size >= ANSWERING_MAX) {
        throw new GradmeshError("ERR_TIMEOUT", "too many peers wait for a view here");
      }
      this.#answering.set(peerId, controller);
      const signal = AbortSignal.any([controller.signal, this.#options.closing]);
      await this.#admit(peerId, hello, signal);
      const link = () => this.#link(channel, hello, signal);
      await (hello.turned ? this.#options.turns(peerId, link) : link());
    } catch (error) {
      const { code, message } = asGradmeshError(error);
      await channel.send({ type: "refused", code, reason: message.slice(0, 1024) }).catch(() => {});
    } finally {
      if (this.#answering.get(peerId) === controller) this.#answering.delete(peerId);
      await channel.close();
    }
  }

  /** Waits until this peer has the hello's view, and checks that the other is in it and may greet. */
  async #admit(peerId: string, hello: LinkHello, signal: AbortSignal): Promise<void> {
    const { runId, encryption } = this.#options.handshake;
    if (hello.runId !== runId)
      throw new GradmeshError("ERR_UNAUTHORIZED", "this peer takes part in another run");
    if (hello.encryption !== encryption)
      throw new GradmeshError(
        "ERR_REFUSED",
        `bulk links here use "${encryption}", not "${hello.encryption}"`,
      );
    const what = `the view of epoch ${hello.epoch}`;
    const view = await withLimit(
      this.#options.handshake.clock,
      this.#options.viewWaitMs,
      `waiting for ${what}`,
      signal,
      async (limited) => {
        for (;;) {
          const current = this.#options.table.view;
          if (current !== undefined && current.epoch >= hello.epoch) return current;
          await this.#options.table.changed(limited);
        }
      },
    );
    if (view.epoch > hello.epoch)
      throw new GradmeshError("ERR_REFUSED", `epoch ${hello.epoch} is over; it is ${view.epoch}`);
    checkGreeter(view, this.#options.table.rank, peerId, hello.turned);
  }

  async #link(channel: PeerChannel, hello: LinkHello, signal: AbortSignal): Promise<void> {
    const peerId = channel.remote;
    const entry = await this.#options.table.openLink(peerId, signal);
    if (entry !== undefined && entry.name === hello.link) {
      await channel.send({ type: "keep" });
      this.#options.table.keep(peerId, { ...entry, epoch: hello.epoch });
      return;
    }
    // This side greeted too, and was first: the other finds that link.
    if (hello.turned && entry?.epoch === hello.epoch)
      throw new GradmeshError("ERR_ABORTED", "the two are linked already");
    this.#options.table.drop(peerId);
    this.#options.table.keep(peerId, await expectLink(channel, hello, this.#options.handshake, signal));
  }
}
