/** Plots as SVG text, drawn by Vega without a browser. */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

export interface PlotLine {
  readonly name: string;
  /** Lines of one arm have one colour. */
  readonly arm: string;
  readonly points: readonly { readonly x: number; readonly loss: number }[];
}

export interface PlotOptions {
  /** The axis in words. */
  readonly x: string;
  /** A logarithmic axis, on which points at 0 have no place. */
  readonly log: boolean;
}

/** Tableau's ten, then its lighter ones: neighbours in the legend are told apart also in grey. */
const SCHEME = "tableau20";
const TEN = "tableau10";

/** Part of each line whose loss falls so fast that it would leave no room for the rest. */
const STEEP_SHARE = 0.2;

/** From the least loss to the greatest that a line has after its steep part; what is above is cut off. */
function lossRange(lines: readonly PlotLine[]): [number, number] {
  const losses = lines.flatMap(({ points }) => {
    const end = points.at(-1)?.x ?? 0;
    return points
      .filter(({ x, loss }) => x >= STEEP_SHARE * end && Number.isFinite(loss))
      .map(({ loss }) => loss);
  });
  const [least, most] = [Math.min(...losses), Math.max(...losses)];
  const margin = 0.03 * (most - least || 1);
  return losses.length === 0 ? [0, 1] : [least - margin, most + margin];
}

function specOf(lines: readonly PlotLine[], { x, log }: PlotOptions): TopLevelSpec {
  const values = lines.flatMap(({ name, arm, points }) =>
    points
      .filter((point) => Number.isFinite(point.loss) && (!log || point.x > 0))
      .map((point) => ({ name, arm, x: point.x, loss: point.loss })),
  );
  const arms = [...new Set(lines.map(({ arm }) => arm))];
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: 760,
    height: 340,
    background: "white",
    data: { values },
    mark: { type: "line", strokeWidth: 1.8, point: { size: 14 }, clip: true },
    encoding: {
      x: {
        field: "x",
        type: "quantitative",
        title: x,
        scale: log ? { type: "log", nice: false } : { zero: false, nice: false },
        axis: { format: "~s", tickCount: 8, labelOverlap: true },
      },
      y: {
        field: "loss",
        type: "quantitative",
        title: "validation loss (nats)",
        scale: { domain: lossRange(lines), zero: false, nice: false },
        axis: { tickCount: 8 },
      },
      color: {
        field: "arm",
        type: "nominal",
        sort: arms,
        scale: { domain: arms, scheme: arms.length > 10 ? SCHEME : TEN },
        legend: { title: null, symbolStrokeWidth: 3, labelLimit: 240 },
      },
      detail: { field: "name", type: "nominal" },
      order: { field: "x", type: "quantitative" },
    },
    config: { font: "system-ui, sans-serif", view: { stroke: null }, axis: { gridColor: "#eaeef2" } },
  };
}

/** An SVG element of its own. @throws what Vega throws. */
export async function plotLosses(lines: readonly PlotLine[], options: PlotOptions): Promise<string> {
  const view = new View(parse(compile(specOf(lines, options)).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
