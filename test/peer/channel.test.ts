/** What every channel does, over libp2p and in memory; and what only a real stream can suffer. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { Channel } from "../../lib/peer/channel.js";
import { MESSAGE_BYTES_MAX } from "../../lib/peer/channel.js";
import type { ChannelLimits } from "../../lib/peer/libp2p-channel.js";
import { channelPair } from "../../lib/peer/memory-channel.js";
import { hostPair, rawPair } from "./hosts.js";

interface Pair {
  left: Channel;
  right: Channel;
  end(): Promise<void>;
}

async function libp2pPair(): Promise<Pair> {
  const hosts = await hostPair();
  const [left, right] = await hosts.channels("/gradmesh/test/1");
  return { left, right, end: () => hosts.end() };
}

async function memoryPair(): Promise<Pair> {
  const [left, right] = channelPair();
  return { left, right, end: async () => {} };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return error instanceof GradmeshError ? error.code : String(error);
  }
  return "no error";
}

async function readAll(channel: Channel): Promise<unknown[]> {
  const messages: unknown[] = [];
  for await (const message of channel.messages()) messages.push(message);
  return messages;
}

for (const [kind, makePair] of Object.entries({ libp2p: libp2pPair, memory: memoryPair })) {
  const check = (name: string, body: (pair: Pair) => Promise<void>) =>
    test(`${kind}: ${name}`, async () => {
      const pair = await makePair();
      try {
        await body(pair);
      } finally {
        await pair.end();
      }
    });

  check("messages arrive in order both ways, then end", async ({ left, right }) => {
    const count = 1000;
    const send = async (channel: Channel) => {
      for (let index = 0; index < count; index += 1) await channel.send({ index, text: "x".repeat(index) });
    };
    const take = async (channel: Channel) => {
      const iterator = channel.messages()[Symbol.asyncIterator]();
      for (let index = 0; index < count; index += 1) {
        const { value } = await iterator.next();
        assert.is((value as { index: number }).index, index);
      }
    };
    await Promise.all([send(left), send(right), take(left), take(right)]);
    await left.close();
    await Promise.all([left.closed, right.closed]);
  });

  check("what was sent before a close arrives, also unread", async ({ left, right }) => {
    const sent = Promise.all([1, 2, 3].map((message) => left.send(message)));
    const closed = left.close();
    assert.equal(await readAll(right), [1, 2, 3]);
    await Promise.all([sent, closed, left.closed, right.closed]);
    assert.equal(await readAll(left), []);
  });

  check("a closed channel takes no message, and closing twice is nothing", async ({ left, right }) => {
    await left.close();
    await left.close();
    assert.is(await codeOf(left.send(1)), "ERR_CLOSED");
    await right.closed;
    assert.is(await codeOf(right.send(1)), "ERR_CLOSED");
  });

  check("leaving the iteration closes the channel", async ({ left, right }) => {
    await left.send(1);
    for await (const message of right.messages()) {
      assert.is(message, 1);
      break;
    }
    await left.closed;
  });

  check("messages may be iterated once", async ({ left }) => {
    left.messages();
    assert.throws(() => left.messages(), /once/);
  });

  check("a message that cannot be sent harms nothing", async ({ left, right }) => {
    assert.is(await codeOf(left.send("x".repeat(MESSAGE_BYTES_MAX))), "ERR_INVALID_ARGUMENT");
    await left.send("still here");
    await left.close();
    assert.equal(await readAll(right), ["still here"]);
  });

  check("a reader that is late slows the sender, and loses nothing", async ({ left, right }) => {
    const count = 600;
    const text = "x".repeat(20_000);
    let sent = 0;
    const sending = (async () => {
      for (; sent < count; sent += 1) await left.send({ sent, text });
    })();
    // The sender stops: the queue, the window and the socket are full, which is far below what it has to send.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(sent < count, `${sent} of ${count} messages were taken though nobody reads`);
    let received = 0;
    for await (const message of right.messages()) {
      assert.is((message as { sent: number }).sent, received);
      received += 1;
      if (received === count) break;
    }
    await sending;
    assert.is(received, count);
  });
}

async function withRaw(
  limits: Partial<ChannelLimits>,
  body: (pair: Awaited<ReturnType<typeof rawPair>>) => Promise<void>,
): Promise<void> {
  const pair = await rawPair(limits);
  try {
    await body(pair);
  } finally {
    await pair.end();
  }
}

test("a 4 GiB length closes the channel, and the connection serves on", () =>
  withRaw({}, async ({ stream, channel, again }) => {
    const before = process.memoryUsage().rss;
    stream.send(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2, 3));
    assert.is(await codeOf(readAll(channel)), "ERR_PROTOCOL");
    await channel.closed;
    assert.is(await codeOf(channel.send(1)), "ERR_CLOSED");
    assert.ok(process.memoryUsage().rss - before < 256e6);
    assert.ok(await again());
  }));

test("garbage closes the channel with ERR_PROTOCOL after the good messages", () =>
  withRaw({}, async ({ stream, channel, again }) => {
    stream.send(Uint8Array.of(0, 0, 0, 1, 7, 0, 0, 0, 2, 0xc1, 0xc1));
    const iterator = channel.messages()[Symbol.asyncIterator]();
    assert.equal(await iterator.next(), { value: 7, done: false });
    assert.is(await codeOf(iterator.next()), "ERR_PROTOCOL");
    await channel.closed;
    assert.ok(await again());
  }));

test("half a message and an orderly end is ERR_PROTOCOL; a loss is only an end", async () => {
  await withRaw({}, async ({ stream, channel }) => {
    stream.send(Uint8Array.of(0, 0, 0, 9, 1));
    await stream.close();
    assert.is(await codeOf(readAll(channel)), "ERR_PROTOCOL");
  });
  await withRaw({}, async ({ stream, channel }) => {
    stream.send(Uint8Array.of(0, 0, 0, 1, 7, 0, 0, 0, 9, 1));
    const iterator = channel.messages()[Symbol.asyncIterator]();
    assert.equal(await iterator.next(), { value: 7, done: false });
    stream.abort(new Error("lost"));
    assert.equal(await iterator.next(), { value: undefined, done: true });
  });
});

test("a sender is stopped when the other side never reads", () =>
  withRaw({ sendBytesMax: 1 << 20 }, async ({ channel }) => {
    const sends: Promise<string>[] = [];
    for (let index = 0; index < 40; index += 1) sends.push(codeOf(channel.send("x".repeat(100_000))));
    const codes = await Promise.all(sends);
    assert.ok(codes.includes("ERR_CLOSED"));
    await channel.closed;
  }));

test("closed resolves on a loss though the queue is full and nobody reads", () =>
  withRaw({ receiveMessagesMax: 2 }, async ({ stream, channel }) => {
    for (let index = 0; index < 10; index += 1) stream.send(Uint8Array.of(0, 0, 0, 1, index));
    await stream.close();
    await channel.closed;
    assert.equal(await readAll(channel), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  }));

test.run();
