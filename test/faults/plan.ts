/** What a cell's seed decides, and which cells there are. */
import type { Draw } from "../e2e/chaos-plan.js";
import { type Arithmetic, algorithms, type Cell, faults, type Mode, type Place, phases } from "./table.js";

/** What a cell's seed decides. */
export interface Plan {
  readonly ranks: number;
  /** Peers, the first one's steps decide when. */
  readonly victims: readonly number[];
  readonly survivors: readonly number[];
  /** The other end of the link that is harmed. */
  readonly other: number;
  readonly root: number;
  readonly arithmetic: Arithmetic;
  readonly elements: number;
  readonly segment: number;
  readonly encrypted: boolean;
  readonly streams: number;
  /** The share of the victim's steps that are done when the fault strikes. */
  readonly share: number;
  readonly lie: string;
}

const LIES = ["shorter", "longer", "empty", "huge"];
/** On a network an operation must last longer than the fault takes to arrive. */
const ELEMENTS = { loopback: [200_000, 500_000], network: [600_000, 900_000] } as const;
const SEGMENT = { loopback: [5000, 20_000], network: [20_000, 60_000] } as const;

export function planCell(cell: Cell, draw: Draw): Plan {
  const { fault, algorithm, phase, mode, place } = cell;
  const ranks = fault.second ? 5 : 4;
  const all = Array.from({ length: ranks }, (_, peer) => peer);
  const left = [...all];
  const take = () => left.splice(draw.between(0, left.length - 1), 1)[0]!;
  const root = algorithm.rooted ? draw.between(0, ranks - 1) : 0;
  if (algorithm.rooted === "source" && mode === "salvage") left.splice(root, 1);
  const victims = [take(), ...(fault.second ? [take()] : [])];
  const others = all.filter((peer) => !victims.includes(peer));
  return {
    ranks,
    victims,
    survivors: others,
    other: draw.pick(others),
    root,
    arithmetic: draw.pick(algorithm.arithmetics),
    elements: draw.between(ELEMENTS[place][0], ELEMENTS[place][1]),
    segment: draw.between(SEGMENT[place][0], SEGMENT[place][1]),
    encrypted: draw.next() < 0.5,
    streams: draw.between(1, 3),
    share: (phases.indexOf(phase) + draw.next()) / phases.length,
    lie: draw.pick(LIES),
  };
}

/** Whether the cell means anything. */
export function makesSense({ fault, algorithm, mode, place }: Cell): boolean {
  if (mode === "salvage" && (!algorithm.salvageable || fault.ends === "well")) return false;
  return place === "loopback" || fault.onNetwork !== undefined || fault.name === "killed";
}

/** Every cell of a place that makes sense, once for each seed. */
export function everyCell(place: Place, seeds: readonly number[]): Cell[] {
  const modes: readonly Mode[] = ["exact", "salvage"];
  return seeds
    .flatMap((seed) =>
      faults.flatMap((fault) =>
        algorithms.flatMap((algorithm) =>
          phases.flatMap((phase) => modes.map((mode) => ({ fault, algorithm, phase, mode, place, seed }))),
        ),
      ),
    )
    .filter(makesSense);
}

export function nameOf({ fault, algorithm, phase, mode, place, seed }: Cell): string {
  return `${fault.name}, ${algorithm.name}, ${phase} third, ${mode}, ${place}, seed ${seed}`;
}
