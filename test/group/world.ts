/** A coordinator and peers with slow lines under a random test's hand, and the promises that are checked at each step. */
import * as assert from "uvu/assert";
import type { CoordinatorMessage, Hello, PeerMessage, View } from "../../lib/group/messages.js";
import { charterOf, Machine, resultOf, stateOf } from "./machine.js";

type Said = { hello: Partial<Hello>; fresh: boolean } | { message: Exclude<PeerMessage, Hello> };

/** A correct peer with slow lines: what it hears and says waits in queues until the test moves it. */
class Peer {
  connected = false;
  /** The coordinator answers on this connection; until its hello, messages still go to the one before, and are lost. */
  greeted = false;
  leaving = false;
  round = -1;
  digest: string | null = null;
  built = false;
  view: View | null = null;
  needsState = false;
  voted = false;
  pending: Hello["pending"] = null;
  inbox: CoordinatorMessage[] = [];
  outbox: Said[] = [];

  constructor(readonly id: string) {}

  /** The process is gone with all it held. */
  die(): void {
    this.drop();
    this.round = -1;
    this.digest = null;
    this.built = false;
    this.pending = null;
  }

  drop(): void {
    this.connected = false;
    this.greeted = false;
    this.leaving = false;
    this.view = null;
    this.inbox = [];
    this.outbox = [];
  }

  standing(fresh: boolean): Said {
    const recipeDigest = this.built ? "recipe" : null;
    return {
      fresh,
      hello: { recipeDigest, round: this.round, stateDigest: this.digest, pending: this.pending },
    };
  }

  /** Reads one message. */
  read(): void {
    const message = this.inbox.shift();
    if (message?.type === "welcome" && !this.built) {
      this.built = true;
      if (message.round === 0) [this.round, this.digest] = [0, stateOf(0)];
      this.outbox.push(this.standing(false));
    } else if (message?.type === "view") {
      this.view = message;
      this.voted = false;
      this.pending = null;
      this.needsState = message.sync?.targets.includes(this.id) === true;
    } else if (message?.type === "commit") this.#apply(message);
    else if (message?.type === "wait") this.view = null;
    else if (message?.type === "end" || message?.type === "refused") this.drop();
  }

  #apply(commit: Extract<CoordinatorMessage, { type: "commit" }>): void {
    if (this.round > commit.round) return;
    assert.equal(this.pending, {
      epoch: commit.epoch,
      round: commit.round,
      resultDigest: commit.resultDigest,
    });
    this.round = commit.round + 1;
    this.digest = stateOf(this.round);
    this.pending = null;
    const metrics = { trainLoss: commit.round };
    this.outbox.push({
      message: { type: "applied", round: commit.round, stateDigest: this.digest, metrics },
    });
  }

  /** Works on its view: takes the state, or votes. */
  work(source: (id: string) => Peer | undefined, lost: string[] | null): void {
    if (this.view === null || this.voted) return;
    const { epoch, round, sync } = this.view;
    if (this.needsState) {
      const from = source(sync!.source);
      const there = from?.connected === true && from.round === round;
      if (there) {
        [this.round, this.digest, this.needsState] = [round, from.digest, false];
        this.outbox.push({ message: { type: "synced", epoch, round, stateDigest: from.digest! } });
      } else this.outbox.push({ message: { type: "sync-failed", epoch, round, reason: "no source" } });
      return;
    }
    this.voted = true;
    if (lost === null) {
      const resultDigest = resultOf(epoch, round);
      this.pending = { epoch, round, resultDigest };
      this.outbox.push({ message: { type: "vote", epoch, round, outcome: "done", resultDigest } });
      return;
    }
    const failure = { outcome: "failed", code: "ERR_PEER_LOST", lost, reason: "a link broke" } as const;
    this.outbox.push({ message: { type: "vote", epoch, round, ...failure } });
  }
}

export class World {
  readonly machine: Machine;
  readonly peers: Peer[];
  /** Digests voted by (epoch, round) and peer, as they reached the coordinator. */
  readonly votes = new Map<string, Map<string, string>>();
  commits = 0;

  constructor(count: number) {
    // No failure may end the run here: false reports are frequent.
    const settings = {
      peersMin: 2,
      peersMax: 5,
      failureRetriesMax: 1e6,
      strikesMax: 1e6,
      recoverLimitMs: 20_000,
    };
    this.machine = new Machine(charterOf(settings));
    this.peers = Array.from({ length: count }, (_, index) => new Peer(`P${index}`));
    this.machine.onSend = (id, message) => {
      const peer = this.find(id)!;
      if (peer.greeted) peer.inbox.push(message);
    };
    // A closing follows what was sent before it.
    this.machine.onClose = (id) => {
      const peer = this.find(id)!;
      while (peer.inbox.length > 0 && peer.connected) peer.read();
      peer.drop();
    };
  }

  find(id: string): Peer | undefined {
    return this.peers.find((peer) => peer.id === id);
  }

  /** Does something to the coordinator and checks what must always hold. */
  act(action: () => void): void {
    const before = this.machine.state.record;
    const from = this.machine.facts.length;
    action();
    const { record } = this.machine.state;
    assert.ok(record.epoch >= before.epoch, "the epoch went back");
    assert.ok(record.round >= before.round, "the round went back");
    for (const fact of this.machine.facts.slice(from)) {
      if (fact.type !== "committed") continue;
      this.commits += 1;
      assert.is(fact.round, this.commits - 1, "a round committed twice, or was left out");
      const votes = this.votes.get(`${fact.epoch} ${fact.round}`);
      assert.equal(fact.contributors, [...before.members]);
      for (const peer of fact.contributors)
        assert.is(votes?.get(peer), fact.resultDigest, "no vote of a member");
    }
  }

  /** The peer's oldest words reach the coordinator; `again` leaves them to come a second time. */
  speak(peer: Peer, again: boolean): void {
    const said = peer.outbox[0];
    if (said === undefined || !peer.connected) return;
    if (!again || !("message" in said)) peer.outbox.shift();
    peer.greeted = true;
    this.act(() => {
      if ("hello" in said) this.machine.hello(peer.id, said.hello, said.fresh);
      else {
        const { message } = said;
        if (message.type === "vote" && message.outcome === "done") {
          const key = `${message.epoch} ${message.round}`;
          this.votes.set(key, (this.votes.get(key) ?? new Map()).set(peer.id, message.resultDigest));
        }
        this.machine.say(peer.id, message);
      }
    });
  }

  connect(peer: Peer): void {
    if (peer.connected) return;
    peer.connected = true;
    peer.outbox.push(peer.standing(true));
  }

  lose(peer: Peer): void {
    if (peer.connected) this.act(() => this.machine.close(peer.id));
  }

  restart(): void {
    for (const peer of this.peers) peer.drop();
    this.machine.restart();
  }

  /** The next event's records are kept, its messages are not. */
  crash(peer: Peer): void {
    this.machine.crashing = true;
    this.speak(peer, false);
    this.restart();
  }

  pass(ms: number): void {
    const alive = this.peers.filter((peer) => peer.connected).map((peer) => peer.id);
    this.act(() => this.machine.pass(ms, alive));
  }

  /** One random deed. */
  deed(kind: number, which: number, choice: number): void {
    const peer = this.peers[which % this.peers.length]!;
    const other = this.peers[choice % this.peers.length]!;
    if (kind < 8) this.connect(peer);
    else if (kind < 35) this.speak(peer, choice % 10 === 0);
    else if (kind < 60) peer.read();
    else if (kind < 80) {
      const lost = choice % 8 === 0 ? [other.id] : choice % 17 === 1 ? [] : null;
      peer.work((id) => this.find(id), lost);
    } else if (kind < 82) {
      this.lose(peer);
      peer.die();
    } else if (kind < 84) {
      this.lose(peer);
      peer.drop();
    } else if (kind < 85) {
      // Its connection breaks without the coordinator's knowledge, and the next one replaces it.
      peer.drop();
      this.connect(peer);
    } else if (kind < 86 && peer.connected) {
      peer.leaving = true;
      peer.outbox.push({ message: { type: "leave" } });
    } else if (kind < 87) this.restart();
    else if (kind < 88) this.crash(peer);
    else if (kind < 92) this.pass(100 * (1 + (choice % 30)));
    else {
      // A round's worth of good conduct, or histories rarely get anywhere.
      for (let pass = 0; pass < 4; pass += 1) this.behave();
    }
  }

  behave(): void {
    for (const peer of this.peers) {
      while (peer.inbox.length > 0) peer.read();
      peer.work((id) => this.find(id), null);
      while (peer.outbox.length > 0 && peer.connected) this.speak(peer, false);
    }
  }
}
