/** Every strategy by name, one line each, and what a config's `strategy` section makes of them. */
import { asyncDiloco, asyncDilocoOptions } from "./async-diloco.js";
import { ddp, ddpOptions } from "./ddp.js";
import { demo, demoOptions } from "./demo.js";
import { diloco, dilocoOptions } from "./diloco.js";
import { distro, distroOptions } from "./distro.js";
import { eagerDiloco, eagerDilocoOptions } from "./eager-diloco.js";
import { fedadam, fedadamOptions } from "./fedadam.js";
import { fedavg, fedavgOptions } from "./fedavg.js";
import { fedprox, fedproxOptions } from "./fedprox.js";
import { fedyogi, fedyogiOptions } from "./fedyogi.js";
import { frontier, frontierOptions } from "./frontier.js";
import { hdee, hdeeOptions } from "./hdee.js";
import { localSgd, localSgdOptions } from "./local-sgd.js";
import { noloco, nolocoOptions } from "./noloco.js";
import { presets } from "./presets.js";
import { createSection, row, type StrategyRow } from "./section.js";
import { sparseDiloco, sparseDilocoOptions } from "./sparse-diloco.js";
import { sparseloco, sparselocoOptions } from "./sparseloco.js";
import { sparta, spartaOptions } from "./sparta.js";
import { streamingDiloco, streamingDilocoOptions } from "./streaming-diloco.js";
import { subspace, subspaceOptions } from "./subspace.js";

export { roundSteps } from "./list.js";
export type { StrategyOptions, StrategySection } from "./section.js";

export const strategies: Readonly<Record<string, StrategyRow>> = {
  ddp: row(ddpOptions, ddp),
  "local-sgd": row(localSgdOptions, localSgd),
  fedavg: row(fedavgOptions, fedavg),
  fedprox: row(fedproxOptions, fedprox),
  fedadam: row(fedadamOptions, fedadam),
  fedyogi: row(fedyogiOptions, fedyogi),
  diloco: row(dilocoOptions, diloco),
  "streaming-diloco": row(streamingDilocoOptions, streamingDiloco),
  "eager-diloco": row(eagerDilocoOptions, eagerDiloco),
  "async-diloco": row(asyncDilocoOptions, asyncDiloco),
  "sparse-diloco": row(sparseDilocoOptions, sparseDiloco),
  sparseloco: row(sparselocoOptions, sparseloco),
  noloco: row(nolocoOptions, noloco),
  sparta: row(spartaOptions, sparta),
  demo: row(demoOptions, demo),
  distro: row(distroOptions, distro),
  subspace: row(subspaceOptions, subspace),
  frontier: row(frontierOptions, frontier),
  hdee: row(hdeeOptions, hdee),
};

/** strategySchema of the section, createStrategies() and describeStrategies(); a section without a name is diloco. */
export const { strategySchema, createStrategies, describeStrategies } = createSection({
  strategies,
  presets,
  initial: "diloco",
});
