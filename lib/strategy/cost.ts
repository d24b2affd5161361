/** What strategies cost: what each begun exchange sends by its collective's closed formula, summed over inner steps. */
import { type CollectiveName, collectives } from "../native/abi.gen.js";
import { openCodec } from "../native/codec.js";
import { native } from "../native/load.js";
import { plainRequest, planCost } from "../reduce/plan.js";
import { chunkRange } from "../reduce/tensor.js";
import { planFactors } from "./factors.js";
import { fragmentElements } from "./fragments.js";
import type { Recipe } from "./recipe.js";
import type {
  Action,
  BeginAction,
  CollectiveAnswer,
  CollectiveQuestion,
  CostQuestion,
  StrategyCost,
  StrategyView,
  WireBytes,
} from "./strategy.js";

/** As a run's config has it by default; it changes no byte as long as it is a multiple of the codec's block. */
const SEGMENT_ELEMENTS = 65_536;

const noBytes: WireBytes = { payload: 0, scales: 0, indices: 0 };

const sumOf = (a: WireBytes, b: WireBytes): WireBytes => ({
  payload: a.payload + b.payload,
  scales: a.scales + b.scales,
  indices: a.indices + b.indices,
});

const totalOf = ({ payload, scales, indices }: WireBytes) => payload + scales + indices;

/** A wire that a rank sends `times` times. */
interface Piece {
  readonly codec: string;
  readonly elements: number;
  readonly times: number;
}

/** The least one: chunks are whole blocks of both codecs. */
export function commonMultiple(a: number, b: number): number {
  let [large, small] = [a, b];
  while (small > 0) [large, small] = [small, large % small];
  return (a / large) * b;
}

/** Wires in the proportion in which one rank sends them, to tell their bytes apart by kind; of direct exactly those sent. */
function piecesOf({ collective, up, down, ranks, rank, elements, weights }: CollectiveQuestion): Piece[] {
  if (collective !== "direct") return [{ codec: up, elements, times: 1 }];
  const block = commonMultiple(openCodec(up).blockElements, openCodec(down ?? up).blockElements);
  const chunk = (owner: number) => chunkRange(elements, block, ranks, owner).elements;
  const others = Array.from({ length: ranks }, (_, owner) => owner).filter((owner) => owner !== rank);
  const contributions = weights?.[rank] === 0 ? [] : others;
  return [
    ...contributions.map((owner) => ({ codec: up, elements: chunk(owner), times: 1 })),
    { codec: down ?? up, elements: chunk(rank), times: ranks - 1 },
  ];
}

function wireParts({ codec, elements, times }: Piece): WireBytes {
  if (elements === 0 || times === 0) return noBytes;
  const parts = JSON.parse(native.codecParts(openCodec(codec).id, elements)) as WireBytes;
  return { payload: times * parts.payload, scales: times * parts.scales, indices: times * parts.indices };
}

/** The bytes told apart: shared out as those of the pieces are. */
function partsOf(question: CollectiveQuestion, bytes: number): WireBytes {
  const wires = piecesOf(question).map(wireParts).reduce(sumOf, noBytes);
  const total = totalOf(wires);
  if (total === 0) return { ...noBytes, payload: bytes };
  const share = (part: number) => Math.round((bytes * part) / total);
  const [scales, indices] = [share(wires.scales), share(wires.indices)];
  return { payload: bytes - scales - indices, scales, indices };
}

function answer(question: CollectiveQuestion): CollectiveAnswer {
  const { collective, up, down, ranks, rank, elements, weights, topology = "", topologyRound = 0 } = question;
  const weighted = collectives[collective].reduces && weights !== null;
  const { latencySteps, bytesSent } = planCost({
    ...plainRequest,
    collective,
    ranks,
    rank,
    elements,
    codec: up,
    down,
    segmentElements: SEGMENT_ELEMENTS,
    ...(weighted ? { reduction: "weighted_mean", weights } : {}),
    topology,
    round: topologyRound,
  });
  return { latencySteps, bytesSent, parts: partsOf(question, bytesSent) };
}

/** What native code's plans say; answers are kept, as the rounds of a run ask the same again. */
export function createCollectiveCost(): (question: CollectiveQuestion) => CollectiveAnswer {
  const answers = new Map<string, CollectiveAnswer>();
  return (question) => {
    const key = JSON.stringify(question);
    const known = answers.get(key) ?? answer(question);
    answers.set(key, known);
    return known;
  };
}

/** One collective of an exchange. "auto" is priced as direct, which takes two latencies at any number of peers. */
function collectiveOf(begin: BeginAction): CollectiveName {
  if (begin.collective === "gather") return "gather_mean";
  return begin.collective === "auto" || begin.collective === "powersgd" ? "direct" : begin.collective;
}

/** Float32 words that every member tells every member in an exchange: its norm, its two products (lib/engine/measure.ts). */
function toldWords({ aggregate, measure }: Recipe, { rank, view }: CostQuestion): CollectiveQuestion[] {
  const ranks = view.members.length;
  const words = [...(aggregate.kind === "medianNormClip" ? [1] : []), ...(measure === null ? [] : [2])];
  const plain = { collective: "all_gather", up: "fp32", down: null, ranks, rank, weights: null } as const;
  return words.map((count) => ({ ...plain, elements: count * ranks }));
}

/** What fills up the last 32-bit word of wires that are gathered whole (lib/reduce/gather-wires.ts). */
function fillBytes(begin: BeginAction, recipe: Recipe, { layout, view }: CostQuestion): number {
  if (recipe.aggregate.kind !== "robust") return 0;
  const elements = fragmentElements(recipe.fragments, layout, begin.fragment);
  const bytes = native.codecBytes(openCodec(begin.up).id, elements);
  return (view.members.length - 1) * (Math.ceil(bytes / 4) * 4 - bytes);
}

/** The collectives of one exchange that carry the tensor. */
function tensorQuestions(
  begin: BeginAction,
  recipe: Recipe,
  { layout, rank, view }: CostQuestion,
): CollectiveQuestion[] {
  const { route, source } = recipe;
  const { up, down, weights, topologyRound } = begin;
  const common = { collective: collectiveOf(begin), up, down, ranks: view.members.length, rank, weights };
  if (route.kind === "powersgd") {
    const { firstElements, secondElements } = planFactors(layout, route.rank);
    return [firstElements, secondElements]
      .filter((elements) => elements > 0)
      .map((elements) => ({ ...common, elements }));
  }
  const elements = fragmentElements(recipe.fragments, layout, begin.fragment);
  if (route.kind !== "mix") return [{ ...common, elements }];
  const question = { ...common, elements, topology: route.topology, topologyRound };
  return source === "deltaAndAnchor" ? [question, question] : [question];
}

interface StepCost {
  readonly latencySteps: number;
  readonly parts: WireBytes;
}

function exchangeCost(begin: BeginAction, recipe: Recipe, question: CostQuestion): StepCost {
  const questions = [...tensorQuestions(begin, recipe, question), ...toldWords(recipe, question)];
  const answers = questions.map(question.collectiveCost);
  return {
    latencySteps: answers.reduce((sum, { latencySteps }) => sum + latencySteps, 0),
    parts: answers
      .map(({ parts }) => parts)
      .reduce(sumOf, { ...noBytes, payload: fillBytes(begin, recipe, question) }),
  };
}

type Actions = (step: number, view: StrategyView) => readonly Action[];

/** What begins with the step that makes it `step`, and what began after the commit before that step. */
function begunIn(step: number, actions: Actions, view: StrategyView): BeginAction[] {
  const begins = (list: readonly Action[]) => list.filter((action) => action.kind === "begin");
  const now = actions(step, view);
  const before = actions(step - 1, view);
  const commitAt = (list: readonly Action[]) => list.findIndex(({ kind }) => kind === "commit");
  const next = commitAt(now);
  return [
    ...begins(step === 1 ? before : commitAt(before) < 0 ? [] : before.slice(commitAt(before))),
    ...begins(next < 0 ? now : now.slice(0, next)),
  ];
}

/** The cost of any strategy by its actions: what the inner steps after `from`, up to `to`, begin to send. */
export function actionsCost(recipe: Recipe, actions: Actions, question: CostQuestion): StrategyCost {
  const { from, to, view } = question;
  let [parts, latencySteps, bytesPeak] = [noBytes, 0, 0];
  for (let step = from + 1; step <= to; step++) {
    const costs = begunIn(step, actions, view).map((begin) => exchangeCost(begin, recipe, question));
    const sent = costs.map((cost) => cost.parts).reduce(sumOf, noBytes);
    parts = sumOf(parts, sent);
    latencySteps += costs.reduce((sum, cost) => sum + cost.latencySteps, 0);
    bytesPeak = Math.max(bytesPeak, totalOf(sent));
  }
  const steps = Math.max(1, to - from);
  return {
    bytesPerStep: totalOf(parts) / steps,
    parts: { payload: parts.payload / steps, scales: parts.scales / steps, indices: parts.indices / steps },
    latencyStepsPerStep: latencySteps / steps,
    bytesPeak,
  };
}

/** The yardstick: data parallel training, that is an fp32 all-reduce around a ring at every step. */
export function dataParallelCost({ layout, rank, view, collectiveCost }: CostQuestion): StrategyCost {
  const { latencySteps, bytesSent, parts } = collectiveCost({
    collective: "ring",
    up: "fp32",
    down: null,
    ranks: view.members.length,
    rank,
    elements: layout.elements,
    weights: null,
  });
  return { bytesPerStep: bytesSent, parts, latencyStepsPerStep: latencySteps, bytesPeak: bytesSent };
}
