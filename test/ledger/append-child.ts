/** A process that appends until it is killed, and says what was acknowledged: for kill.test.ts. */
import { writeSync } from "node:fs";
import { systemClock } from "../../lib/base/clock.js";
import { Sequencer } from "../../lib/ledger/ledger.js";
import { signEvent, signerOf } from "../../lib/ledger/sign.js";
import { loadIdentity } from "../../lib/peer/identity.js";
import { genesis, tinyRules } from "./tiny-rules.js";

const [path, keyFile] = process.argv.slice(2) as [string, string];
const signer = signerOf(await loadIdentity(keyFile));
const author = signerOf(await loadIdentity(`${keyFile}-author`));
const ledger = Sequencer.open({ path, signer, clock: systemClock, rules: tinyRules, genesis, threads: 0 });
writeSync(1, "open\n");

for (let nonce = tinyRules.nonceOf(ledger.state, author.account) + 1n; ; ) {
  // From one to many at a time, so that the kill meets transactions of every size.
  const events = Array.from({ length: 1 + Number(nonce % 40n) }, () =>
    signEvent(author, ledger.ledgerId, nonce++, {
      kind: "WorkCommitted",
      round: Number(nonce),
      commitment: "cd".repeat(32),
    }),
  );
  const receipts = await Promise.all(events.map((event) => ledger.submit(event)));
  const { seq, head } = receipts.at(-1)!;
  writeSync(1, `${seq} ${head.count} ${head.hash}\n`);
}
