/** A peer that is away for a moment, or whose channel is lost, is asked again; what it says, and the asker's own trouble, end it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ErrorCode, GradmeshError } from "../../../lib/base/errors.js";
import type { Channel } from "../../../lib/peer/channel.js";
import { showedNothing } from "../../../lib/run/trust/proof-client.js";
import { failure } from "../../failure.js";
import { bytesOf, clientOfTries, openingOf, serverOf, unit, worker } from "./proof-world.js";

const asked = { round: 7, transition: 5, unit };
const hangsUp = (channel: Channel) => channel.close();
const away = (code: ErrorCode) => new GradmeshError(code, "nobody is there");

test("dials that fail and channels that close early are tried again within the time of the question", async () => {
  const server = serverOf();
  const answers = (channel: Channel) => server.serve(channel);
  for (const met of [away("ERR_UNREACHABLE"), away("ERR_PROTOCOL"), away("ERR_INVALID_ARGUMENT"), hangsUp]) {
    const { client, tries } = clientOfTries([met, hangsUp, met, answers]);
    const { state } = await client.transition(worker, asked);
    assert.is(tries(), 4);
    assert.ok(bytesOf(state.parameters).equals(bytesOf(openingOf(5).state.parameters)));
  }
});

test("a worker that is stopping and starts again is asked again", async () => {
  const stopping = serverOf();
  stopping.close();
  const server = serverOf();
  const { client, tries } = clientOfTries([(c) => stopping.serve(c), (c) => server.serve(c)]);
  await client.transition(worker, asked);
  assert.is(tries(), 2);
});

test("who stays away has shown nothing when the time is up, and the error says what the last try met", async () => {
  const { client, tries } = clientOfTries([away("ERR_UNREACHABLE")], { limitMs: 200 });
  const error = await failure(client.transition(worker, asked));
  assert.is(error.code, "ERR_TIMEOUT");
  assert.match(error.message, /a proof of worker took longer than 200 ms; the last try: nobody is there/);
  assert.ok(showedNothing(error));
  assert.ok(tries() > 1 && tries() < 10, `${tries()} tries, each after a longer pause`);
});

test("the asker's own trouble is not asked about again, nor taken for the other's silence", async () => {
  for (const code of ["ERR_CLOSED", "ERR_INTERNAL", "ERR_IO"] as const) {
    const { client, tries } = clientOfTries([away(code)]);
    const error = await failure(client.transition(worker, asked));
    assert.is(error.code, code);
    assert.is(tries(), 1);
    assert.not(showedNothing(error));
  }
});

test("a refusal is the other's, whichever code it gives", async () => {
  const refuses = async (channel: Channel) => {
    await channel.send({ type: "refused", code: "ERR_INTERNAL", reason: "not today", retryMs: null });
    await channel.close();
  };
  const { client, tries } = clientOfTries([refuses]);
  const error = await failure(client.transition(worker, asked));
  assert.match(error.message, /worker refuses: not today/);
  assert.is(tries(), 1);
  assert.ok(showedNothing(error));
});

test.run();
