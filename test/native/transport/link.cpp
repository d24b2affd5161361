// What a link carries, over one stream and several.
#include "transport/link.h"

#include "pair.h"

using namespace pair;

TEST("frames of any size arrive whole, both ways at once") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    std::vector<Bytes> payloads;
    for (const size_t size : {1u, 31u, 1000u, 65536u, 300'000u, 5u, 2'000'000u, 131'072u, 0u, 16'384u})
      payloads.push_back(pattern(size, static_cast<uint8_t>(size)));
    for (uint64_t tag = 0; tag < payloads.size(); ++tag) {
      pair.left->send(data_frame(payloads[tag], tag));
      pair.right->send(data_frame(payloads[tag], tag));
      pair.left->send({.header = {FrameType::done, 0, 5, tag}});
    }
    CHECK(pair.left->bytes_queued() > 2'000'000);
    pair.turn();
    for (uint64_t tag = 0; tag < payloads.size(); ++tag) {
      CHECK(starts_with(pair.right_events.data[tag], payloads[tag]));
      CHECK(starts_with(pair.left_events.data[tag], payloads[tag]));
    }
    CHECK(pair.right_events.count(FrameType::data) == payloads.size());
    CHECK(pair.right_events.count(FrameType::done) == payloads.size());
    CHECK(pair.left_events.sent.size() == 2 * payloads.size());
    CHECK(pair.left->idle() && pair.right->idle() && pair.left->bytes_queued() == 0);
  }
}

TEST("many small frames arrive in the order of a stream, few calls for all") {
  for (const Options& mode : modes()) {
    Pair pair({mode.encrypted, 1, mode.rekey});
    const Bytes payload = pattern(100, 3);
    for (uint64_t tag = 0; tag < 1000; ++tag) pair.left->send(data_frame(payload, tag));
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 1000);
    for (uint64_t tag = 0; tag < pair.right_events.arrived.size(); ++tag)
      CHECK(pair.right_events.arrived[tag].tag == tag && starts_with(pair.right_events.data[tag], payload));
  }
}

TEST("a control frame overtakes the data that waits") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    const Bytes payload = pattern(200'000, 3);
    for (uint64_t tag = 0; tag < 50; ++tag) pair.left->send(data_frame(payload, tag));
    pair.left->send({.header = {FrameType::abort, 0, 5, 99}});
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 51);
    CHECK(pair.right_events.arrived[0].type == FrameType::abort);
  }
}

TEST("a stream that is stuck keeps no frame from the others") {
  Pair pair({.streams = 3});
  const Bytes payload = pattern(100'000, 3);
  for (uint64_t tag = 0; tag < 60; ++tag) pair.left->send(data_frame(payload, tag));
  // Nobody reads the middle one.
  for (int turn = 0; turn < 2000 && pair.right_events.arrived.size() < 50; ++turn) {
    CHECK(static_cast<bool>(Pair::flush(*pair.left)));
    for (const uint32_t stream : {0u, 2u}) CHECK(static_cast<bool>(pair.right->stream(stream)->receive()));
  }
  CHECK(pair.right_events.arrived.size() >= 50);
  pair.turn();
  CHECK(pair.right_events.arrived.size() == 60);
}

TEST("data goes over the last streams alone when told, and control over the first") {
  Pair pair({.streams = 4});
  pair.left->use(2);
  const Bytes payload = pattern(100'000, 3);
  std::array<uint64_t, 4> before{};
  for (uint32_t stream = 0; stream < 4; ++stream)
    before[stream] = pair.right->stream(stream)->bytes_received();
  for (uint64_t tag = 0; tag < 40; ++tag) pair.left->send(data_frame(payload, tag));
  pair.left->send({.header = {FrameType::done, 0, 5, 9}});
  pair.turn();
  const auto came = [&](uint32_t stream) {
    return pair.right->stream(stream)->bytes_received() - before[stream];
  };
  CHECK(came(0) == kFrameHeaderBytes + kCrcBytes);
  CHECK(came(1) == 0 && came(2) > 1'000'000 && came(3) > 1'000'000);
}

TEST("a held frame stops its stream alone, and comes after resume") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    const Bytes payload = pattern(200'000, 3);
    pair.right_events.place = Place::hold;
    for (uint64_t tag = 0; tag < 2 * mode.streams; ++tag) pair.left->send(data_frame(payload, tag));
    pair.turn();
    CHECK(pair.right_events.arrived.empty());
    for (uint32_t stream = 0; stream < mode.streams; ++stream) CHECK(pair.right->stream(stream)->held());
    pair.right->resume();
    CHECK(pair.right->resumed() && !pair.right->stream(0)->held());
    pair.turn();
    CHECK(pair.right_events.arrived.empty() && pair.right->stream(0)->held());
    pair.right_events.place = Place::take;
    pair.right->resume();
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 2 * mode.streams);
    for (uint64_t tag = 0; tag < 2 * mode.streams; ++tag)
      CHECK(starts_with(pair.right_events.data[tag], payload));
  }
}

TEST("skipped frames are read to nowhere, and what follows is whole") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    const Bytes big = pattern(500'000, 1), next = pattern(100, 2);
    pair.right_events.place = Place::skip;
    for (uint64_t tag = 0; tag < 8; ++tag) pair.left->send(data_frame(big, tag));
    pair.turn();
    CHECK(pair.right_events.arrived.empty());
    pair.right_events.place = Place::take;
    for (uint64_t tag = 10; tag < 20; ++tag) pair.left->send(data_frame(next, tag));
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 10 && starts_with(pair.right_events.data[15], next));
  }
}

TEST(
    "data dropped midway touches its memory no more, on either side; other operations and the streams go "
    "on") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    const Bytes whole = pattern(1'000'000, 1), kept = pattern(400'000, 2);
    std::vector<Bytes> doomed(10, whole);
    for (uint64_t tag = 0; tag < 10; ++tag) {
      pair.left->send(data_frame(doomed[tag], tag, 5));
      pair.left->send(data_frame(kept, 100 + tag, 6));
    }
    CHECK(static_cast<bool>(Pair::flush(*pair.left)));
    CHECK(static_cast<bool>(Pair::receive(*pair.right)));
    CHECK(static_cast<bool>(Pair::flush(*pair.left)));
    CHECK(!pair.left->idle());
    const size_t sent_before = pair.left_events.sent.size();
    for (int twice = 0; twice < 2; ++twice) pair.left->drop_data(5);
    pair.right->drop_data(5);
    for (Bytes& bytes : doomed) std::fill(bytes.begin(), bytes.end(), 0xee);
    const std::map<uint64_t, Bytes> before = pair.right_events.data;
    pair.turn();
    // What was half received stays as it was; what was half sent comes whole, from its copy.
    for (const auto& [tag, bytes] : pair.right_events.data) {
      const auto half = before.find(tag);
      CHECK((half != before.end() && bytes == half->second) || starts_with(bytes, tag < 100 ? whole : kept));
    }
    for (uint64_t tag = 0; tag < 10; ++tag) CHECK(starts_with(pair.right_events.data[100 + tag], kept));
    for (size_t at = sent_before; at < pair.left_events.sent.size(); ++at)
      CHECK(pair.left_events.sent[at].operation == 6);
    CHECK(pair.left->idle());
  }
}

TEST("everything dropped leaves streams that carry the next frames") {
  for (const Options& mode : modes()) {
    Pair pair(mode);
    Bytes big = pattern(3'000'000, 1);
    const Bytes next = pattern(100, 2);
    for (uint64_t tag = 0; tag < 8; ++tag) pair.left->send(data_frame(big, tag, tag));
    CHECK(static_cast<bool>(Pair::flush(*pair.left)));
    CHECK(static_cast<bool>(Pair::receive(*pair.right)));
    for (uint64_t operation = 0; operation < 8; ++operation) {
      pair.left->drop_data(operation);
      pair.right->drop_data(operation);
    }
    std::fill(big.begin(), big.end(), 0xee);
    const std::map<uint64_t, Bytes> before = pair.right_events.data;
    pair.right_events.place = Place::skip;
    pair.turn();
    CHECK(pair.right_events.data == before);
    CHECK(pair.right_events.arrived.empty() && pair.left->idle() && pair.left_events.sent.empty());
    pair.right_events.place = Place::take;
    pair.left->send(data_frame(next, 30));
    pair.turn();
    CHECK(pair.right_events.arrived.size() == 1 && starts_with(pair.right_events.data[30], next));
  }
}

TEST("a closed other side is a lost peer, whichever stream shows it") {
  for (const uint32_t streams : {1u, 3u}) {
    Pair pair({.streams = streams});
    pair.right.reset();
    CHECK(pair.left->stream(streams - 1)->receive().code() == GM_PEER_LOST);
    const Bytes payload = pattern(10, 1);
    pair.left->send(data_frame(payload, 1));
    CHECK(Pair::flush(*pair.left).code() == GM_PEER_LOST);
  }
}

TEST("data waits for its pace, control doesn't") {
  for (const uint32_t streams : {1u, 2u}) {
    Pair pair({.streams = streams});
    pair.left_pace.set_rate(1000);  // a second and more for the next packet
    const Bytes payload = pattern(100'000, 1);
    pair.left->send(data_frame(payload, 1));
    pair.turn();
    CHECK(!pair.left->idle() && pair.right_events.arrived.empty());
    CHECK(!pair.left->ready(false) && pair.left->ready(true));
    pair.left->send({.header = {FrameType::done, 0, 5, 9}});
    CHECK(pair.left->ready(false));
    pair.turn();
    // Where the only stream is in the middle of a frame, the rest of that goes too, and is paid for later.
    CHECK(pair.right_events.count(FrameType::done) == 1);
    CHECK(pair.right_events.count(FrameType::data) == (streams == 1 ? 1 : 0));
    pair.left_pace.set_rate(0);
    pair.turn();
    CHECK(pair.right_events.count(FrameType::data) == 1);
  }
}
