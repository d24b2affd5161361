/**
 * The entry check: before a peer has a stake in a run, its machine shows that its bits are everyone's. It runs some of the
 * golden cases that ship, with other numbers than those that ship, and a few inner steps of the run's model; which cases,
 * numbers and data is drawn by ledger and account, so nobody can look the answer up or copy another's.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dataSeed } from "../../ledger/draw.js";
import type { Account, Hash } from "../../ledger/events.js";
import { native } from "../../native/load.js";
import type { Trainer } from "../../trainer/trainer.js";
import { stateDigest } from "../../verify/state.js";

/** Golden cases of an entry check: enough to meet most codecs and operators over a few peers, in about a second. */
const CASES = 24;
/** Inner steps of the run's model. */
export const ENTRY_STEPS = 2;
/** Draws below belong to steps, those from here on to golden cases. */
const FIRST_CASE_DRAW = 1024;
/** Elements of a case: the time of one is bounded. */
const ELEMENTS_MAX = 4096;

const vectorsUrl = new URL("../../../../test/vectors/", import.meta.url);

interface GoldenCase {
  readonly kind: "codec" | "op";
  readonly name: string;
  readonly elements: number;
}

async function goldenCases(): Promise<GoldenCase[]> {
  const lists = (["codec", "op"] as const).map(async (kind) => {
    const { cases } = JSON.parse(await readFile(new URL(`${kind}.json`, vectorsUrl), "utf8")) as {
      cases: { codec?: string; op?: string; elements: number }[];
    };
    return cases.map(({ codec, op, elements }) => ({ kind, name: codec ?? op ?? "", elements }));
  });
  return (await Promise.all(lists)).flat().filter(({ elements }) => elements <= ELEMENTS_MAX);
}

export interface EntryOptions {
  readonly ledgerId: Hash;
  readonly account: Account;
  /** A trainer of shard 0 as the run starts it; the check takes inner steps with it. */
  readonly trainer: Trainer;
  /** Where the account's inner steps run: "cpu", "cuda" or "cuda:<index>". */
  readonly device: string;
}

/** What the entry check comes to: the same on every machine whose bits are everyone's. */
export async function entryDigest({ ledgerId, account, trainer, device }: EntryOptions): Promise<Hash> {
  const digest = createHash("sha256").update("gradmesh-entry").update(ledgerId).update(account);
  const cases = await goldenCases();
  for (let index = 0; index < CASES; index += 1) {
    const seed = dataSeed(ledgerId, account, FIRST_CASE_DRAW + index);
    const { kind, name, elements } = cases[seed % cases.length]!;
    digest.update(await native.goldenRun(kind, name, elements, seed, device));
  }
  for (let step = 0; step < ENTRY_STEPS; step += 1)
    await trainer.step({ step, draw: dataSeed(ledgerId, account, step) });
  return digest.update(await stateDigest(trainer, ENTRY_STEPS)).digest("hex");
}
