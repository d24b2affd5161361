/** What a run's ledger is founded on: terms that the ledger takes, and that nobody can talk down. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseConfig } from "../../../lib/run/config.js";
import { termsOf } from "../../../lib/run/trust/terms.js";
import { hashOf, World } from "../../ledger/rules-world.js";

const fresh = { parameters: hashOf("parameters"), inner: hashOf("inner") };
const strategy = { aggregate: { rule: "mean" } };
const termsWith = (trust: Record<string, unknown>) =>
  termsOf(parseConfig({ strategy, trust: { verify: true, ...trust } }), hashOf("recipe"), 0, fresh);

test("no attestation lowers the rate of checks, as nobody checks attestations", () => {
  for (const rate of [0.000_001, 0.05, 0.4, 1]) {
    const terms = termsWith({ rate });
    assert.is(terms.sampleRate, Math.round(rate * 1_000_000));
    const world = new World(terms);
    const account = world.join("ada", terms.stakeMin, 0n);
    const credential = hashOf("anything");
    if (rate > 0.000_001)
      assert.match(
        world.refused(account, { kind: "CredentialAdded", credential, sampleRate: terms.sampleRate - 1 }),
        new RegExp(`allowed: ${terms.sampleRate} to ${terms.sampleRate}`),
      );
    world.do(account, { kind: "CredentialAdded", credential, sampleRate: terms.sampleRate });
    assert.is(world.own(account).credentialRate, terms.sampleRate);
  }
});

test.run();
