/** Time against peers as an SVG picture: a Vega-Lite description, drawn by Vega without a browser. */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

export interface Point {
  readonly algorithm: string;
  readonly codec: string;
  readonly ranks: number;
  readonly seconds: number;
}

/** Both axes are logarithmic. A line for each algorithm, in its colour, and codec, in its dashes. */
export function plotOf(points: readonly Point[], title: string): TopLevelSpec {
  const ranks = [...new Set(points.map((point) => point.ranks))].sort((a, b) => a - b);
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: { text: title, anchor: "start", fontSize: 13 },
    width: 640,
    height: 400,
    background: "white",
    padding: 12,
    data: { values: points.map((point) => ({ ...point })) },
    encoding: {
      x: {
        field: "ranks",
        type: "quantitative",
        scale: { type: "log", base: 2, nice: false },
        axis: { title: "peers", values: ranks, format: "d" },
      },
      y: {
        field: "seconds",
        type: "quantitative",
        scale: { type: "log" },
        axis: { title: "seconds a sync", format: "~g" },
      },
      color: {
        field: "algorithm",
        type: "nominal",
        sort: null,
        scale: { scheme: "tableau10" },
        legend: { title: null },
      },
    },
    layer: [
      {
        mark: "line",
        encoding: { strokeDash: { field: "codec", type: "nominal", sort: null, legend: { title: null } } },
      },
      { mark: { type: "point", filled: true } },
    ],
  };
}

/** The picture as the text of an SVG file. */
export async function drawPlot(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
