// Strangers and forgers: what they send is refused, counted, and does the running collectives no harm.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "group.h"
#include "transport/guard.h"

using namespace group;

namespace {

using Bytes = std::vector<uint8_t>;

// A blocking socket to a port of this host.
class Stranger {
 public:
  explicit Stranger(uint32_t port, uint32_t from = INADDR_LOOPBACK)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(from);
    CHECK(bind(socket_.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) == 0);
    const timeval patience{kPatienceMs / 1000, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    CHECK(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  void say(std::span<const uint8_t> bytes) {
    ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  bool hear(std::span<uint8_t> bytes) {
    return recv(socket_.get(), bytes.data(), bytes.size(), MSG_WAITALL) == static_cast<ssize_t>(bytes.size());
  }
  // True once the other side has closed; whatever comes before is read.
  bool closed() {
    uint8_t bytes[4096];
    ssize_t got;
    do got = recv(socket_.get(), bytes, sizeof bytes, 0);
    while (got > 0);
    return got == 0 || errno == ECONNRESET;
  }

 private:
  Descriptor socket_;
};

uint64_t refused(Endpoint& endpoint, Refusal why) {
  return endpoint.refusals().counts[static_cast<size_t>(why)];
}

// A group that runs one collective after the other while the body does its worst.
template <class Body>
void undisturbed(Group& group, Body&& body) {
  std::mt19937_64 random(check::seed());
  const auto inputs = random_inputs(group.ranks(), 20'000, random);
  std::atomic<bool> over = false;
  std::atomic<uint64_t> rounds = 0;
  std::thread worker([&] {
    std::vector<float> due;
    for (uint64_t id = 1; !over || id < 4; ++id, ++rounds)
      for (const Result& result : group.run({.id = id, .collective = 1, .segment = 1000}, inputs)) {
        if (due.empty()) due = result.output;
        CHECK_THAT(static_cast<bool>(result.status), result.status.message());
        CHECK(same_bytes(result.output, due));
      }
  });
  body();
  const uint64_t now = rounds;
  CHECK(eventually([&] { return rounds > now; }));
  over = true;
  worker.join();
}

Bytes random_bytes(size_t size) {
  Bytes bytes(size);
  CHECK(static_cast<bool>(crypto::random_bytes(bytes)));
  return bytes;
}

}  // namespace

TEST("strangers at the door are refused by reason, and the running collectives don't notice") {
  Group group(3, {.encrypted = false, .admission = {.half_open_max = 4, .hello_limit_ms = 1000}});
  Endpoint& endpoint = group.endpoint(0);
  const LinkSecrets once = random_secrets(), brief = random_secrets(), late_comer = random_secrets();
  uint32_t link = 0;
  undisturbed(group, [&] {
    Stranger random(endpoint.port()), huge(endpoint.port()), unknown(endpoint.port()),
        versioned(endpoint.port());
    random.say(random_bytes(500));
    CHECK(random.closed());
    huge.say(Bytes(4096, 0xff));  // were it a length, it would be 4 GiB
    CHECK(huge.closed());
    CHECK(refused(endpoint, Refusal::garbage) == 2);

    unknown.say(encode_hello({random_secrets().ticket}, false));
    CHECK(unknown.closed());
    CHECK(refused(endpoint, Refusal::unknown) == 1);
    HelloBytes newer = encode_hello({random_secrets().ticket}, false);
    newer[8] = 99;
    versioned.say(newer);
    CHECK(versioned.closed());
    CHECK(refused(endpoint, Refusal::version) == 1);
    Stranger secretive(endpoint.port());
    secretive.say(encode_hello({random_secrets().ticket}, true));
    CHECK(secretive.closed());
    CHECK(refused(endpoint, Refusal::mode) == 1);

    CHECK(static_cast<bool>(endpoint.expect(once, kPatienceMs, &link)));
    Stranger first(endpoint.port()), replay(endpoint.port());
    first.say(encode_hello({once.ticket}, false));
    AcceptBytes answer;
    CHECK(first.hear(answer));
    CHECK(check_accept(answer, false) == HelloFault::none);
    replay.say(encode_hello({once.ticket}, false));
    CHECK(replay.closed());
    CHECK(refused(endpoint, Refusal::used) == 1);

    CHECK(static_cast<bool>(endpoint.expect(brief, 1, &link)));
    CHECK(wait_for([&](auto done) { endpoint.ready(link, kPatienceMs, nullptr, std::move(done)); }).code() ==
          GM_TIMEOUT);
    Stranger late(endpoint.port());
    late.say(encode_hello({brief.ticket}, false));
    CHECK(late.closed());
    CHECK(refused(endpoint, Refusal::expired) == 1);

    Stranger slow(endpoint.port());
    slow.say(std::span(newer).first(20));
    CHECK(slow.closed());
    CHECK(refused(endpoint, Refusal::slow) == 1);
    { Stranger hasty(endpoint.port()); }
    CHECK(eventually([&] { return refused(endpoint, Refusal::closed) == 1; }));

    // Of the crowd's own sockets the oldest has to go, not the one that another host opened before.
    CHECK(static_cast<bool>(endpoint.expect(late_comer, kPatienceMs, &link)));
    Stranger other(endpoint.port(), INADDR_LOOPBACK + 1);
    std::vector<std::unique_ptr<Stranger>> crowd;
    for (int at = 0; at < 6; ++at) crowd.push_back(std::make_unique<Stranger>(endpoint.port()));
    CHECK(crowd[0]->closed());
    CHECK(eventually([&] { return refused(endpoint, Refusal::crowded) >= 2; }));
    other.say(encode_hello({late_comer.ticket}, false));
    CHECK(other.hear(answer));
  });
  CHECK(endpoint.stats().find("\"usedTicket\":1") != std::string::npos);
}

TEST("a wrong key, a ticket refused and a port where nobody listens fail the dial by type") {
  if (!crypto::available()) return void(std::puts("skipped: no libcrypto here"));
  const auto here = make_endpoint({}), there = make_endpoint({});
  LinkSecrets secrets = random_secrets();
  uint32_t link = 0, expected = 0;
  const Status stranger = dial(*here, there->port(), secrets, &link);
  CHECK_THAT(stranger.code() == GM_UNAUTHORIZED, stranger.message());
  CHECK(static_cast<bool>(there->expect(reversed(secrets), kPatienceMs, &expected)));
  secrets.send_key[0] ^= 1;
  const Status forged = dial(*here, there->port(), secrets, &link);
  CHECK_THAT(forged.code() == GM_UNAUTHORIZED, forged.message());
  const Status ready =
      wait_for([&](auto done) { there->ready(expected, kPatienceMs, nullptr, std::move(done)); });
  CHECK_THAT(ready.code() == GM_UNAUTHORIZED, ready.message());
  CHECK(refused(*there, Refusal::proof) == 1);
  const uint32_t port = there->port();
  there->close();
  CHECK(dial(*here, port, secrets, &link).code() == GM_IO);
  CHECK(wait_for([&](auto done) {
          here->dial("example.com", port, secrets, 1000, nullptr,
                     [=](const Status& status, uint32_t) { done(status); });
        }).code() == GM_INVALID_ARGUMENT);
}

TEST("a socket that never answers fails the dial in time, and a raised flag ends it") {
  const auto here = make_endpoint({.encrypted = false});
  Descriptor mute;
  uint32_t port = 0, link = 0;
  CHECK(static_cast<bool>(listen_on("127.0.0.1", 0, &mute, &port)));
  CHECK(dial(*here, port, random_secrets(), &link, 20).code() == GM_TIMEOUT);
  const auto cancel = std::make_shared<Cancel>();
  std::promise<Status> promise;
  here->dial("127.0.0.1", port, random_secrets(), kPatienceMs, cancel,
             [&](const Status& status, uint32_t) { promise.set_value(status); });
  cancel->raise();
  CHECK(promise.get_future().get().code() == GM_ABORTED);
}

namespace {

// Speaks frames by hand over an admitted plain socket.
class Forger : public Stranger {
 public:
  Forger(Endpoint& endpoint, uint32_t* link) : Stranger(endpoint.port()) {
    const LinkSecrets secrets = random_secrets();
    CHECK(static_cast<bool>(endpoint.expect(secrets, kPatienceMs, link)));
    say(encode_hello({secrets.ticket}, false));
    AcceptBytes answer;
    CHECK(hear(answer));
    say(frame({.type = FrameType::proof}));
    CHECK(static_cast<bool>(
        wait_for([&](auto done) { endpoint.ready(*link, kPatienceMs, nullptr, std::move(done)); })));
  }
  static Bytes frame(const FrameHeader& header, const Bytes& payload = {}) {
    FrameHeader whole = header;
    if (!payload.empty()) whole.length = static_cast<uint32_t>(payload.size());
    const FrameHeaderBytes bytes = encode_header(whole);
    uint8_t trailer[kTrailerBytesMax];
    FrameGuard guard;
    CHECK(guard.begin(bytes) && guard.seal(payload, nullptr) && guard.finish_seal(trailer));
    Bytes all(kFrameHeaderBytes + payload.size() + kCrcBytes);
    std::copy(bytes.begin(), bytes.end(), all.begin());
    std::copy(payload.begin(), payload.end(), all.begin() + kFrameHeaderBytes);
    std::copy(trailer, trailer + kCrcBytes, all.end() - kCrcBytes);
    return all;
  }
};

Bytes abort_of(uint32_t origin, uint32_t rank) {
  Bytes payload(kAbortBytes);
  encode_abort({.code = GM_PEER_LOST, .origin = origin, .rank = rank}, payload.data());
  return payload;
}

Bytes begin_of(const Call& call, uint32_t elements) {
  Bytes payload(kSignatureBytes);
  Signature signature{
      .collective = call.collective, .ranks = 2, .sender = 1, .codec = call.codec->fingerprint};
  signature.elements = elements, signature.segment_elements = call.segment;
  signature.seed = kSeed, signature.step = kStep;
  signature.details = details_fingerprint(request_of(call, 2, 1, elements));
  encode_signature(signature, payload.data());
  return payload;
}

}  // namespace

TEST("an admitted peer that breaks the protocol loses its link, before anything is allocated for it") {
  const Call call{.id = 1, .collective = 1, .segment = 256};
  const Bytes begin = begin_of(call, 1000);
  using Speech = std::vector<Bytes>;
  FrameHeader huge{FrameType::data, 0xffffffff, 1, 0, 2};
  Bytes flipped = Forger::frame({FrameType::begin, 0, 1, 0, 1}, begin);
  flipped[40] ^= 4;
  const Bytes start = Forger::frame({FrameType::begin, 0, 1, 0, 1}, begin);
  const struct {
    const char *what, *reason;
    Speech speech;
  } cases[] = {
      {"a length of 4 GiB", "4294967295 bytes; at most", {start, Forger::frame(huge)}},
      {"a control frame too long", "at most", {Forger::frame({FrameType::begin, 1 << 20, 1, 0, 1})}},
      {"data of a wrong length first",
       "the schedule has",
       {Forger::frame({FrameType::data, 0, 1, 0, 1}, Bytes(1000))}},
      {"a wrong tag", "no step expects", {start, Forger::frame({FrameType::data, 0, 1, 77, 2}, Bytes(9))}},
      {"a wrong length", "the schedule has", {start, Forger::frame({FrameType::data, 0, 1, 0, 2}, Bytes(9))}},
      {"a replayed frame", "replayed", {start, start}},
      {"a frame out of order", "out of order", {Forger::frame({FrameType::heartbeat, 0, 0, 0, 2})}},
      {"an unknown type", "unknown type", {Forger::frame({static_cast<FrameType>(99), 0, 0, 0, 1})}},
      {"a second proof", "second proof", {Forger::frame({FrameType::proof, 0, 0, 0, 1})}},
      {"a second begin", "second", {start, Forger::frame({FrameType::begin, 0, 1, 0, 2}, begin)}},
      {"done twice",
       "or twice",
       {start, Forger::frame({FrameType::done, 0, 1, 0, 2}), Forger::frame({FrameType::done, 0, 1, 0, 3})}},
      {"an odd abort",
       "says nothing",
       {Forger::frame({FrameType::abort, 0, 1, 0, 1}, Bytes(kAbortBytes, 0xff))}},
      {"an abort by nobody",
       "not there",
       {start, Forger::frame({FrameType::abort, 0, 1, 0, 2}, abort_of(9, 1))}},
      {"an abort over nobody",
       "not there",
       {start, Forger::frame({FrameType::abort, 0, 1, 0, 2}, abort_of(1, 9))}},
      {"an abort in our name",
       "not there",
       {start, Forger::frame({FrameType::abort, 0, 1, 0, 2}, abort_of(0, 1))}},
      {"a flipped bit", "checksum", {flipped}},
      {"random bytes", "a frame", {random_bytes(10'000)}},
  };
  for (const auto& [what, reason, speech] : cases) {
    Group group(1, {.encrypted = false});
    uint32_t link = 0;
    Forger forger(group.endpoint(0), &link);
    auto future = group.post(0, call, std::vector<float>(1000, 1.0f), {-1, static_cast<int32_t>(link)});
    for (const Bytes& bytes : speech) forger.say(bytes);
    CHECK_THAT(forger.closed(), what);
    const Result result = future.get();
    CHECK_THAT(result.status.code() == GM_PEER_LOST && result.report[4] == 1, result.status.message());
    CHECK_THAT(result.status.message().find(reason) != std::string::npos, result.status.message());
    CHECK_THAT(result.input == std::vector<float>(1000, 1.0f), what);
  }
}

TEST("a peer outside of the group is told so, and the group does not notice") {
  const Call call{.id = 1, .collective = 1, .segment = 256};
  Group group(1, {.silence_limit_ms = 600'000, .encrypted = false});  // so that only the begin can end it
  uint32_t member_link = 0, stranger_link = 0;
  Forger member(group.endpoint(0), &member_link), stranger(group.endpoint(0), &stranger_link);
  auto future = group.post(0, call, std::vector<float>(1000, 1.0f), {-1, static_cast<int32_t>(member_link)});
  // Its begin says that the operation runs, so the stranger's comes in the middle.
  Bytes begun(kFrameHeaderBytes * 2 + kCrcBytes * 2 + kSignatureBytes);  // our proof, then our begin
  CHECK(member.hear(begun));
  const Bytes begin = begin_of(call, 1000);
  stranger.say(Forger::frame({FrameType::begin, 0, 1, 0, 1}, begin));
  Bytes told(kFrameHeaderBytes * 2 + kCrcBytes * 2 + kAbortBytes);  // our proof, then our abort
  CHECK(stranger.hear(told));
  CHECK(told[kFrameHeaderBytes + kCrcBytes] == static_cast<uint8_t>(FrameType::abort));
  member.say(Forger::frame({FrameType::abort, 0, 1, 0, 1}, abort_of(1, 1)));
  CHECK(future.get().status.code() == GM_PEER_LOST);
}
