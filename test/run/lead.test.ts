/** The run's first peer: what it does when it can lead no longer. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { Journal } from "../../lib/group/journal.js";
import { GROUP_VERSION } from "../../lib/group/messages.js";
import { defaultRunSettings, startRecord } from "../../lib/group/record.js";
import type { Host } from "../../lib/peer/host.js";
import { lead } from "../../lib/run/lead.js";

const peerId = "12D3KooWS6J64vGpHegKnzn4a7MeA1frAC5y9RwsUmx6NAtaqUoN";
const host: Host = {
  peerId,
  advertiseHost: undefined,
  addresses: () => [`/ip4/127.0.0.1/tcp/1/p2p/${peerId}`],
  handle: async () => {},
  unhandle: async () => {},
  connect: () => Promise.reject(new Error("not here")),
  close: async () => {},
};

test("a journal that takes no more ends the lead at once with the journal's error", async () => {
  const charter = {
    runId: "run",
    recipeDigest: "recipe",
    config: {},
    settings: defaultRunSettings,
    ledgerId: null,
    start: { round: 0, stateDigest: null },
  };
  const full = new GradmeshError("ERR_IO", "the disk is full");
  const journal: Journal = {
    charter,
    secret: Buffer.alloc(16, 1).toString("base64url"),
    record: startRecord(charter),
    append(facts) {
      if (facts.length > 0) throw full;
    },
    facts: () => [],
    close: () => {},
  };
  const { promise: failure, resolve } = Promise.withResolvers<unknown>();
  const leading = await lead({ journal, host, trust: null, onFailure: resolve });
  const channel = leading.connect();
  // Its admission is the first fact.
  await channel.send({
    type: "hello",
    version: GROUP_VERSION,
    runId: "run",
    secret: journal.secret,
    recipeDigest: null,
    addresses: [],
    dialable: true,
    samples: 1,
    round: -1,
    stateDigest: null,
    pending: null,
    applied: null,
  });
  assert.is(await failure, full);
  await channel.closed;
  assert.is(await leading.close(), false);
});

test.run();
