/** A config of the gym that shows what it can do, and runs in a few minutes on two cores. */

const trainer = {
  module: "gpt",
  options: { layers: 2, width: 64, heads: 4, context: 64, batch: 8, warmupSteps: 20, totalSteps: 200 },
};

/** What `gradmesh gym --example` prints. */
export const exampleConfig = {
  name: "DiLoCo beside data parallel, on home lines",
  seeds: [1],
  defaults: {
    peers: [{ count: 4, link: "home-10mbit", secondsPerStep: 0.2 }],
    steps: 200,
    config: { trainer },
  },
  arms: [
    { name: "ddp", config: { strategy: { name: "ddp" } } },
    { name: "diloco", config: { strategy: { name: "diloco", innerSteps: 20, codec: "int8_block" } } },
    {
      name: "diloco-faults",
      peers: [
        { count: 3, link: "home-10mbit", secondsPerStep: 0.2, faults: { death: 0.1, returnRounds: 2 } },
        { count: 1, link: "mobile", secondsPerStep: 0.2, speed: 0.5, joinRound: 2, leaveRound: 8 },
      ],
      config: { strategy: { name: "diloco", innerSteps: 20, codec: "int8_block" } },
    },
  ],
} as const;
