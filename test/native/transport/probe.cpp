// Probes over a pair of links, and peers that ask or answer too much.
#include "transport/probe.h"

#include "pair.h"

using namespace pair;

namespace {

struct Outcome {
  bool over = false;
  Status status;
  ProbeResult result;
  ProbeDone done() {
    return [this](const Status& how, const ProbeResult& what) {
      CHECK(!over);
      over = true, status = how, result = what;
    };
  }
};

void run(Pair& pair, Outcome* outcome) {
  for (int turn = 0; turn < 10'000 && !outcome->over; ++turn) {
    pair.turn();
    pair.left->tick_probe(now_ns());
    pair.right->tick_probe(now_ns());
  }
  CHECK(outcome->over);
}

}  // namespace

TEST("a probe measures, beside data that arrives all the same, and again") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    const Bytes payload = pattern(500'000, 1);
    for (uint32_t again = 1; again <= 3; ++again) {
      Outcome outcome;
      const ProbeRequest request{.bytes = 3'000'001, .streams = mode.streams, .pings = 5, .limit_ms = 60'000};
      CHECK(static_cast<bool>(pair.left->probe(request, outcome.done(), now_ns())));
      CHECK(pair.left->probe(request, outcome.done(), now_ns()).code() == GM_INVALID_ARGUMENT);
      for (uint64_t tag = 0; tag < 4; ++tag) pair.left->send(data_frame(payload, tag));
      run(pair, &outcome);
      const ProbeResult& result = outcome.result;
      CHECK_THAT(static_cast<bool>(outcome.status), outcome.status.message());
      CHECK(result.bytes == request.bytes && result.streams == mode.streams);
      CHECK(result.round_trip_seconds > 0 && result.round_trip_seconds <= result.round_trip_median_seconds);
      CHECK(result.bytes_per_second > 1000);
      CHECK(pair.right_events.count(FrameType::data) == 4 * again &&
            pair.left_events.sent.size() == 4 * again);
    }
  }
}

TEST("both sides may probe at once, and a probe without a burst gives the round trip") {
  Pair pair({.streams = 2});
  Outcome left, right;
  CHECK(static_cast<bool>(pair.left->probe({.bytes = 0, .pings = 3}, left.done(), now_ns())));
  CHECK(static_cast<bool>(pair.right->probe({.bytes = 1 << 20, .streams = 2}, right.done(), now_ns())));
  run(pair, &left);
  run(pair, &right);
  CHECK(left.status && left.result.bytes_per_second == 0 && left.result.streams == 0);
  CHECK(right.status && right.result.bytes == 1 << 20);
}

TEST("a probe that can't be is refused with its field; one that is cancelled or has no answer ends by type") {
  Pair pair({.streams = 2});
  Outcome outcome;
  const auto refused = [&](const ProbeRequest& request, const char* field) {
    const Status status = pair.left->probe(request, outcome.done(), now_ns());
    CHECK(status.code() == GM_INVALID_ARGUMENT && status.message().rfind(field, 0) == 0);
  };
  refused({.bytes = kProbeBytesMax + 1}, "bytes");
  refused({.streams = 3}, "streams");
  refused({.streams = 0}, "streams");
  refused({.pings = 0}, "pings");
  refused({.pings = kProbePingsMax + 1}, "pings");
  const auto cancel = std::make_shared<Cancel>();
  CHECK(static_cast<bool>(pair.left->probe({.bytes = 1000, .cancel = cancel}, outcome.done(), now_ns())));
  cancel->raise();
  pair.left->tick_probe(now_ns());
  CHECK(outcome.over && outcome.status.code() == GM_ABORTED);
  Outcome late, lost;
  const int64_t start = now_ns();
  CHECK(static_cast<bool>(pair.left->probe({.bytes = 1000, .limit_ms = 50}, late.done(), start)));
  pair.left->tick_probe(start + 49'000'000);
  CHECK(!late.over);
  pair.left->tick_probe(start + 50'000'000);
  CHECK(late.over && late.status.code() == GM_TIMEOUT);
  CHECK(static_cast<bool>(pair.left->probe({.bytes = 1000}, lost.done(), start)));
  pair.left->fail_probe({GM_PEER_LOST, "gone"});
  CHECK(lost.over && lost.status.code() == GM_PEER_LOST);
  pair.turn();  // answers to what was given up are no offence
}

TEST("a burst is cut short in time, and its rate is that of what arrived") {
  Pair pair({.streams = 1});
  Outcome outcome;
  const int64_t start = now_ns();
  const ProbeRequest request{.bytes = kProbeBytesMax, .pings = 1, .limit_ms = 3'000'000};
  CHECK(static_cast<bool>(pair.left->probe(request, outcome.done(), start)));
  for (int turn = 0; turn < 20; ++turn) {
    CHECK(static_cast<bool>(Pair::flush(*pair.left)) && static_cast<bool>(Pair::receive(*pair.right)));
    CHECK(static_cast<bool>(Pair::flush(*pair.right)) && static_cast<bool>(Pair::receive(*pair.left)));
  }
  pair.left->tick_probe(start + 2'000'000'000'000 + 1);
  run(pair, &outcome);
  CHECK(outcome.status && outcome.result.bytes > 100'000 && outcome.result.bytes < kProbeBytesMax);
  CHECK(outcome.result.bytes_per_second > 0);
}

TEST("the fastest quarter's rate is found in bursts of any size") {
  for (const uint64_t parts : {1u, 2u, 3u, 63u, 64u, 65u, 1000u, 4096u}) {
    ProbeMeter meter;
    ProbeReport report;
    bool over = false;
    int64_t now = 1'000'000'000'000;
    // The first half comes at a tenth of the speed of the second.
    for (uint64_t part = 0; part < parts; ++part) {
      now += part < parts / 2 ? 10'000'000 : 1'000'000;
      CHECK(static_cast<bool>(meter.part({FrameType::probe, kProbePayloadMax, 3}, now, &over, &report)));
      CHECK(!over);
      if (now > 1'009'000'000'000) now -= 9'000'000'000;  // so that the window's bound stays out of it
    }
    const uint64_t bytes = parts * kProbePayloadMax;
    CHECK(static_cast<bool>(meter.part({FrameType::probe, 0, 3, bytes}, now, &over, &report)));
    CHECK(over && report.bytes == bytes && report.best_bytes <= bytes);
    if (parts < 63) continue;  // too few: no window
    CHECK(report.best_bytes >= bytes / 4);
    if (parts > 800) continue;  // time was turned back above
    const double rate = static_cast<double>(report.best_bytes) / static_cast<double>(report.best_duration_ns);
    const double due = kProbePayloadMax / 1e6;
    CHECK_THAT(rate > 0.9 * due && rate < 1.1 * due, std::to_string(rate / due));
  }
}

TEST("a peer that floods with probes breaks the protocol, and may ask again in the next window") {
  ProbeMeter meter;
  ProbeReport report;
  bool over = false;
  int64_t now = 1'000'000'000'000;
  for (uint32_t ping = 0; ping < ProbeMeter::kPingsMax; ++ping) CHECK(static_cast<bool>(meter.pinged(now)));
  CHECK(meter.pinged(now).code() == GM_PROTOCOL);
  now += (ProbeMeter::kWindowMs + 1) * 1'000'000;
  CHECK(static_cast<bool>(meter.pinged(now)));
  Status status;
  uint64_t parts = 0;
  for (; status; ++parts) status = meter.part({FrameType::probe, kProbePayloadMax, 3}, now, &over, &report);
  CHECK(status.code() == GM_PROTOCOL && parts <= ProbeMeter::kBytesMax / kProbePayloadMax + 1);
}

TEST("answers that nobody asked for end the link; parts that are too long too") {
  const auto says = [](const FrameHeader& header) {
    Pair pair({.streams = 1});
    pair.right->send({.header = header});
    CHECK(static_cast<bool>(Pair::flush(*pair.right)));
    return Pair::receive(*pair.left).code();
  };
  CHECK(says({.type = FrameType::pong, .operation = 1}) == GM_PROTOCOL);
  CHECK(says({.type = FrameType::probed, .operation = 1}) == GM_PROTOCOL);
  CHECK(says({.type = FrameType::ping, .operation = 1}) == GM_OK);
  FrameHeader header;
  const auto decodes = [&](uint32_t length) {
    return decode_header(encode_header({.type = FrameType::probe, .length = length}), 0, &header).code();
  };
  CHECK(decodes(kProbePayloadMax) == GM_OK && decodes(kProbePayloadMax + 1) == GM_PROTOCOL);
}
