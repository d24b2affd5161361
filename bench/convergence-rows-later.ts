/** The experiments after pre-training, of gossip and delays, of federated clients and experts, and the frontier's goals. */
import {
  atLeast,
  atMost,
  type Check,
  type Experiment,
  percent,
  row,
  starred,
  theirs,
  times,
} from "./convergence-checks.js";
import { frontierOf, type Outcome } from "./convergence-outcomes.js";

const anchors = "pretrained.single pretrained.ddp";

const codecs: readonly Experiment[] = [
  row(
    "1",
    "diloco, 50 steps, momentum 0.9, after pre-training",
    `${anchors} pretrained.diloco`,
    "0.6 % above ddp, G 95 %, bytes / 50",
    ({ gap, outcome }) => {
      const diloco = outcome("pretrained.diloco");
      return [
        atMost("above ddp", diloco.relative!, 0.02, percent),
        atLeast("G", gap("pretrained.diloco"), 0.8, percent),
        atMost(
          "sent / ddp's, x 50",
          (50 * diloco.bytes.sent) / outcome("pretrained.ddp").bytes.sent,
          1.0001,
          times,
        ),
      ];
    },
    starred,
  ),
  row(
    "2",
    "momentum after pre-training: 0.9, 0.5, plain averaging",
    `${anchors} pretrained.diloco pretrained.diloco-m0.5 pretrained.local-sgd`,
    "G 95, 60, 34 %",
    ({ loss }) => [
      atLeast("L(0.5) - L(0.9)", loss("pretrained.diloco-m0.5") - loss("pretrained.diloco"), 0.02),
      atLeast("L(plain) - L(0.5)", loss("pretrained.local-sgd") - loss("pretrained.diloco-m0.5"), 0.02),
    ],
    theirs,
  ),
  row(
    "6b",
    "codecs on the way up after pre-training",
    `${anchors} pretrained.diloco-int4 pretrained.diloco-eden2 pretrained.diloco-eden1`,
    "G 96, 94, 75 %",
    ({ gap, outcome, short }) => [
      atLeast("G(int4)", gap("pretrained.diloco-int4"), short ? 0.8 : 0.85, percent),
      atLeast("G(eden 2)", gap("pretrained.diloco-eden2"), 0.8, percent),
      atLeast("G(eden 1)", gap("pretrained.diloco-eden1"), short ? 0.45 : 0.55, percent),
      atMost("eden 2 above ddp", outcome("pretrained.diloco-eden2").relative!, 0.02, percent),
    ],
    { ...starred, ...theirs },
  ),
  row(
    "6c",
    "few bits both ways: int4; 2 unbiased up and int4 down, fed back at owners and not",
    `${anchors} pretrained.diloco-int4-both pretrained.diloco-eden2-int4 pretrained.diloco-eden2-int4-forgets`,
    "G 93, 92, 89 %",
    ({ gap, loss, short }) => [
      atLeast("G(int4)", gap("pretrained.diloco-int4-both"), 0.8, percent),
      atLeast("G(eden 2, int4 fed back)", gap("pretrained.diloco-eden2-int4"), short ? 0.7 : 0.8, percent),
      atLeast(
        "L(not fed back) - L(fed back)",
        loss("pretrained.diloco-eden2-int4-forgets") - loss("pretrained.diloco-eden2-int4"),
        short ? -0.01 : 0,
      ),
    ],
    { ...starred, ...theirs },
  ),
];

const methods: readonly Experiment[] = [
  row(
    "19",
    "streaming after pre-training: 2 fragments, int4, overlap 5",
    `${anchors} pretrained.streaming-int4`,
    "G 64 %",
    ({ gap }) => [atLeast("G", gap("pretrained.streaming-int4"), 0.45, percent)],
    theirs,
  ),
  row(
    "19b",
    "streaming within 2 % of diloco",
    `${anchors} pretrained.streaming-int4 pretrained.diloco`,
    "the paper: the same loss",
    ({ loss }) => [
      atMost(
        "above diloco",
        loss("pretrained.streaming-int4") / loss("pretrained.diloco") - 1,
        0.02,
        percent,
      ),
    ],
    theirs,
  ),
  row(
    "20",
    "eager beside naive delay",
    "scratch.eager scratch.delayed pretrained.eager pretrained.delayed",
    "0.35 and 0.63 nats better; both far behind ddp",
    ({ loss }) => [
      atLeast("scratch: L(delayed) - L(eager)", loss("scratch.delayed") - loss("scratch.eager"), 0.15),
      atLeast(
        "pretrained: L(delayed) - L(eager)",
        loss("pretrained.delayed") - loss("pretrained.eager"),
        0.15,
      ),
    ],
  ),
  row(
    "21",
    "noloco, and the mean of its models",
    `${anchors} scratch.single scratch.ddp scratch.noloco pretrained.noloco`,
    "G 29 and 55 %; the mean is no worse than any",
    ({ gap, outcome }) => [
      atLeast("G(scratch)", gap("scratch.noloco"), 0.15, percent),
      atLeast("G(pretrained)", gap("pretrained.noloco"), 0.35, percent),
      atLeast(
        "best single - mean",
        Math.min(outcome("scratch.noloco").apart!, outcome("pretrained.noloco").apart!),
        0,
      ),
    ],
    theirs,
  ),
  row(
    "22",
    "noloco over one-peer exponential pairs",
    "scratch.noloco scratch.noloco-exponential",
    "no farther apart than random pairs",
    ({ outcome }) => [
      atMost(
        "its replicas' excess over the mean - random pairs'",
        outcome("scratch.noloco-exponential").apart! - outcome("scratch.noloco").apart!,
        0.002,
      ),
    ],
    theirs,
  ),
  row(
    "25",
    "one contribution of eight is late: lost, or folded into the next",
    "scratch.local-sgd scratch.local-sgd-late scratch.fedavg-late pretrained.local-sgd pretrained.local-sgd-late pretrained.fedavg-late",
    "0.044 nats lost at 30 %; half of that where folded",
    ({ loss }) => [
      ...(["scratch", "pretrained"] as const).flatMap((phase) => {
        const [none, lost, folded] = ["local-sgd", "local-sgd-late", "fedavg-late"].map((arm) =>
          loss(`${phase}.${arm}`),
        );
        return [
          atMost(`${phase}: L(lost) - L(none late)`, lost! - none!, 0.04),
          atMost(`${phase}: L(folded) - L(lost)`, folded! - lost!, 0),
        ];
      }),
    ],
    theirs,
  ),
  row(
    "demo",
    "demo reaches ddp's loss at 1/50 of its bytes",
    `${anchors} pretrained.demo`,
    "the paper: no worse than AdamW at 1/22 to 1/85",
    ({ outcome }) => [
      atMost("above ddp", outcome("pretrained.demo").relative!, 0.02, percent),
      atLeast("fewer bytes", outcome("pretrained.demo").fewer!, 50, times),
    ],
    theirs,
  ),
  row(
    "sparseloco",
    "sparseloco has the fewest bytes at its loss",
    `${anchors} pretrained.sparseloco`,
    "on the frontier of loss and bytes",
    ({ all }) => {
      const frontier = frontierOf(all.filter(({ phase }) => phase === "pretrained"));
      const names = frontier.map(({ name }) => name);
      return [{ found: `on the frontier: ${names.join(", ")}`, holds: names.includes("sparseloco") }];
    },
    theirs,
  ),
];

/** Payload both ways; frames, of which a small model's few bytes need as many as a large one's, are told beside it. */
function fewerBytes(reference: Outcome, own: Outcome, bound: number): Check[] {
  const payload = ({ bytes }: Outcome) => bytes.sent + bytes.received;
  return [
    atLeast("fewer bytes of payload", payload(reference) / payload(own), bound, times),
    { found: `with frames and agreements ${times(own.fewer!)}`, holds: true },
  ];
}

const others: readonly Experiment[] = [
  row(
    "34",
    "federated averaging of ten unlike clients, half of them a round",
    "clients.fedavg clients.fedavg-alike clients.fedprox clients.fedadam clients.fedyogi",
    "unlike clients are harder; the server's optimizer helps or does no harm. Medians, trimmed means and Krum against sign-flipping clients: robust aggregation is another feature",
    ({ loss, outcome }) => [
      atLeast("L(unlike) - L(alike)", loss("clients.fedavg") - loss("clients.fedavg-alike"), 0),
      ...["fedavg", "fedprox", "fedadam", "fedyogi"].map((name) =>
        atLeast(`${name} tells right`, outcome(`clients.${name}`).accuracy!, 0.75, percent),
      ),
    ],
  ),
  row(
    "hdee",
    "experts that differ beside experts alike, at equal compute",
    "experts.alike experts.steps-differ experts.sizes-differ",
    "the paper: better",
    ({ loss }) => [
      atLeast("L(alike) - L(steps differ)", loss("experts.alike") - loss("experts.steps-differ"), 0),
      atLeast("L(alike) - L(sizes differ)", loss("experts.alike") - loss("experts.sizes-differ"), 0),
    ],
    theirs,
  ),
  row(
    "goal 1",
    "preset frontier, 8 peers: ddp's loss within 1 % at 1/1,000 of its bytes",
    "frontier.ddp frontier.frontier",
    "a prototype of 4 peers: 0.8 % at 1/510",
    ({ outcome }) => [
      atMost("above ddp", outcome("frontier.frontier").relative!, 0.01, percent),
      ...fewerBytes(outcome("frontier.ddp"), outcome("frontier.frontier"), 1000),
    ],
  ),
  row(
    "goal 2",
    "preset frontier-5000: within 3 % at 1/5,000",
    "frontier.ddp frontier.frontier-5000",
    "none",
    ({ outcome }) => [
      atMost("above ddp", outcome("frontier.frontier-5000").relative!, 0.03, percent),
      ...fewerBytes(outcome("frontier.ddp"), outcome("frontier.frontier-5000"), 5000),
    ],
  ),
];

export const laterRows: readonly Experiment[] = [...codecs, ...methods, ...others];
