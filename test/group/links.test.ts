/** Bulk links between members: who is linked, who is refused, what is kept over epochs. Sockets are fakes here. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { createKeyExchange } from "../../lib/group/link-keys.js";
import { BULK_PROTOCOL } from "../../lib/group/link-messages.js";
import { type BulkLinks, createBulkLinks, type LinkView } from "../../lib/group/links.js";
import type { Host } from "../../lib/peer/host.js";
import { failure } from "../failure.js";
import { loopbackHost } from "../peer/hosts.js";
import { createFakeNetwork, type FakeEndpoint } from "./fake-endpoint.js";

interface Member {
  host: Host;
  endpoint: FakeEndpoint;
  links: BulkLinks;
}

interface Context {
  network: ReturnType<typeof createFakeNetwork>;
  members: Member[];
}

const RUN = "links";
const LIMIT_MS = 8000;

const test = suite<Context>("links");
test.before.each((context) => {
  context.network = createFakeNetwork();
  context.members = [];
});
test.after.each(async ({ members }) => {
  await Promise.all(members.map(({ links }) => links.close()));
  await Promise.all(members.map(({ host }) => host.close()));
});

interface MemberOptions {
  host?: Host;
  encryption?: "none";
  viewWaitMs?: number;
  turnAfterMs?: number;
  streams?: number;
  runId?: string;
}

async function join({ network, members }: Context, options: MemberOptions = {}): Promise<Member> {
  const { host = await loopbackHost(), runId = RUN, ...rest } = options;
  const endpoint = network.createEndpoint();
  const links = await createBulkLinks({ host, endpoint, runId, ...rest });
  const member = { host, endpoint, links };
  members.push(member);
  return member;
}

function viewOf(epoch: number, members: Member[]): LinkView {
  return {
    epoch,
    members: members.map(({ host }) => ({ peerId: host.peerId, addresses: host.addresses() })),
  };
}

function ensureAll(epoch: number, members: Member[], limitMs = LIMIT_MS): Promise<Int32Array[]> {
  const view = viewOf(epoch, members);
  return Promise.all(members.map(({ links }, rank) => links.ensure(view, rank, limitMs)));
}

/** Each pair has one open link, with the same two keys, turned round. */
function checkMesh(members: Member[], all: Int32Array[]): void {
  for (const [rank, member] of members.entries()) {
    assert.is(member.endpoint.openLinks, members.length - 1);
    for (const [other, peer] of members.entries()) {
      const link = all[rank]![other]!;
      if (other === rank) {
        assert.is(link, -1);
        continue;
      }
      assert.ok(member.endpoint.isOpen(link));
      const mine = member.endpoint.keys(link);
      const theirs = peer.endpoint.keys(all[other]![rank]!);
      assert.equal(mine.sendKey, theirs.receiveKey);
      assert.not.equal(mine.sendKey, mine.receiveKey);
    }
  }
}

/** Says a hello by hand and returns the answer. */
async function greet(
  from: Host,
  to: Host,
  change: Record<string, unknown> = {},
): Promise<Record<string, unknown>> {
  const channel = await from.connect(to.addresses()[0]!, BULK_PROTOCOL);
  const { publicKey } = createKeyExchange();
  const common = {
    type: "hello",
    runId: RUN,
    epoch: 1,
    encryption: "aes-256-gcm",
    streams: 1,
    turned: false,
  };
  await channel.send({ ...common, publicKey, link: null, ...change });
  for await (const answer of channel.messages()) return answer as Record<string, unknown>;
  throw new Error("no answer");
}

test("every pair is linked once, with keys of its own", async (context) => {
  const members = [await join(context), await join(context), await join(context), await join(context)];
  const all = await ensureAll(1, members);
  checkMesh(members, all);
  const keys = members.flatMap(({ endpoint }, rank) =>
    [...all[rank]!]
      .filter((link) => link >= 0)
      .map((link) => Buffer.from(endpoint.keys(link).sendKey).toString("hex")),
  );
  assert.is(new Set(keys).size, 12, "each direction of each link has another key");
});

test("asking again for the same epoch changes nothing", async (context) => {
  const members = [await join(context), await join(context), await join(context)];
  const first = await ensureAll(1, members);
  assert.equal(await ensureAll(1, members), first);
  // Also from one side alone, and several at once.
  const view = viewOf(1, members);
  const again = await Promise.all([1, 2, 3].map(() => members[1]!.links.ensure(view, 1, LIMIT_MS)));
  for (const links of again) assert.equal(links, first[1]);
});

test("links of peers that stay are kept, those of a peer that left end", async (context) => {
  const [a, b, c] = [await join(context), await join(context), await join(context)];
  const first = await ensureAll(1, [a, b, c]);
  const second = await ensureAll(2, [a, c]);
  checkMesh([a, c], second);
  assert.is(second[0]![1], first[0]![2], "the link of those who stayed is the same");
  assert.is(b.endpoint.openLinks, 0);
  const third = await ensureAll(3, [c, a, b]);
  checkMesh([c, a, b], third);
  assert.is(third[0]![1], second[1]![0], "also when the ranks change sides");
});

test("a link that broke on either side is made anew in the next epoch", async (context) => {
  const members = [await join(context), await join(context), await join(context)];
  let all = await ensureAll(1, members);
  for (const [epoch, broken] of [0, 2].entries()) {
    const kept = all[0]![1]!;
    members[broken]!.endpoint.closeLink(all[broken]![broken === 0 ? 2 : 0]!);
    all = await ensureAll(epoch + 2, members);
    checkMesh(members, all);
    assert.is(all[0]![1], kept);
  }
});

test("a peer that restarted under the same identity is linked anew", async (context) => {
  const [a, b] = [await join(context), await join(context)];
  await ensureAll(1, [a, b]);
  for (const epoch of [2, 3]) {
    // Once as the higher rank and once as the lower.
    const before = context.members.pop()!;
    await before.links.close();
    const restarted = await join(context, { host: before.host });
    const members = epoch === 2 ? [a, restarted] : [restarted, a];
    checkMesh(members, await ensureAll(epoch, members));
  }
});

test("members that learn of the view at different times find each other", async (context) => {
  const members = [await join(context), await join(context), await join(context)];
  const view = viewOf(5, members);
  const linked: Promise<Int32Array>[] = [];
  for (const rank of [2, 0, 1]) {
    linked[rank] = members[rank]!.links.ensure(view, rank, LIMIT_MS);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  checkMesh(members, await Promise.all(linked));
});

test("who cannot be reached is named, and the others stay linked", async (context) => {
  const [a, b, c] = [await join(context), await join(context), await join(context)];
  await Promise.all([c.links.close(), c.host.close()]);
  const view = viewOf(1, [a, c, b]);
  const withAddress = {
    ...view,
    members: view.members.map((member) => ({
      ...member,
      addresses: member.addresses.length ? member.addresses : ["/ip4/127.0.0.1/tcp/1"],
    })),
  };
  const errors = await Promise.all([
    failure(a.links.ensure(withAddress, 0, 1000)),
    failure(b.links.ensure(withAddress, 2, 1000)),
  ]);
  for (const error of errors) {
    assert.is(error.code, "ERR_UNREACHABLE");
    assert.equal(error.detail.peers, [c.host.peerId]);
    assert.ok(error.message.includes(c.host.peerId));
  }
  checkMesh([a, b], await ensureAll(2, [a, b]));
});

test("a stranger, another run, a past epoch, a lower rank and another encryption are refused", async (context) => {
  const [a, b] = [await join(context, { viewWaitMs: 200 }), await join(context)];
  const { host: stranger } = await join(context);
  await ensureAll(1, [a, b]);
  await ensureAll(2, [a, b]);
  const cases: [Host, Host, Record<string, unknown>, string, RegExp][] = [
    [stranger, a.host, { epoch: 2 }, "ERR_UNAUTHORIZED", /not in the view/],
    [b.host, a.host, { epoch: 2, runId: "another" }, "ERR_UNAUTHORIZED", /another run/],
    [b.host, a.host, { epoch: 1 }, "ERR_REFUSED", /epoch 1 is over/],
    [b.host, a.host, { epoch: 3 }, "ERR_TIMEOUT", /epoch 3/],
    [stranger, a.host, { epoch: 3 }, "ERR_TIMEOUT", /epoch 3/],
    [a.host, b.host, { epoch: 2 }, "ERR_REFUSED", /must wait/],
    [b.host, a.host, { epoch: 2, turned: true }, "ERR_REFUSED", /must wait/],
    [b.host, a.host, { epoch: 2, streams: 17 }, "ERR_PROTOCOL", /streams/],
    [b.host, a.host, { epoch: 2, encryption: "none" }, "ERR_REFUSED", /aes-256-gcm/],
    [b.host, a.host, { epoch: -1 }, "ERR_PROTOCOL", /epoch/],
    [b.host, a.host, { epoch: 2, publicKey: new Uint8Array(31) }, "ERR_PROTOCOL", /publicKey/],
    [b.host, a.host, { epoch: 2, extra: 1 }, "ERR_PROTOCOL", /extra/],
    // A point of low order gives the same secret to everyone.
    [b.host, a.host, { epoch: 2, publicKey: new Uint8Array(32) }, "ERR_PROTOCOL", /public key/],
  ];
  for (const [from, to, change, code, pattern] of cases) {
    const answer = await greet(from, to, change);
    assert.is(answer.type, "refused", JSON.stringify(change));
    assert.is(answer.code, code);
    assert.match(String(answer.reason), pattern);
  }
  assert.is(a.endpoint.refused + b.endpoint.refused, 0, "no ticket was given out");
  checkMesh([a, b], await ensureAll(3, [a, b]));
});

test("a ticket opens one socket, once", async (context) => {
  const [a, b, thief] = [await join(context), await join(context), await join(context)];
  const [links] = await ensureAll(1, [a, b]);
  const answer = await greet(b.host, a.host, { epoch: 1 });
  assert.is(answer.type, "open");
  assert.not(a.endpoint.isOpen(links![1]!), "a link that the other side has lost is not given out again");
  const key = new Uint8Array(32);
  const target = {
    host: "127.0.0.1",
    port: answer.port as number,
    ticket: answer.ticket as Uint8Array,
    sendKey: key,
    receiveKey: key,
    streams: 1,
  };
  await b.endpoint.dial(target, 1000);
  assert.is((await failure(thief.endpoint.dial(target, 1000))).code, "ERR_UNAUTHORIZED");
  assert.is((await failure(b.endpoint.dial(target, 1000))).code, "ERR_UNAUTHORIZED");
});

test("members whose encryption differs are told so at once", async (context) => {
  const [a, b] = [await join(context), await join(context, { encryption: "none" })];
  const view = viewOf(1, [a, b]);
  const waiting = failure(a.links.ensure(view, 0, 500));
  const refused = await failure(b.links.ensure(view, 1, LIMIT_MS));
  assert.is(refused.code, "ERR_UNREACHABLE");
  assert.match(refused.message, /use "aes-256-gcm", not "none"/);
  await waiting;
});

test("a later epoch ends an earlier call; an impossible view is refused", async (context) => {
  const [a, b] = [await join(context), await join(context)];
  const alone = failure(a.links.ensure(viewOf(4, [a, b]), 0, LIMIT_MS));
  checkMesh([a, b], await ensureAll(5, [a, b]));
  assert.is((await alone).code, "ERR_ABORTED");
  const impossible: [LinkView, number][] = [
    [viewOf(4, [a, b]), 0],
    [viewOf(6, [a, b]), 1],
    [viewOf(6, [a, a]), 0],
    [viewOf(5, [b, a]), 1],
  ];
  for (const [view, rank] of impossible) {
    assert.is((await failure(a.links.ensure(view, rank, LIMIT_MS))).code, "ERR_INVALID_ARGUMENT");
  }
});

test("the signal and close end a call", async (context) => {
  const [a, b] = [await join(context), await join(context)];
  const controller = new AbortController();
  const reason = new GradmeshError("ERR_ABORTED", "enough");
  const aborted = failure(a.links.ensure(viewOf(1, [a, b]), 0, LIMIT_MS, controller.signal));
  controller.abort(reason);
  assert.is(await aborted, reason);
  const closed = failure(a.links.ensure(viewOf(2, [a, b]), 0, LIMIT_MS));
  await a.links.close();
  assert.is((await closed).code, "ERR_CLOSED");
  assert.is((await failure(a.links.ensure(viewOf(3, [a, b]), 0, LIMIT_MS))).code, "ERR_CLOSED");
});

test("a link has the sockets that its dialer asks for, by the round trip unless it says how many", async (context) => {
  const [a, b] = [await join(context), await join(context, { streams: 7 })];
  const [links] = await ensureAll(1, [a, b]);
  assert.is(a.endpoint.streams(links![1]!).streams, 7);
  assert.equal([...a.links.open().values()], [{ ...[...a.links.open().values()][0]!, streams: 7 }]);
});

test("a member that cannot be dialed is reached by a connection that it opens", async (context) => {
  const members = [await join(context, { turnAfterMs: 50 }), await join(context), await join(context)];
  // Its bulk port alone is closed: the higher ranks still say hello.
  members[0]!.endpoint.blocked = true;
  checkMesh(members, await ensureAll(1, members));
  // Said beforehand, nobody tries in vain.
  members[1]!.endpoint.blocked = true;
  const view = viewOf(2, [members[1]!, members[2]!]);
  const told = {
    ...view,
    members: view.members.map((member, rank) =>
      rank === 0 ? { ...member, addresses: [], dialable: false } : member,
    ),
  };
  for (const { links } of members.slice(1))
    for (const { link } of links.open().values()) members[1]!.endpoint.closeLink(link);
  const linked = await Promise.all(
    members.slice(1).map(({ links }, rank) => links.ensure(told, rank, LIMIT_MS)),
  );
  checkMesh(members.slice(1), linked);
});

test("two members that nobody can dial are both named, with the cure", async (context) => {
  const [a, b] = [await join(context), await join(context)];
  const view = viewOf(1, [a, b]);
  const told = { ...view, members: view.members.map((member) => ({ ...member, dialable: false })) };
  const errors = await Promise.all(
    [a, b].map(({ links }, rank) => failure(links.ensure(told, rank, LIMIT_MS))),
  );
  for (const error of errors) {
    assert.is(error.code, "ERR_UNREACHABLE");
    for (const { host } of [a, b]) assert.ok(error.message.includes(host.peerId));
    assert.match(error.message, /forward a TCP port .* relay/);
  }
});

test("members that greet each other at the same time make one link", async (context) => {
  const members = [
    await join(context, { turnAfterMs: 0 }),
    await join(context, { turnAfterMs: 0 }),
    await join(context, { turnAfterMs: 0 }),
    await join(context, { turnAfterMs: 0 }),
  ];
  for (let epoch = 1; epoch <= 5; epoch += 1) {
    const all = await ensureAll(epoch, members);
    checkMesh(members, all);
    // Anew in the next epoch.
    for (const [rank, { endpoint }] of members.entries())
      for (const link of all[rank]!) if (link >= 0) endpoint.closeLink(link);
  }
});

test("a view of one member needs no link", async (context) => {
  const a = await join(context);
  assert.equal(await ensureAll(1, [a]), [Int32Array.of(-1)]);
});

test.run();
