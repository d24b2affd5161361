/**
 * A verified run that is made up in this process, without network or chance: real trainers, engines, units and signed records
 * in a real ledger, and its peers come, go and fail when the test says so. The same calls give the same ledger.
 */
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ed25519 } from "@noble/curves/ed25519.js";
import { Contributed } from "../../lib/engine/contributed.js";
import { Engine } from "../../lib/engine/engine.js";
import { LocalGroup } from "../../lib/gym/group.js";
import { checkEqual, exchangeAll } from "../../lib/gym/lockstep.js";
import { beaconInput, dataSeed } from "../../lib/ledger/draw.js";
import type { EventBody, Hash, LedgerEvent } from "../../lib/ledger/events.js";
import { Sequencer } from "../../lib/ledger/ledger.js";
import { nonceOf, runRules } from "../../lib/ledger/rules/apply.js";
import type { Effect } from "../../lib/ledger/rules/effect.js";
import { type LedgerState, POOL, type RoundState } from "../../lib/ledger/rules/state.js";
import { peerIdOfAccount, type Signer, signEvent } from "../../lib/ledger/sign.js";
import { vrfProve } from "../../lib/ledger/vrf.js";
import { native } from "../../lib/native/load.js";
import type { CheatPlan } from "../../lib/run/cheat.js";
import { parseConfig, type RunConfig, runRecipe } from "../../lib/run/config.js";
import { createTrainer, freshDigests, runFingerprint } from "../../lib/run/replica.js";
import { emptyResult } from "../../lib/run/trust/standing.js";
import { peerCapabilities, termsOf } from "../../lib/run/trust/terms.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import { loadState, tensorsOf } from "../../lib/verify/state.js";
import { commitmentOf, UnitRecorder } from "../../lib/verify/unit.js";
import { sampleText, tinyConfig } from "../e2e/run.js";

export const STEPS = 4;
/** What each peer is given to put at stake. */
const GRANT = 10_000n;

interface Key extends Signer {
  readonly secret: string;
}

interface MadePeer {
  readonly key: Key;
  readonly shard: number;
  readonly engine: Engine;
}

/** Of a round: what came of a peer's inner steps. */
type Work = Omit<EventBody<"WorkRevealed">, "kind" | "round">;

const hashOf = (text: string): Hash => createHash("sha256").update(text).digest("hex");

function keyOf(name: string): Key {
  const secret = hashOf(`secret of ${name}`);
  const seed = Buffer.from(secret, "hex");
  const account = Buffer.from(ed25519.getPublicKey(seed)).toString("hex");
  return { secret, account, sign: (bytes) => Buffer.from(ed25519.sign(bytes, seed)) };
}

function configOf(folder: string): RunConfig {
  const tiny = tinyConfig(join(folder, "text.txt"));
  const module = fileURLToPath(new URL("./counted-trainer.js", import.meta.url));
  return parseConfig({
    ...tiny,
    trainer: { ...tiny.trainer, module },
    strategy: { name: "diloco", innerSteps: STEPS, aggregate: { rule: "mean" } },
    // So seldom that nobody is drawn to check anything.
    trust: { verify: true, rate: 0.000_001 },
    checkpoint: { everyRounds: 0 },
  });
}

export class MadeRun {
  readonly config: RunConfig;
  /** Of the ledger. */
  readonly path: string;
  /** After each round that was closed: the digest of the peers' state. */
  readonly states: Hash[] = [];
  readonly #sequencer: Sequencer<LedgerState, Effect>;
  readonly #peers = new Map<string, MadePeer>();
  readonly #contributed: Contributed;
  /** What peers share between two rounds. */
  #shared: readonly Float32Array[] = [];
  #round = 0;

  private constructor(config: RunConfig, path: string, genesis: EventBody<"RunCreated">, elements: number) {
    const { seed, rounds } = config;
    this.config = config;
    this.path = path;
    let time = 1_700_000_000_000;
    const clock = { wall: () => time++ };
    const signer = keyOf("submitter");
    this.#sequencer = Sequencer.open({ path, signer, clock, rules: runRules, genesis, threads: 0 });
    const strategies = createStrategies(config.strategy);
    this.#contributed = new Contributed({ strategies, seed, steps: rounds * STEPS, elements, threads: 1 });
  }

  static async create(folder: string, name: string): Promise<MadeRun> {
    await writeFile(join(folder, "text.txt"), sampleText());
    const config = configOf(folder);
    const recipe = runRecipe(config, await runFingerprint(config, folder));
    const genesis = termsOf(config, recipe, 0, await freshDigests(config, folder));
    const trainer = await createTrainer({ config, shard: 0, threads: 1, folder }, []);
    const { elements } = trainer.layout;
    trainer.close();
    const run = new MadeRun(config, join(folder, `${name}.sqlite`), genesis, elements);
    await run.#sequencer.append({ kind: "Deposited", account: POOL, amount: 1_000_000n });
    return run;
  }

  account(name: string): string {
    return this.#peer(name).key.account;
  }

  #peer(name: string): MadePeer {
    const peer = this.#peers.get(name);
    if (peer === undefined) throw new Error(`no peer ${name} is there`);
    return peer;
  }

  async #say(key: Key, event: LedgerEvent): Promise<void> {
    const { ledgerId, state } = this.#sequencer;
    const nonce = nonceOf(state, key.account) + 1n;
    await this.#sequencer.submit(signEvent(key, ledgerId, nonce, event));
  }

  /** A new process of the peer, with a fresh inner optimizer; one whose account is new lays down its stake. */
  async start(name: string, shard: number, cheat: CheatPlan | null = null): Promise<void> {
    const key = keyOf(name);
    if (!this.#sequencer.state.accounts.has(key.account)) {
      await this.#sequencer.append({ kind: "Deposited", account: key.account, amount: GRANT });
      const about = { capabilities: peerCapabilities, commission: 0, entry: POOL, name };
      await this.#say(key, { kind: "Registered", ...about });
      await this.#say(key, { kind: "Bonded", amount: this.#sequencer.state.terms!.stakeMin });
    }
    const strategies = createStrategies(this.config.strategy);
    const options = { config: this.config, shard, threads: 1, folder: process.cwd(), cheat };
    const trainer = await createTrainer(options, strategies);
    const engine = await Engine.create({ trainer, strategies, seed: this.config.seed, threads: 1 });
    if (this.#shared.length === 0) this.#share(engine);
    await this.#adopt(engine);
    await this.#peers.get(name)?.engine.close();
    this.#peers.set(name, { key, shard, engine });
  }

  /** The peer goes on with another shard, and with the inner optimizer that it has. */
  async move(name: string, shard: number): Promise<void> {
    const { inner } = tensorsOf(this.#peer(name).engine.trainer);
    const kept = inner.map((tensor) => tensor.slice());
    await this.start(name, shard);
    const { trainer } = this.#peer(name).engine;
    loadState(trainer, { parameters: trainer.parameters, inner: kept });
  }

  #share({ shared }: Engine): void {
    this.#shared = shared.map(({ data }) => data.slice());
  }

  async #adopt(engine: Engine): Promise<void> {
    await engine.adopt(this.#round, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(this.#shared[index]!);
    });
  }

  async #open(names: readonly string[]): Promise<RoundState> {
    const { state, ledgerId } = this.#sequencer;
    const { leader, beacon } = state;
    const round = this.#round;
    const peers = names.map((name) => this.#peer(name));
    const workers = peers.map(({ key }) => key.account);
    const shards = Buffer.from(peers.map(({ shard }) => shard)).toString("hex");
    const lead = peers.find(({ key }) => key.account === leader)?.key;
    if (lead === undefined) await this.#sequencer.append({ kind: "RoundSkipped", round, workers, shards });
    else {
      const proof = vrfProve(lead.secret, beaconInput(ledgerId, beacon, round));
      await this.#say(lead, { kind: "RoundOpened", round, proof, workers, shards });
    }
    return state.rounds.get(round)!;
  }

  /** The peer's inner steps, and its commitment to them. */
  async #work(name: string, { beacon, round }: RoundState): Promise<Work> {
    const { key, engine, shard } = this.#peer(name);
    const recorder = new UnitRecorder(engine.trainer, STEPS);
    const draw = (step: number) => dataSeed(beacon, key.account, step);
    engine.watch({ draw, stepped: (step) => recorder.stepped(step) });
    await recorder.begin(round * STEPS, draw);
    const before = engine.trainer.parameters.slice();
    await engine.train();
    const parameters = { before, after: engine.trainer.parameters };
    const decoded = await this.#contributed.decoded(parameters, (round + 1) * STEPS, shard);
    const unit = await recorder.close(await native.digest([decoded]));
    const work = {
      root: unit.root,
      before: unit.before,
      after: unit.after,
      inner: unit.beforeParts.inner,
      parametersAfter: unit.afterParts.parameters,
      innerAfter: unit.afterParts.inner,
      contribution: unit.contribution,
      salt: hashOf(`salt of ${name} in ${beacon}`),
    };
    const { ledgerId } = this.#sequencer;
    const commitment = commitmentOf({ ledgerId, round, author: key.account, ...work });
    await this.#say(key, { kind: "WorkCommitted", round, commitment });
    return work;
  }

  /** All of them have revealed their work, and nothing of it is drawn to be checked. */
  async #accepted(names: readonly string[]): Promise<void> {
    const opened = await this.#open(names);
    const works: [string, Work][] = [];
    for (const name of names) works.push([name, await this.#work(name, opened)]);
    for (const [name, work] of works) await this.#say(this.#peer(name).key, this.#reveal(work));
  }

  /** A round that the sequencer closes with nobody's work, though all of it is accepted. */
  async droppedRound(names: readonly string[]): Promise<void> {
    await this.#accepted(names);
    const round = this.#round;
    this.#round += 1;
    const engines = names.map((name) => this.#peer(name).engine);
    for (const engine of engines) await this.#adopt(engine);
    const [first] = engines as [Engine];
    const state = await first.digest();
    const parameters = await native.digest([first.trainer.parameters]);
    const result = emptyResult(round);
    await this.#sequencer.append({ kind: "RoundClosed", round, result, state, parameters, aggregated: [] });
    this.states.push(state);
  }

  /** A whole round. @param gone are lost once all have revealed. */
  async round(names: readonly string[], gone: readonly string[] = []): Promise<void> {
    await this.#accepted(names);
    for (const name of gone) await this.#lose(name);
    await this.#close(names.filter((name) => !gone.includes(name)));
  }

  /** A round to which everybody is lost, some after they have revealed. */
  async voidRound(names: readonly string[], revealing: readonly string[]): Promise<void> {
    const opened = await this.#open(names);
    for (const name of names) if (!revealing.includes(name)) await this.#lose(name);
    const works: [string, Work][] = [];
    for (const name of revealing) works.push([name, await this.#work(name, opened)]);
    for (const [name, work] of works) await this.#say(this.#peer(name).key, this.#reveal(work));
    for (const name of revealing) await this.#lose(name);
    const { parameters } = this.#sequencer.state;
    const nothing = { result: POOL, state: POOL, parameters, aggregated: [] };
    await this.#sequencer.append({ kind: "RoundClosed", round: this.#round, ...nothing });
    for (const name of revealing) await this.#adopt(this.#peer(name).engine);
  }

  #reveal(work: Work): LedgerEvent {
    return { kind: "WorkRevealed", round: this.#round, ...work };
  }

  async #lose(name: string): Promise<void> {
    await this.#sequencer.append({ kind: "RoundLeft", round: this.#round, account: this.account(name) });
  }

  async #close(names: readonly string[]): Promise<void> {
    const round = this.#round;
    const members = names.map((name) => this.#peer(name));
    const engines = members.map(({ engine }) => engine);
    const view = {
      epoch: 0,
      members: members.map(({ key, shard, engine }) => ({
        peerId: peerIdOfAccount(key.account),
        shard,
        samples: engine.trainer.samples ?? 1,
      })),
      seed: this.config.seed,
      steps: this.config.rounds * STEPS,
      measures: {},
    };
    const group = new LocalGroup({ view, segmentElements: this.config.network.segmentElements });
    const outcomes = await exchangeAll(engines, group);
    group.close();
    checkEqual(outcomes, view.members);
    const result = await native.digest([...outcomes[0]!.results]);
    for (const engine of engines) await engine.apply();
    const [first] = engines as [Engine];
    const state = await first.digest();
    const parameters = await native.digest([first.trainer.parameters]);
    const aggregated = members.map(({ key }) => key.account);
    await this.#sequencer.append({ kind: "RoundClosed", round, result, state, parameters, aggregated });
    this.states.push(state);
    this.#round += 1;
    this.#share(first);
    for (const { engine } of this.#peers.values()) if (!engines.includes(engine)) await this.#adopt(engine);
  }

  async close(): Promise<void> {
    for (const { engine } of this.#peers.values()) await engine.close();
    this.#contributed.close();
    await this.#sequencer.close();
  }
}

/** Makes a run, closes it, and hands its ledger on; the folder is deleted after. */
export async function withMadeRun(
  make: (run: MadeRun) => Promise<void>,
  body: (run: MadeRun) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-made-"));
  try {
    const run = await MadeRun.create(folder, "ledger");
    try {
      await make(run);
    } finally {
      await run.close();
    }
    await body(run);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
