/**
 * DisTrO as Psyche runs it (Nous Research 2024; PsycheFoundation/psyche, its run of Consilience 40B): DeMo (arXiv
 * 2411.19870) with one bit for each of 4 coefficients of a tile of 4096, and less of a memory. Signs and sizes are DeMo's.
 */
import { z } from "zod";
import type { StrategyDefinition } from "./define.js";
import { signedMomentum, signedMomentumFields } from "./demo.js";
import { nameField } from "./fields.js";

export const distroOptions = z.strictObject({
  name: nameField("distro", "DeMo with one bit a coefficient (Nous Research 2024, arXiv 2411.19870)"),
  ...signedMomentumFields({ codec: "dct_topk:k=4,values=sign", decay: 0.995 }),
});

export const distro = (options: z.output<typeof distroOptions>): StrategyDefinition =>
  signedMomentum("distro", options);
