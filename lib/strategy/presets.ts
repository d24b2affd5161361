/** Named options that were searched for and measured: `{"preset": "frontier"}` in place of a strategy. One line each. */
import type { StrategyOptions } from "./section.js";

/** What a preset stands for, and why. Keys beside `preset` in a section change single options of it. */
export interface Preset {
  readonly doc: string;
  readonly options: StrategyOptions;
}

export const presets: Readonly<Record<string, Preset>> = {
  frontier: {
    doc: "1,000 times fewer bytes than ddp in fp32, both ways: 1 rotated bit up, 2 fed back ones down, every 50 steps",
    options: {
      name: "frontier",
      innerSteps: 50,
      codec: "eden:bits=1",
      downCodec: "eden:bits=2,scale=least",
      ownerFeedback: 1,
      outerLearningRate: 1,
      momentumStart: 0.85,
      momentumEnd: 0.85,
      settleRounds: 4,
    },
  },
  "frontier-5000": {
    doc: "5,000 times fewer bytes: 1 rotated bit up, 2 fed back ones down, every 250 steps",
    options: {
      name: "frontier",
      innerSteps: 250,
      codec: "eden:bits=1",
      downCodec: "eden:bits=2,scale=least",
      ownerFeedback: 1,
      outerLearningRate: 1,
      momentumStart: 0.7,
      momentumEnd: 0.7,
      settleRounds: 1,
    },
  },
};
