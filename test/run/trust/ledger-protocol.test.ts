/** The ledger over the network: every event once, every record in order, whatever connections and the other side do. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock, systemClock } from "../../../lib/base/clock.js";
import type { GradmeshError } from "../../../lib/base/errors.js";
import { uniform } from "../../../lib/base/random.js";
import type { Account, LedgerEvent, SignedEvent } from "../../../lib/ledger/events.js";
import { signEvent, signerOf } from "../../../lib/ledger/sign.js";
import { generateIdentity } from "../../../lib/peer/identity.js";
import { LEDGER_PROTOCOL, LedgerClient, LocalLedger } from "../../../lib/run/trust/ledger-protocol.js";
import { type TinyState, tinyRules } from "../../ledger/tiny-rules.js";
import { loopbackHost } from "../../peer/hosts.js";
import { balance, type Client, deposit, inWorld, turn, type Wire, World } from "./ledger-world.js";

const reaches = (account: Account, amount: bigint) => (state: TinyState) =>
  balance(account)(state) >= amount ? balance(account)(state) : null;

async function failure(work: Promise<unknown>): Promise<GradmeshError> {
  return work.then(
    () => assert.unreachable("it was taken") as never,
    (error: GradmeshError) => error,
  );
}

/** The author's events, in their order. */
function eventsOf(world: World, account: Account): LedgerEvent[] {
  return [...world.sequencer.records(1)].filter(({ author }) => author === account).map(({ event }) => event);
}

test("an event is recorded, and every peer's copy comes to hold it", () =>
  inWorld(async (world) => {
    const [first, second] = [world.peer(), world.peer()];
    const seen: string[] = [];
    second.onEffects(({ seq }, effects) => seen.push(`${seq}: ${effects.map(({ amount }) => amount)}`));
    await first.submit(deposit(second.account, 5n));
    assert.is(
      balance(second.account)(first.state),
      5n,
      "the submitter's own copy holds it when submit resolves",
    );
    assert.is(await second.until(reaches(second.account, 5n)), 5n);
    await second.submit({ kind: "Withdrawn", amount: 2n });
    assert.is(await first.until((state) => (balance(second.account)(state) === 3n ? 3n : null)), 3n);
    assert.equal(seen, ["0: ", "1: 5", "2: -2"]);
    assert.is(first.follower.head?.count, 3);
  }));

test("events submitted at once are recorded once each, in their order, with the nonces after one another", () =>
  inWorld(async (world) => {
    const [first, second] = [world.peer(), world.peer()];
    const amounts = Array.from({ length: 40 }, (_, index) => BigInt(index + 1));
    await Promise.all(
      amounts.flatMap((amount) => [first, second].map((peer) => peer.submit(deposit(peer.account, amount)))),
    );
    for (const peer of [first, second])
      assert.equal(
        eventsOf(world, peer.account),
        amounts.map((amount) => deposit(peer.account, amount)),
      );
  }));

test("what the rules refuse is a typed refusal, and the next event takes its nonce", () =>
  inWorld(async (world) => {
    const peer = world.peer();
    const [refused] = await Promise.all([
      failure(peer.submit({ kind: "Withdrawn", amount: 1n })),
      peer.submit(deposit(peer.account, 1n)),
    ]);
    assert.is(refused.code, "ERR_LEDGER");
    assert.match(refused.message, /the balance is 0/);
    await peer.submit({ kind: "Withdrawn", amount: 1n });
    assert.is(eventsOf(world, peer.account).length, 2);
    assert.is((await failure(peer.submit(deposit("no account", 1n)))).code, "ERR_LEDGER");
    assert.is((await failure(peer.submit(deposit(peer.account, -1n)))).code, "ERR_LEDGER");
  }));

test("a peer that comes back with its file is sent only what it lacks", () =>
  inWorld(async (world) => {
    const identity = generateIdentity();
    const path = `${world.folder}/again.sqlite`;
    const asked: unknown[] = [];
    const wire = (): Wire => ({
      toServer(message) {
        if ((message as { type: string }).type === "follow") asked.push((message as { from: number }).from);
        return true;
      },
    });
    const before = world.peer({ identity, path, wire });
    await before.submit(deposit(before.account, 1n));
    await before.submit(deposit(before.account, 1n));
    await before.close();
    await before.follower.close();
    await world.sequencer.append(deposit(before.account, 10n));
    const after = world.peer({ identity, path, wire });
    assert.is(await after.until(reaches(after.account, 12n)), 12n);
    await after.submit(deposit(after.account, 1n));
    assert.equal(asked, [0, 3]);
    await after.close();
    // Without its file it first learns what it has done before, or its nonce would be an old one.
    const anew = world.peer({ identity });
    await anew.submit(deposit(anew.account, 1n));
    assert.is(eventsOf(world, anew.account).length, 4);
  }));

test("two thousand records reach a new peer in batches, the last of them with the signed head", () =>
  inWorld(async (world) => {
    const amounts = Array.from({ length: 2000 }, () => deposit("ab".repeat(32), 1n));
    await Promise.all(amounts.map((event) => world.sequencer.append(event)));
    const batches: { records: unknown[]; head: unknown }[] = [];
    const wire = (): Wire => ({
      toClient(message) {
        if ((message as { type: string }).type === "records")
          batches.push(message as (typeof batches)[number]);
        return true;
      },
    });
    const peer = world.peer({ wire });
    await peer.until(reaches("ab".repeat(32), 2000n));
    assert.is(peer.follower.head?.count, world.sequencer.count);
    assert.ok(batches.length >= 8 && batches.every(({ records }) => records.length <= 256));
    assert.equal(
      batches.map(({ head }) => head !== null),
      batches.map((_, index) => index === batches.length - 1),
    );
  }));

for (const seed of [1, 2])
  test(`connections cut before, in and after any message: every event is recorded once (seed ${seed})`, () =>
    inWorld(async (world) => {
      let [messages, cuts] = [0, 0];
      const survives = () => {
        const cut = uniform(seed, 0, messages++) < 0.2 && cuts < 60;
        if (cut) cuts += 1;
        return !cut;
      };
      const peers = [1, 2].map(() =>
        world.peer({ wire: () => ({ toServer: survives, toClient: survives }) }),
      );
      const amounts = Array.from({ length: 25 }, (_, index) => BigInt(index + 1));
      await Promise.all(
        peers.flatMap((peer) => amounts.map((amount) => peer.submit(deposit(peer.account, amount)))),
      );
      for (const peer of peers)
        assert.equal(
          eventsOf(world, peer.account),
          amounts.map((amount) => deposit(peer.account, amount)),
        );
      assert.ok(cuts > 20, `only ${cuts} cuts`);
    }));

test("an event whose first sending is late, and is sent again meanwhile, is recorded once and taken as recorded", async () => {
  const gate = Promise.withResolvers<void>();
  const world = new World();
  let sendings = 0;
  const { sequencer } = world;
  world.server = world.serverOf({
    sequencer: {
      ledgerId: sequencer.ledgerId,
      get head() {
        return sequencer.head;
      },
      get count() {
        return sequencer.count;
      },
      pages: (from, to) => sequencer.pages(from, to),
      onEffects: (listener) => sequencer.onEffects(listener),
      async submit(signed: SignedEvent) {
        sendings += 1;
        await gate.promise;
        return sequencer.submit(signed);
      },
    },
  });
  try {
    const peer = world.peer();
    const submitted = peer.submit(deposit(peer.account, 7n));
    while (sendings < 1) await turn();
    await world.connections[0]!.close();
    while (sendings < 2) await turn();
    gate.resolve();
    await submitted;
    await peer.submit(deposit(peer.account, 1n));
    assert.is(balance(peer.account)(world.sequencer.state), 8n);
    assert.is(eventsOf(world, peer.account).length, 2);
  } finally {
    await world.end();
  }
});

test("a wait ends with its signal, with what its look throws, and when the sequencer stays away", () =>
  inWorld(async (world) => {
    const clock = createManualClock();
    const failures: GradmeshError[] = [];
    const peer = world.peer({ clock, reconnectLimitMs: 5000, onFailure: (error) => failures.push(error) });
    const stop = new AbortController();
    const aborted = peer.until(() => null, stop.signal);
    const thrown = peer.until((state) => {
      if (balance(peer.account)(state) > 0n) throw new Error("seen");
      return null;
    });
    stop.abort(new Error("enough"));
    assert.is((await failure(aborted)).message, "enough");
    const [seen] = await Promise.all([failure(thrown), peer.submit(deposit(peer.account, 1n))]);
    assert.is(seen.message, "seen");
    const waiting = failure(peer.until(() => null));
    await world.server.close();
    const submitted = failure(peer.submit(deposit(peer.account, 1n)));
    while (failures.length === 0) {
      clock.advance(100);
      await turn();
    }
    const all = [failures[0]!, await waiting, await submitted, await failure(peer.until(() => null))];
    assert.ok(all.every((error) => error === failures[0]));
    assert.is(failures[0]!.code, "ERR_UNREACHABLE");
    assert.match(failures[0]!.message, /was away for 5000 ms \(.*the ledger is closed/);
  }));

test("a peer that is admitted only later, or to a sequencer that comes back, waits for it", () =>
  inWorld(async (world) => {
    let asked = 0;
    world.server = world.serverOf({ isMember: () => ++asked > 3 });
    const peer = world.peer();
    await peer.submit(deposit(peer.account, 1n));
    assert.is(asked, 4);
    await world.server.close();
    const submitted = peer.submit(deposit(peer.account, 1n));
    world.server = world.serverOf();
    await submitted;
    assert.is(eventsOf(world, peer.account).length, 2);
  }));

test("an aborted submission that has not had its turn is never sent", () =>
  inWorld(async (world) => {
    const peer = world.peer();
    const stop = new AbortController();
    const first = peer.submit(deposit(peer.account, 1n));
    const second = failure(peer.submit(deposit(peer.account, 10n), stop.signal));
    const third = peer.submit(deposit(peer.account, 100n));
    stop.abort(new Error("not that one"));
    await Promise.all([first, third]);
    assert.is((await second).message, "not that one");
    assert.is(balance(peer.account)(peer.state), 101n);
  }));

test("the sequencer's own peer has the same ledger without a connection", () =>
  inWorld(async (world) => {
    const local = new LocalLedger(world.sequencer, world.leader);
    const peer = world.peer();
    const waiting = local.until(reaches(local.account, 3n));
    await Promise.all([
      peer.submit(deposit(local.account, 1n)),
      local.submit(deposit(local.account, 1n)),
      local.submit(deposit(local.account, 1n)),
    ]);
    assert.is(await waiting, 3n);
    assert.is((await failure(local.submit({ kind: "Withdrawn", amount: 9n }))).code, "ERR_LEDGER");
    const never = failure(local.until(() => null));
    local.close(new Error("over"));
    assert.is((await never).message, "over");
    assert.is(local.prove(Uint8Array.of(1)).length, 160);
  }));

test("over libp2p: the sequencer's machine is gone and comes back, and every event is recorded once", async () => {
  const world = new World();
  let leader = await loopbackHost({ identity: world.leader });
  const port = Number(/\/tcp\/(\d+)/.exec(leader.addresses()[0]!)![1]);
  const hosts = await Promise.all([loopbackHost(), loopbackHost()]);
  await leader.handle(LEDGER_PROTOCOL, (channel) => world.server.serve(channel));
  const target = { peerId: world.leader.peerId, addresses: leader.addresses() };
  const identities = [generateIdentity(), generateIdentity()];
  const followers = identities.map((_, index) => world.follower(`${world.folder}/over-${index}.sqlite`));
  const clients: Client[] = identities.map(
    (identity, index) =>
      new LedgerClient({
        follower: followers[index]!,
        rules: tinyRules,
        identity,
        clock: systemClock,
        random: () => 0,
        connect: (signal) => hosts[index]!.connect(target, LEDGER_PROTOCOL, signal),
      }),
  );
  try {
    const account = signerOf(identities[0]!).account;
    const submitted = clients.flatMap((client) =>
      Array.from({ length: 30 }, () => client.submit(deposit(account, 1n))),
    );
    await clients[1]!.until(reaches(account, 10n));
    await leader.close();
    leader = await loopbackHost({ identity: world.leader, listen: { host: "127.0.0.1", port } });
    await leader.handle(LEDGER_PROTOCOL, (channel) => world.server.serve(channel));
    await Promise.all(submitted);
    for (const client of clients) assert.is(await client.until(reaches(account, 60n)), 60n);
    assert.is(world.sequencer.count, 61);
  } finally {
    for (const client of clients) await client.close();
    for (const follower of followers) await follower.close();
    await Promise.all([leader, ...hosts].map((host) => host.close()));
    await world.end();
  }
});

test("a foreign event with this ledger's form is refused for its signature", () =>
  inWorld(async (world) => {
    const [author, other] = [signerOf(generateIdentity()), "cd".repeat(32)];
    const foreign = signEvent(author, other, 1n, deposit(author.account, 1n));
    assert.match((await failure(world.sequencer.submit(foreign))).message, /signature is not the author's/);
  }));

test.run();
