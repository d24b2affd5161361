// Links of several streams between endpoints: opening, losing, measuring, pacing.
#include <sys/socket.h>

#include "group.h"

using namespace group;

namespace {

LinkSecrets striped(uint32_t streams) {
  LinkSecrets secrets = random_secrets();
  secrets.streams = streams;
  return secrets;
}

// Both ends of a link of so many streams.
struct Ends {
  uint32_t dialed = 0, accepted = 0;
  Ends(Endpoint& from, Endpoint& to, uint32_t streams) {
    const LinkSecrets secrets = striped(streams);
    CHECK(static_cast<bool>(to.expect(reversed(secrets), kPatienceMs, &accepted)));
    const Status status = dial(from, to.port(), secrets, &dialed);
    CHECK_THAT(static_cast<bool>(status), status.message());
    CHECK(static_cast<bool>(
        wait_for([&](auto done) { to.ready(accepted, kPatienceMs, nullptr, std::move(done)); })));
  }
};

Status probe(Endpoint& endpoint, uint32_t link, const ProbeRequest& request, ProbeResult* result) {
  return wait_for([&](auto done) {
    endpoint.probe(link, request, [=](const Status& status, const ProbeResult& found) {
      *result = found;
      done(status);
    });
  });
}

std::vector<bool> modes() { return crypto::available() ? std::vector{false, true} : std::vector{false}; }

}  // namespace

TEST("eight peers of one host open links of eight streams to one endpoint, all at once") {
  for (const bool encrypted : modes()) {
    const auto centre = make_endpoint({.encrypted = encrypted});
    const size_t before = open_descriptors();
    std::vector<std::shared_ptr<Endpoint>> peers;
    std::vector<std::future<Status>> opened;
    std::vector<uint32_t> links(8);
    for (uint32_t peer = 0; peer < 8; ++peer) {
      peers.push_back(make_endpoint({.encrypted = encrypted}));
      const LinkSecrets secrets = striped(8);
      CHECK(static_cast<bool>(centre->expect(reversed(secrets), kPatienceMs, &links[peer])));
      auto promise = std::make_shared<std::promise<Status>>();
      opened.push_back(promise->get_future());
      peers[peer]->dial("127.0.0.1", centre->port(), secrets, kPatienceMs, nullptr,
                        [promise](const Status& status, uint32_t) { promise->set_value(status); });
    }
    for (auto& future : opened) {
      const Status status = future.get();
      CHECK_THAT(static_cast<bool>(status), status.message());
    }
    for (const uint32_t link : links)
      CHECK(static_cast<bool>(
          wait_for([&](auto done) { centre->ready(link, kPatienceMs, nullptr, std::move(done)); })));
    CHECK(centre->stats().find("\"linksOpened\":8") != std::string::npos);
    for (const auto& peer : peers) peer->close();
    peers.clear();
    CHECK(eventually([&] { return open_descriptors() == before; }));
  }
}

TEST(
    "a probe finds the round trip and the rate of a link, over any number of its streams, and ends with it") {
  for (const bool encrypted : modes()) {
    const auto here = make_endpoint({.encrypted = encrypted}),
               there = make_endpoint({.encrypted = encrypted});
    const Ends ends(*here, *there, 4);
    ProbeResult result;
    for (const uint32_t streams : {1u, 2u, 4u}) {
      const Status status = probe(*here, ends.dialed, {.bytes = 1 << 20, .streams = streams}, &result);
      CHECK_THAT(static_cast<bool>(status), status.message());
      CHECK(result.bytes == 1 << 20 && result.streams == streams && result.bytes_per_second > 0);
    }
    CHECK(probe(*here, ends.dialed, {.streams = 5}, &result).code() == GM_INVALID_ARGUMENT);
    CHECK(probe(*here, 999, {}, &result).code() == GM_CLOSED);
    std::string json;
    CHECK(static_cast<bool>(here->link_stats(ends.dialed, &json)));
    CHECK_THAT(json.find("{\"streams\":4,\"streamsUsed\":4,") == 0, json);
    CHECK(static_cast<bool>(here->use(ends.dialed, 2)));
    CHECK(static_cast<bool>(here->link_stats(ends.dialed, &json)));
    CHECK_THAT(json.find("\"streamsUsed\":2") != std::string::npos, json);
    CHECK(here->use(ends.dialed, 5).code() == GM_INVALID_ARGUMENT);

    here->pace(100'000);  // so that the burst can't be over before the end
    auto promise = std::make_shared<std::promise<Status>>();
    here->probe(ends.dialed, {.bytes = 100 << 20, .limit_ms = kPatienceMs},
                [=](const Status& status, const ProbeResult&) { promise->set_value(status); });
    there->close();
    CHECK(promise->get_future().get().code() == GM_PEER_LOST);
  }
}

TEST("a link of which one stream never comes is not open, and its ticket admits no other number of them") {
  const auto here = make_endpoint({.encrypted = false}), there = make_endpoint({.encrypted = false});
  LinkSecrets secrets = striped(3);
  uint32_t accepted = 0, dialed = 0;
  CHECK(static_cast<bool>(there->expect(reversed(secrets), 300, &accepted)));
  secrets.streams = 2;
  CHECK(dial(*here, there->port(), secrets, &dialed).code() == GM_UNAUTHORIZED);
  CHECK(there->refusals().counts[static_cast<size_t>(Refusal::mode)] >= 1);
  const Status ready =
      wait_for([&](auto done) { there->ready(accepted, kPatienceMs, nullptr, std::move(done)); });
  CHECK_THAT(ready.code() == GM_TIMEOUT, ready.message());
}

namespace {

struct Listener : LinkTableEvents {
  std::string log;
  Status frame_arriving(Link&, const FrameHeader&, Landing*) override { return Status::ok(); }
  Status frame_arrived(Link&, const FrameHeader& header, std::span<const uint8_t>, uint32_t) override {
    log += header.type == FrameType::abort ? "abort " : "frame ";
    return Status::ok();
  }
  void frame_sent(Link&, const OutgoingFrame&) override {}
  void link_lost(Link&, const Status&) override { log += "lost "; }
};

void say(const Descriptor& socket, FrameType type, uint64_t sequence) {
  FrameGuard guard;
  const FrameHeaderBytes header = encode_header({.type = type, .operation = 1, .sequence = sequence});
  std::array<uint8_t, kFrameHeaderBytes + kCrcBytes> bytes;
  std::copy(header.begin(), header.end(), bytes.begin());
  CHECK(guard.begin(header) && guard.finish_seal(&bytes[kFrameHeaderBytes]));
  CHECK(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

}  // namespace

TEST("what a peer said before it closed is heard, also where another stream's end is seen first") {
  constexpr uint64_t kLinkTag = 4ull << 32;
  Poller poller;
  Tickets tickets;
  Refusals refusals;
  Traffic traffic;
  Listener listener;
  CHECK(static_cast<bool>(poller.open()));
  LinkTable table(poller, tickets, refusals, traffic, listener, {.encrypted = false, .link_tag = kLinkTag});
  table.expect(7, striped(3), now_ms() + kPatienceMs);
  std::array<Descriptor, 3> peer;
  const auto readable = [&](uint64_t stream, uint32_t events) {
    epoll_event event{.events = events, .data = {.u64 = kLinkTag | stream << LinkTable::kStreamShift | 7}};
    CHECK(table.event(event, now_ms()));
  };
  for (uint32_t stream = 0; stream < 3; ++stream) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    peer[stream] = Descriptor(ends[0]);
    table.admitted({Descriptor(ends[1]), 7, stream}, now_ms());
    say(peer[stream], FrameType::proof, 0);
    readable(stream, EPOLLIN);
  }
  CHECK(table.opened() == 1);
  say(peer[0], FrameType::abort, 1);
  peer[1].close();
  readable(1, EPOLLIN);
  CHECK_THAT(listener.log == "abort lost ", listener.log);
  Link* link = nullptr;
  CHECK(table.find(7, &link).code() == GM_PEER_LOST);
}

TEST("a silent stream loses its link, and heartbeats keep every stream of an idle one") {
  const auto here = make_endpoint({.silence_limit_ms = 200, .encrypted = false});
  const auto there = make_endpoint({.silence_limit_ms = 200, .encrypted = false});
  const Ends ends(*here, *there, 4);
  const uint64_t before = there->traffic().control_received;
  const uint64_t beat = kFrameHeaderBytes + kCrcBytes;
  // Longer than the limit: forty beats of each stream.
  CHECK(eventually([&] { return there->traffic().control_received > before + 160 * beat; }));
  std::string json;
  CHECK(static_cast<bool>(here->link_stats(ends.dialed, &json)));
  there->close_link(ends.accepted);
  CHECK(eventually([&] { return here->link_stats(ends.dialed, &json).code() == GM_PEER_LOST; }));
}

TEST("pacing holds what an endpoint sends to its rate, whatever the links and streams") {
  const auto here = make_endpoint({.encrypted = false}), there = make_endpoint({.encrypted = false});
  const Ends one(*here, *there, 1), four(*here, *there, 4);
  here->pace(2'000'000);
  std::vector<std::future<Status>> ends;
  const int64_t start = now_ns();
  for (const uint32_t link : {one.dialed, four.dialed}) {
    auto promise = std::make_shared<std::promise<Status>>();
    ends.push_back(promise->get_future());
    here->probe(link, {.bytes = 500'000, .pings = 1, .limit_ms = kPatienceMs},
                [=](const Status& status, const ProbeResult& result) {
                  CHECK(result.bytes == 500'000);
                  promise->set_value(status);
                });
  }
  for (auto& end : ends) CHECK(static_cast<bool>(end.get()));
  // A megabyte at two a second; the buckets may give 12 ms of it at once.
  CHECK(now_ns() - start > 480'000'000);
}
