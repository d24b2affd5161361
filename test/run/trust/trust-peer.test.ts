/** A peer that is not taken into a verified run leaves nothing behind that listens. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../../lib/base/errors.js";
import type { LiveView } from "../../../lib/group/member.js";
import { newAccount, newUnit } from "../../../lib/ledger/rules/lookup.js";
import type { LedgerState, RoundState } from "../../../lib/ledger/rules/state.js";
import { peerIdOfAccount } from "../../../lib/ledger/sign.js";
import type { Host } from "../../../lib/peer/host.js";
import { parseConfig } from "../../../lib/run/config.js";
import { Replica } from "../../../lib/run/replica.js";
import { PROOF_PROTOCOL } from "../../../lib/run/trust/proof-protocol.js";
import { TrustPeer, type TrustPeerOptions } from "../../../lib/run/trust/trust-peer.js";
import type { Trainer } from "../../../lib/trainer/trainer.js";
import { failure } from "../../failure.js";
import { fakeLedger, refusal } from "./fake-ledger.js";

const account = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/** A replica of a verified run's smallest model, and the run's config. */
async function replicaIn(folder: string) {
  const data = join(folder, "text.txt");
  await writeFile(data, "call me ishmael. ".repeat(200));
  const options = { data, layers: 1, width: 8, heads: 1, context: 4, batch: 1 };
  const strategy = { name: "diloco", innerSteps: 2, aggregate: { rule: "mean" } };
  const config = parseConfig({ peersMax: 2, trainer: { options }, strategy, trust: { verify: true } });
  return { config, replica: await Replica.create({ config, shard: 0, threads: 1, folder }) };
}

test("a peer that is fined below the stake bonds it again, as long as it is in the run", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-trust-peer-"));
  const { config, replica } = await replicaIn(folder);
  const own = { ...newAccount(account), registered: true, free: 500n, bonded: 1000n };
  const { ledger, submitted, changed } = fakeLedger(account, { accounts: new Map([[account, own]]) });
  const host = {
    peerId: peerIdOfAccount(account),
    handle: async () => {},
    unhandle: async () => {},
  } as unknown as Host;
  const joining: TrustPeerOptions = {
    ...{ ledger, config, host, device: "cpu", threads: 1, emit: () => {}, cheat: null },
    makeTrainer: async () => assert.unreachable("it is registered") as never,
  };
  const peer = await TrustPeer.join(joining, replica, new AbortController().signal);
  assert.equal(submitted, []);
  own.bonded = 989n;
  changed();
  assert.equal(submitted, [{ kind: "Bonded", amount: 11n }]);
  await peer.close();
  own.bonded = 900n;
  changed();
  assert.is(submitted.length, 1);
  await replica.close();
  await rm(folder, { recursive: true });
});

test("a peer whose registration fails, or whose stake is refused, frees what it had opened", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-trust-peer-"));
  const { config, replica } = await replicaIn(folder);
  const broken = new GradmeshError("ERR_TRAINER", "its data cannot be read");
  const own = { ...newAccount(account), registered: true, free: 1000n };
  for (const [known, code] of [
    [[], "ERR_TRAINER"],
    [[[account, own]], "ERR_LEDGER"],
  ] as const) {
    const { ledger, listeners } = fakeLedger(account, { accounts: new Map(known) }, (event) => {
      throw refusal(event);
    });
    const handled = new Set<string>();
    const host = {
      peerId: peerIdOfAccount(account),
      handle: async (protocol: string) => void handled.add(protocol),
      unhandle: async (protocol: string) => void handled.delete(protocol),
    } as unknown as Host;
    const join: TrustPeerOptions = {
      ledger,
      config,
      host,
      device: "cpu",
      threads: 1,
      makeTrainer: async () => {
        assert.ok(handled.has(PROOF_PROTOCOL) && listeners.size === 1);
        throw broken;
      },
      emit: () => {},
      cheat: null,
    };
    const error = await failure(TrustPeer.join(join, replica, new AbortController().signal));
    assert.is(error.code, code);
    assert.is(handled.size, 0, "nobody can ask it any more");
    assert.is(listeners.size, 0, "it hears of no record any more");
  }
  await replica.close();
  await rm(folder, { recursive: true });
});

test("the trainer that fresh inner state comes from is closed, also where it does not fit", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-trust-peer-"));
  for (const fits of [true, false]) {
    const { config, replica } = await replicaIn(folder);
    const unit = newUnit(account, { ratePpm: 0, ownStake: 1n, commission: 0, delegators: [] });
    const opened = { round: 0, beacon: "11".repeat(32), phase: "commit", units: new Map([[account, unit]]) };
    const own = { ...newAccount(account), registered: true, bonded: 1000n, inner: "22".repeat(32) };
    const { ledger } = fakeLedger(account, {
      accounts: new Map([[account, own]]),
      rounds: new Map([[0, opened as unknown as RoundState]]),
      nextRound: 1,
      // No inner state that this peer could have goes on from the ledger's.
      terms: { firstRound: 0, inner: "33".repeat(32) } as LedgerState["terms"],
    });
    const host = {
      peerId: peerIdOfAccount(account),
      handle: async () => {},
      unhandle: async () => {},
    } as unknown as Host;
    const { innerState } = replica.engine.trainer;
    let closed = 0;
    const fresh = {
      innerState: fits ? innerState.map(({ data }) => ({ data: data.map(() => 7) })) : [],
      close: () => {
        closed += 1;
      },
    } as unknown as Trainer;
    const joining: TrustPeerOptions = {
      ...{ ledger, config, host, device: "cpu", threads: 1, emit: () => {}, cheat: null },
      makeTrainer: async () => fresh,
    };
    const peer = await TrustPeer.join(joining, replica, new AbortController().signal);
    const view = { round: 0, members: [], signal: new AbortController().signal } as unknown as LiveView;
    const done = await peer.rounds.open(view).then(
      () => true,
      () => false,
    );
    assert.is(done, fits);
    assert.is(closed, 1);
    assert.is(
      innerState.every(({ data }) => data.every((value) => value === 7)),
      fits,
    );
    await peer.close();
    await replica.close();
  }
  await rm(folder, { recursive: true });
});

test.run();
