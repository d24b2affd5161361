/** docs/strategies.md, made from the registry, so that it cannot tell anything else than the code. */
import { presets } from "../../lib/strategy/presets.js";
import { createStrategies, describeStrategies } from "../../lib/strategy/registry.js";

const intro = `<!-- Generated from lib/strategy by test/strategy/docs.test.ts (GRADMESH_UPDATE_DOCS=1). Do not edit. -->
# Strategies

A strategy says what peers exchange and when. It is data, a recipe with one slot for each design choice, and a pure function
of the step and the members; peers compute the same actions without talking. A run's config names one under \`strategy\`, as in
\`{"strategy": {"name": "diloco", "innerSteps": 50}}\`, a preset, as in \`{"strategy": {"preset": "frontier"}}\`, or a list of
strategies that run side by side, as in \`{"strategy": [{"name": "sparta"}, {"name": "diloco"}]}\`; they act in the list's order.
\`gradmesh gym\` compares any of them on one machine, with the digests of real processes.

The sign is the same everywhere: a pseudo-gradient is the anchor minus the parameters, and outer optimizers descend.
`;

const cell = (text: unknown) => String(text).replaceAll("|", "\\|").replaceAll("\n", " ");
/** A list of all codecs is in a file of its own. */
const allowedWords = (allowed: string) =>
  cell(allowed).replace(/a codec: .*?\(docs\/codecs\.md\)/g, "a [codec](codecs.md)");
const shown = (value: unknown) => `\`${cell(JSON.stringify(value))}\``;

/** What a strategy does where its options are left out. */
function slots(name: string): string {
  const [strategy] = createStrategies({ name });
  const { source, route, outer, feedback, staleness, membership, commit } = strategy!.recipe;
  const way =
    route.kind === "allReduce" ? route.collective : route.kind === "mix" ? route.topology : route.kind;
  const late = staleness.kind === "overlap" && staleness.steps === 0 ? "at once" : staleness.kind;
  const same = commit.equal ? "the same bytes on all" : "differs between peers";
  return [source, way, feedback.kind, outer.kind, late, membership.late, same].map(cell).join(" | ");
}

/** The whole file. */
export function strategiesDoc(): string {
  const docs = describeStrategies();
  const overview = docs.map(({ name, doc }) => `| [\`${name}\`](#${name}) | ${cell(doc)} | ${slots(name)} |`);
  const sections = docs.map(({ name, doc, keys }) => {
    const rows = keys
      .filter(({ key }) => key !== "strategy.name")
      .map((row) => {
        const key = row.key.replace("strategy.", "");
        return `| \`${key}\` | ${shown(row.default)} | ${allowedWords(row.allowed)} | ${cell(row.meaning)} |`;
      });
    return [
      `### ${name}`,
      "",
      `${doc}.`,
      "",
      "| option | default | allowed | meaning |",
      "| --- | --- | --- | --- |",
      ...rows,
      "",
    ].join("\n");
  });
  const named = Object.entries(presets).map(
    ([name, { doc, options }]) => `| \`${name}\` | ${cell(doc)} | ${shown(options)} |`,
  );
  return [
    intro,
    "| strategy | what it is | sent | way | feedback | outer | applied | a late peer's work | after a commit |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...overview,
    "",
    "## Presets",
    "",
    "Keys beside `preset` change single options.",
    "",
    "| preset | what it is | options |",
    "| --- | --- | --- |",
    ...named,
    "",
    "## Options",
    "",
    sections.join("\n"),
  ].join("\n");
}
