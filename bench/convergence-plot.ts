/** Loss against bytes as an SVG picture, a panel for each phase: every arm, ddp's loss as a line, and the frontier named. */
import type { TopLevelSpec } from "vega-lite";
import type { Phase } from "./convergence-forms.js";
import { bytesBothWays, frontierOf, type Outcome } from "./convergence-outcomes.js";

export const phaseTitles: Readonly<Record<Phase, string>> = {
  scratch: "from random weights, 4 peers",
  pretrained: "after pre-training, 4 peers",
  frontier: "after pre-training, 8 peers",
  clients: "federated, 10 clients, digits",
  experts: "experts, 2 texts",
};

interface Mark {
  readonly name: string;
  readonly strategy: string;
  readonly bytes: number;
  readonly loss: number;
  readonly least: number;
  readonly greatest: number;
}

const markOf = (outcome: Outcome): Mark => ({
  name: outcome.name,
  strategy: outcome.strategies.join(" + "),
  bytes: bytesBothWays(outcome.bytes),
  loss: outcome.loss,
  least: Math.min(...outcome.losses),
  greatest: Math.max(...outcome.losses),
});

/** Losses far above training alone say nothing, and would flatten the rest. */
const ABOVE_SINGLE_MAX = 0.15;

const bytesAxis = {
  field: "bytes",
  type: "quantitative",
  scale: { type: "log" },
  axis: { title: "bytes a peer sends and receives for an inner step", format: "~s" },
} as const;
const lossAxis = {
  field: "loss",
  type: "quantitative",
  scale: { zero: false },
  axis: { title: "validation loss, nats" },
} as const;

function panelOf(phase: Phase, outcomes: readonly Outcome[]) {
  const own = outcomes.filter((outcome) => outcome.phase === phase);
  const lossOf = (name: string) => own.find((outcome) => outcome.name === name)?.loss;
  const most = (lossOf("single") ?? Number.POSITIVE_INFINITY) + ABOVE_SINGLE_MAX;
  const shown = own.filter(({ bytes, loss }) => bytes.sent > 0 && loss <= most);
  const frontier = frontierOf(shown).map(markOf);
  const lines = ["ddp", "single"].flatMap((name) => {
    const loss = lossOf(name);
    return loss === undefined ? [] : [{ name: name === "single" ? "training alone" : "ddp fp32", loss }];
  });
  return {
    title: { text: phaseTitles[phase], anchor: "start" as const, fontSize: 12 },
    width: 520,
    height: 400,
    layer: [
      {
        data: { values: lines },
        mark: { type: "rule" as const, strokeDash: [5, 4], color: "#888888" },
        encoding: { y: lossAxis },
      },
      {
        data: { values: lines },
        mark: { type: "text" as const, align: "left" as const, dy: -5, color: "#666666", fontSize: 10 },
        encoding: { y: lossAxis, x: { value: 4 }, text: { field: "name", type: "nominal" as const } },
      },
      {
        data: { values: frontier },
        mark: { type: "line" as const, interpolate: "step-after" as const, color: "#333333", strokeWidth: 1 },
        encoding: { x: bytesAxis, y: lossAxis },
      },
      {
        data: { values: shown.map(markOf) },
        mark: { type: "rule" as const, color: "#999999" },
        encoding: { x: bytesAxis, y: { ...lossAxis, field: "least" }, y2: { field: "greatest" } },
      },
      {
        data: { values: shown.map(markOf) },
        mark: { type: "point" as const, filled: true, size: 45 },
        encoding: {
          x: bytesAxis,
          y: lossAxis,
          color: {
            field: "strategy",
            type: "nominal" as const,
            scale: { scheme: "tableau20" as const },
            legend: { title: null },
          },
        },
      },
      ...[0, 1].map((side) => ({
        // Neighbours' names lie above and below.
        data: { values: frontier.filter((_, index) => index % 2 === side) },
        mark: {
          type: "text" as const,
          align: "left" as const,
          dx: 5,
          dy: side === 0 ? -7 : 11,
          fontSize: 10,
        },
        encoding: { x: bytesAxis, y: lossAxis, text: { field: "name", type: "nominal" as const } },
      })),
    ],
  };
}

/** Of the phases with ddp and something that sends less. */
export function convergencePlot(outcomes: readonly Outcome[], title: string): TopLevelSpec {
  const panels = (["scratch", "pretrained", "frontier"] as const).filter(
    (phase) => outcomes.filter((one) => one.phase === phase && one.bytes.sent > 0).length > 1,
  );
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: { text: title, anchor: "start", fontSize: 13 },
    background: "white",
    padding: 12,
    hconcat: panels.map((phase) => panelOf(phase, outcomes)),
  };
}
