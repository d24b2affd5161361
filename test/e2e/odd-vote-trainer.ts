/** The GPT as a trainer of one's own, in whose process one peer votes for another result than it has. */
import { systemClock } from "../../lib/base/clock.js";
import { createMember, type Member } from "../../lib/group/member.js";
import { createTrainer as createGpt } from "../../lib/trainer/gpt.js";
import type { Trainer, TrainerContext } from "../../lib/trainer/trainer.js";

interface OddVoteOptions {
  gpt: unknown;
  /** The peer by the end of its folder's path, and the rounds, from 0, in which its first vote is odd. */
  odd: { folder: string; rounds: number[] };
}

let done = false;

/** Every member of this process votes oddly, the first time in each of the rounds. */
function voteOddly(rounds: readonly number[]): void {
  const left = new Set(rounds);
  const member = createMember({
    runId: "",
    secret: "",
    address: "nowhere",
    connect: () => new Promise(() => {}),
    standing: () => ({
      recipeDigest: null,
      addresses: [],
      dialable: false,
      samples: 1,
      round: -1,
      stateDigest: null,
    }),
    clock: systemClock,
    reconnectLimitMs: () => 0,
  });
  const prototype = Object.getPrototypeOf(member) as Member;
  void member.close();
  const { vote } = prototype;
  prototype.vote = function (said) {
    const isOdd = said.outcome === "done" && left.delete(said.round);
    vote.call(this, isOdd ? { ...said, resultDigest: "0".repeat(64) } : said);
  };
}

export async function createTrainer(context: TrainerContext): Promise<Trainer> {
  const { gpt, odd } = context.options as unknown as OddVoteOptions;
  if (!done && process.argv.some((argument) => argument.endsWith(odd.folder))) voteOddly(odd.rounds);
  done = true;
  return createGpt({ ...context, options: gpt });
}
