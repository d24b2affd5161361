/** FedYogi (Reddi et al. 2020, arXiv 2003.00295): FedAdam whose second moment changes by (1 - beta2) g^2 at most, either way. */
import { z } from "zod";
import type { StrategyDefinition } from "./define.js";
import { adaptiveFields, adaptiveServer } from "./fedopt.js";
import { nameField } from "./fields.js";

export const fedyogiOptions = z.strictObject({
  name: nameField("fedyogi", "fedavg whose server takes Yogi steps (arXiv 2003.00295)"),
  ...adaptiveFields,
});

export function fedyogi(options: z.output<typeof fedyogiOptions>): StrategyDefinition {
  return adaptiveServer("fedyogi", "yogi", options);
}
