/**
 * Federated averaging (McMahan et al. 2016, arXiv 1602.05629): in each round a fraction of the peers trains on its own
 * data, and the shared parameters become the mean of theirs by samples. It is sent as the change since the round began,
 * which codecs suit and a server's learning rate scales; 1 is plain averaging.
 */
import { z } from "zod";
import { clientFields, clientsOf } from "./clients.js";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codingFields, codingOf, innerStepsField, nameField, numberField, routeOf } from "./fields.js";
import { plainRecipe } from "./recipe.js";
import { aggregateField, gatheringOf } from "./robust.js";

/** What all federated strategies take beside their name. */
export const federatedFields = {
  innerSteps: innerStepsField(20),
  ...clientFields,
  ...codingFields("fp32"),
  ...aggregateField(),
};

/** Of the server, on the mean change of the parameters. */
export const serverRateField = (initial: number) =>
  numberField(0, 10, initial, "the server's step size on the mean change; 1 with fedavg is plain averaging");

export const fedavgOptions = z.strictObject({
  name: nameField("fedavg", "a fraction of peers trains, then the mean by samples (arXiv 1602.05629)"),
  ...federatedFields,
  serverLearningRate: serverRateField(1),
});

export function fedavg(options: Omit<z.output<typeof fedavgOptions>, "name">): StrategyDefinition {
  const { innerSteps, serverLearningRate, weighting } = options;
  const { route, aggregate, faults } = gatheringOf(options, {
    route: routeOf(options),
    aggregate: { kind: weighting === "samples" ? "weighted" : "mean" },
  });
  return {
    recipe: {
      ...plainRecipe,
      strategy: "fedavg",
      trigger: exchangeEvery(innerSteps),
      source: "delta",
      coding: codingOf(options),
      route,
      aggregate,
      outer: { kind: "sgd" },
      commit: { steps: innerSteps, equal: true },
    },
    learningRate: () => serverLearningRate,
    ...clientsOf(options, innerSteps),
    faults: [...faults, ...(options.aggregate === null ? [] : alikeFaults(options))],
  };
}

/** A rule bears a number of faulty peers, whatever their weights, so all weigh alike. */
function alikeFaults({
  weighting,
  fraction,
}: Pick<z.output<typeof fedavgOptions>, "weighting" | "fraction">) {
  const samples =
    '"samples": with aggregate every contribution counts alike, as a peer\'s samples are what it says of itself; ' +
    'set weighting to "uniform"';
  const part = `${fraction}: with aggregate every member contributes; set fraction to 1`;
  return [
    ...(weighting === "uniform" ? [] : [{ key: "weighting", problem: samples }]),
    ...(fraction === 1 ? [] : [{ key: "fraction", problem: part }]),
  ];
}
