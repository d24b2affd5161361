/** The matrix of links: what is kept, how it is rounded, how it travels with views, and how a prober fills it. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock, type ManualClock } from "../../lib/base/clock.js";
import { addMeasured, coarse, keepKnown, type LinkRecord, matrixOf } from "../../lib/group/link-matrix.js";
import { createProber, type LinkNews, owedMs } from "../../lib/group/link-prober.js";
import type { LinkBurst } from "../../lib/group/links.js";
import { fewestStreams, streamsFor, streamTrials } from "../../lib/group/streams.js";
import { started } from "./machine.js";

const empty: LinkRecord = new Map();

test("a measurement replaces the one before, a peer's own is none, strangers are forgotten", () => {
  const link = (peerId: string, bytesPerSecond: number) => ({ peerId, bytesPerSecond, seconds: 0.5 });
  let record = addMeasured(empty, "A", [link("B", 1), link("A", 9)]);
  record = addMeasured(record, "A", [link("B", 2), link("C", 3)]);
  assert.equal([...record.get("A")!.keys()], ["B", "C"]);
  assert.equal(record.get("A")!.get("B"), { bytesPerSecond: 2, seconds: 0.5 });
  assert.equal(empty.size, 0);
  record = keepKnown(addMeasured(record, "C", [link("A", 1)]), (peer) => peer !== "C");
  assert.equal([[...record.keys()], [...record.get("A")!.keys()]], [["A"], ["B"]]);
  assert.is(matrixOf(record, ["B", "C"]), null);
  assert.equal(matrixOf(record, ["B", "A"]), { bytesPerSecond: [0, 0, 2, 0], seconds: [0, 0, 0.5, 0] });
});

const rate = fc.double({ min: 1e-6, max: 1e12, noNaN: true });

test("rounding is monotonic, idempotent and at most an eighth of an octave", () => {
  fc.assert(
    fc.property(rate, rate, (a, b) => {
      if (a <= b) assert.ok(coarse(a) <= coarse(b));
      assert.ok(Math.abs(coarse(a) - a) <= a / 8);
      assert.is(coarse(coarse(a)), coarse(a));
    }),
  );
  assert.is(coarse(0), 0);
});

test("the coordinator tells every member of a view the same matrix, in rank order", () => {
  const machine = started(["A", "B", "C"]);
  assert.is(machine.viewOf("A").links, null);
  machine.say("A", { type: "links", measured: [{ peerId: "C", bytesPerSecond: 1024, seconds: 0.25 }] });
  machine.say("C", { type: "links", measured: [{ peerId: "B", bytesPerSecond: 2048, seconds: 0.5 }] });
  machine.round();
  machine.running();
  assert.equal(machine.viewOf("B").links, {
    bytesPerSecond: [0, 0, 1024, 0, 0, 0, 0, 2048, 0],
    seconds: [0, 0, 0.25, 0, 0, 0, 0, 0.5, 0],
  });
});

test("peers that the run does not know take no place in the matrix", () => {
  const machine = started(["A", "B", "C"]);
  const link = (peerId: string) => ({ peerId, bytesPerSecond: 1, seconds: 0 });
  for (let stranger = 0; stranger < 100; stranger += 1)
    machine.say("A", { type: "links", measured: [link(`stranger-${stranger}`), link("B")] });
  assert.equal([...machine.state.links.get("A")!.keys()], ["B"]);
});

test("streams: by the round trip or as told, and the fewest within 5 % of the best", () => {
  assert.equal(
    [0.2, 4.9, 5, 14, 15, 39, 40, 300].map((ms) => streamsFor("auto", ms)),
    [1, 1, 2, 2, 4, 4, 8, 8],
  );
  assert.equal([streamsFor(3, 100), streamsFor(99, 1)], [3, 16]);
  assert.equal([streamTrials(1), streamTrials(6), streamTrials(8)], [[1], [1, 2, 4, 6], [1, 2, 4, 8]]);
  const rates = (...list: number[]) =>
    list.map((bytesPerSecond, at) => ({ streams: 2 ** at, bytesPerSecond }));
  assert.is(fewestStreams(rates(100, 180, 196, 200)), 4);
  assert.is(fewestStreams(rates(100, 100, 90)), 1);
});

interface Probed extends LinkBurst {
  link: number;
  at: number;
}

/** A prober over links of so many bytes per second for each stream, until a limit. */
function makeProber(
  links: Map<string, { link: number; streams: number }>,
  share = 0.01,
  /** How long a probe takes on the clock. */
  probeMs = 0,
) {
  const clock = createManualClock();
  const probes: Probed[] = [];
  const used = new Map<number, number>();
  const news: LinkNews[] = [];
  const rate = (streams: number) => Math.min(25e6, 10e6 * streams);
  const prober = createProber({
    self: "B",
    links: () => links,
    clock,
    share,
    endpoint: {
      async probe(link, burst, signal) {
        signal?.throwIfAborted();
        probes.push({ link, at: clock.now(), ...burst });
        if (probeMs > 0) await clock.sleep(probeMs, signal);
        const bytesPerSecond = rate(burst.streams);
        return { roundTripSeconds: 0.1, medianSeconds: 0.1, bytesPerSecond, bytesArrived: burst.bytes };
      },
      use: async (link, streams) => void used.set(link, streams),
    },
    report: (one) => void news.push(one),
  });
  return { prober, clock, probes, used, news };
}

/** Lets the time pass in steps, and whoever waits go on. */
async function pass(clock: ManualClock, milliseconds: number, step = 1000): Promise<void> {
  for (let left = milliseconds; left > 0; left -= step) {
    clock.advance(step);
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
  }
}

test("each new link is probed at once with 1, 2, 4, .. streams, and the fewest good ones are used", async () => {
  const links = new Map(["A", "C", "D"].map((id, at) => [id, { link: at + 1, streams: 4 }]));
  const { prober, clock, probes, used, news } = makeProber(links);
  prober.resume();
  await pass(clock, 1000);
  assert.equal(
    news.map(({ peerId }) => peerId),
    ["C", "D", "A"],
    "those behind its own id first",
  );
  assert.equal([...used.values()], [4, 4, 4]);
  assert.equal([news[0]!.bytesPerSecond, news[0]!.seconds, news[0]!.streamsUsed], [25e6, 0.05, 4]);
  const first = probes.filter(({ link }) => link === 2);
  assert.equal([...new Set(first.map(({ streams }) => streams))], [1, 2, 4]);
  assert.ok(
    first.every(({ bytes }, at) => at === 0 || bytes >= first[at - 1]!.bytes),
    "bursts grow until one tells the rate",
  );
  prober.close();
});

test("over time probes take no more than the share of a link, and stop while the links are needed", async () => {
  const links = new Map([["A", { link: 1, streams: 1 }]]);
  const { prober, clock, probes } = makeProber(links);
  prober.resume();
  await pass(clock, 3_600_000);
  const bytes = probes.reduce((sum, probe) => sum + probe.bytes, 0);
  assert.ok(probes.length > 10, "it measures again");
  assert.ok(bytes <= 0.01 * 10e6 * 3600 + probes[0]!.bytes * 4 ** 3);
  for (const [at, probe] of probes.slice(0, -1).entries()) {
    const next = probes[at + 1]!;
    // Within one measurement bursts follow each other; what they owe is waited for after it.
    if (next.at > probe.at) assert.ok(next.at - probe.at >= owedMs(probe.bytes / 10e3, 0.01) - 1000);
  }
  prober.pause();
  const before = probes.length;
  await pass(clock, 600_000);
  assert.is(probes.length, before);
  prober.resume();
  links.set("A", { link: 2, streams: 1 });
  await pass(clock, 2000);
  assert.ok(
    probes.slice(before).some(({ link }) => link === 2),
    "a link that was made anew is new",
  );
  prober.close();
});

test("a probe that is cut short counts too, and is not tried again at once", async () => {
  const { prober, clock, probes } = makeProber(new Map([["A", { link: 1, streams: 1 }]]), 0.01, 400);
  for (let round = 0; round < 15; round += 1) {
    prober.resume();
    await pass(clock, 200, 200);
    prober.pause();
    await pass(clock, 1000, 200);
  }
  assert.is(probes.length, 1, "200 ms of the link owe 20 s");
});

test("a link that is made again and again is not measured each time", async () => {
  const links = new Map([["A", { link: 1, streams: 1 }]]);
  const { prober, clock, probes } = makeProber(links);
  prober.resume();
  await pass(clock, 2000);
  const first = probes.length;
  for (let link = 2; link < 12; link += 1) {
    links.delete("A");
    await pass(clock, 1000);
    links.set("A", { link, streams: 1 });
    // As the rounds do, which let it look at once.
    prober.pause();
    prober.resume();
    await pass(clock, 1000);
  }
  assert.is(probes.length, first, "what the first measurement owes is not over");
  await pass(clock, 3_600_000);
  assert.is(probes[first]!.link, 11);
  prober.close();
});

test("a probe that fails at once is not tried again at once", async () => {
  const clock = createManualClock();
  let probes = 0;
  const prober = createProber({
    self: "B",
    links: () => new Map([["A", { link: 1, streams: 1 }]]),
    clock,
    share: 0.01,
    endpoint: {
      probe: async () => {
        probes += 1;
        if (probes > 100) prober.close();
        throw new Error("the link has ended");
      },
      use: async () => {},
    },
    report: () => assert.unreachable(),
  });
  prober.resume();
  await pass(clock, 10_000);
  prober.close();
  assert.ok(probes > 1 && probes <= 11, `${probes} probes in 10 s`);
});

test("a share of 0 measures nothing", async () => {
  const { prober, clock, probes } = makeProber(new Map([["A", { link: 1, streams: 1 }]]), 0);
  prober.resume();
  await pass(clock, 5000);
  assert.is(probes.length, 0);
});

test.run();
