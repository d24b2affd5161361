/** A coordinator without a host, for tests: feeds events, keeps what it answers, and checks what must always hold. */
import * as assert from "uvu/assert";
import { coordinate } from "../../lib/group/coordinator.js";
import type { CoordinatorMessage, Hello, Notice, PeerMessage, View } from "../../lib/group/messages.js";
import {
  type Charter,
  defaultRunSettings,
  type Fact,
  foldFact,
  type RunSettings,
  replay,
} from "../../lib/group/record.js";
import {
  type Action,
  type CoordinatorEvent,
  type CoordinatorState,
  initialState,
} from "../../lib/group/state.js";

export function charterOf(
  settings: Partial<RunSettings> = {},
  start: Charter["start"] = { round: 0, stateDigest: null },
): Charter {
  return {
    runId: "run",
    recipeDigest: "recipe",
    config: { model: "tiny" },
    settings: {
      ...defaultRunSettings,
      rounds: 1000,
      peersMin: 3,
      peersMax: 6,
      beatMs: 100,
      silenceLimitMs: 1000,
      roundLimitMs: 5000,
      syncLimitMs: 4000,
      recoverLimitMs: 3000,
      ...settings,
    },
    ledgerId: null,
    start,
  };
}

/** The digests that correct peers have: of the state at the start of a round, and of an epoch's result of it. */
export const stateOf = (round: number) => `state-${round}`;
export const resultOf = (epoch: number, round: number) => `result-${epoch}-${round}`;

export class Machine {
  readonly charter: Charter;
  state: CoordinatorState;
  now = 0;
  /** The journal. */
  readonly facts: Fact[] = [];
  /** What each peer was sent, over all its connections. */
  readonly sent = new Map<string, CoordinatorMessage[]>();
  readonly notices: Notice[] = [];
  readonly closed: string[] = [];
  /** Set to have the next event's records kept and all its other actions lost, as by a crash. */
  crashing = false;
  onSend: (peer: string, message: CoordinatorMessage) => void = () => {};
  onClose: (peer: string) => void = () => {};

  constructor(charter = charterOf()) {
    this.charter = charter;
    this.state = initialState(charter);
  }

  step(event: CoordinatorEvent): Action[] {
    const before = this.state;
    const copy = structuredClone(before);
    const decision = coordinate(before, event, this.now);
    assert.equal(before, copy, "coordinate changed its argument");
    this.state = decision.state;
    const facts = decision.actions.flatMap((action) => (action.type === "record" ? [action.fact] : []));
    assert.equal(
      facts.reduce(foldFact, before.record),
      this.state.record,
      "the facts do not add up to the record",
    );
    this.facts.push(...facts);
    this.#checkShards();
    if (!this.crashing) for (const action of decision.actions) this.#perform(action);
    return decision.actions;
  }

  #checkShards(): void {
    const shards = [...this.state.peers.keys()].map((peer) => this.state.record.shards.get(peer));
    assert.ok(shards.every((shard) => shard !== undefined && shard < this.charter.settings.peersMax));
    assert.is(new Set(shards).size, shards.length, "two peers share a shard");
  }

  #perform(action: Action): void {
    if (action.type === "send") this.#deliver(action.peer, action.message);
    else if (action.type === "notify") {
      this.notices.push(action.notice);
      for (const peer of this.state.peers.keys())
        this.#deliver(peer, { type: "notice", notice: action.notice });
    } else if (action.type === "close") {
      this.closed.push(action.peer);
      this.onClose(action.peer);
    }
  }

  #deliver(peer: string, message: CoordinatorMessage): void {
    const list = this.sent.get(peer) ?? [];
    list.push(message);
    this.sent.set(peer, list);
    this.onSend(peer, message);
  }

  /** A coordinator that knows nothing but the journal. */
  restart(): void {
    this.crashing = false;
    this.state = initialState(this.charter, replay(this.charter, this.facts), this.now);
  }

  hello(peer: string, over: Partial<Hello> = {}, fresh = true, suspended?: string): void {
    const { round } = this.state.record;
    const hello: Omit<Hello, "secret"> = {
      type: "hello",
      version: 4,
      runId: "run",
      recipeDigest: "recipe",
      addresses: [`/at/${peer}`],
      dialable: true,
      samples: 1,
      round,
      stateDigest: stateOf(round),
      pending: null,
      applied: null,
      ...over,
    };
    this.step({ type: "hello", peer, hello, fresh, ...(suspended === undefined ? {} : { suspended }) });
  }

  say(peer: string, message: Exclude<PeerMessage, Hello>): void {
    this.step({ type: "message", peer, message });
  }

  close(...peers: string[]): void {
    for (const peer of peers) this.step({ type: "closed", peer, reason: "its connection closed" });
  }

  done(...peers: string[]): void {
    const { epoch, round } = this.view;
    for (const peer of peers) {
      this.say(peer, { type: "vote", epoch, round, outcome: "done", resultDigest: resultOf(epoch, round) });
    }
  }

  fail(peer: string, lost: string[], code = "ERR_PEER_LOST"): void {
    const { epoch, round } = this.view;
    this.say(peer, { type: "vote", epoch, round, outcome: "failed", code, lost, reason: "a link broke" });
  }

  /** Their inner steps of the view's round are done. */
  finish(...peers: string[]): void {
    const { epoch, round } = this.view;
    for (const peer of peers) this.say(peer, { type: "finished", epoch, round });
  }

  apply(...peers: string[]): void {
    const { round } = this.state.record.commit!;
    for (const peer of peers) {
      this.say(peer, {
        type: "applied",
        round,
        stateDigest: stateOf(round + 1),
        metrics: { trainLoss: round },
      });
    }
  }

  /** All members of the view vote and apply. */
  round(): void {
    const members = [...this.state.record.members];
    this.done(...members);
    this.apply(...members);
  }

  /** Lets time pass in ticks, with beats of these peers, or of all. */
  pass(ms: number, beating: readonly string[] = [...this.state.peers.keys()]): void {
    for (let left = ms; left > 0; left -= 100) {
      this.now += Math.min(100, left);
      for (const peer of beating) if (this.state.peers.has(peer)) this.say(peer, { type: "beat" });
      this.step({ type: "tick" });
    }
  }

  get view(): { epoch: number; round: number; members: readonly string[] } {
    return this.state.record;
  }

  /** The last message of this kind that the peer was sent. */
  last<T extends CoordinatorMessage["type"]>(
    peer: string,
    type: T,
  ): Extract<CoordinatorMessage, { type: T }> {
    const found = this.sent.get(peer)?.findLast((message) => message.type === type);
    assert.ok(found, `${peer} was sent no ${type}`);
    return found as Extract<CoordinatorMessage, { type: T }>;
  }

  viewOf(peer: string): View {
    return this.last(peer, "view");
  }

  /** Who is in the running view, with its epoch and round; checks that all members were told the same. */
  running(): string {
    assert.is(this.state.phase.name, "running");
    const { epoch, round, members } = this.view;
    for (const peer of members) {
      const view = this.viewOf(peer);
      assert.is(view.epoch, epoch);
      assert.is(view.round, round);
      assert.equal(
        view.members.map((member) => member.peerId),
        [...members],
      );
      assert.equal(view, this.viewOf(members[0]!));
    }
    return `epoch ${epoch} round ${round}: ${members.join(" ")}`;
  }
}

/** A run of these peers, in its first view. */
export function started(peers: readonly string[], settings: Partial<RunSettings> = {}): Machine {
  const machine = new Machine(charterOf({ peersMin: peers.length, ...settings }));
  for (const peer of peers) machine.hello(peer);
  return machine;
}
