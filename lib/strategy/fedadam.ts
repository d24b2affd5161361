/** FedAdam (Reddi et al. 2020, arXiv 2003.00295): FedAvg whose server takes Adam steps on the mean change, v without bias correction. */
import { z } from "zod";
import type { StrategyDefinition } from "./define.js";
import { adaptiveFields, adaptiveServer } from "./fedopt.js";
import { nameField } from "./fields.js";

export const fedadamOptions = z.strictObject({
  name: nameField("fedadam", "fedavg whose server takes Adam steps (arXiv 2003.00295)"),
  ...adaptiveFields,
});

export function fedadam(options: z.output<typeof fedadamOptions>): StrategyDefinition {
  return adaptiveServer("fedadam", "adam", options);
}
