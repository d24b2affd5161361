// Early frames, streams without an order between them, and what a member of the mesh may do with both.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "group.h"
#include "transport/guard.h"

using namespace group;

namespace {

using Bytes = std::vector<uint8_t>;

// The peer of one link of several plain sockets, which speaks frames by hand.
class Peer {
 public:
  Peer(Endpoint& endpoint, uint32_t streams) : sequences_(streams, 1) {
    const LinkSecrets secrets = random_secrets(streams);
    uint32_t id = 0;
    CHECK(static_cast<bool>(endpoint.expect(secrets, kPatienceMs, &id)));
    link = static_cast<int32_t>(id);
    for (uint32_t stream = 0; stream < streams; ++stream) {
      sockets_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(endpoint.port()));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      const int socket = sockets_.back().get();
      const timeval patience{kPatienceMs / 1000, 0};
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      CHECK(connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
      say(stream, encode_hello({secrets.ticket, stream, streams}, false));
      AcceptBytes answer;
      CHECK(recv(socket, answer.data(), answer.size(), MSG_WAITALL) == static_cast<ssize_t>(answer.size()));
      say(stream, frame({.type = FrameType::proof}, {}));
    }
    CHECK(static_cast<bool>(
        wait_for([&](auto done) { endpoint.ready(id, kPatienceMs, nullptr, std::move(done)); })));
  }
  bool say(uint32_t stream, std::span<const uint8_t> bytes) {
    return ::send(sockets_[stream].get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  Bytes next(uint32_t stream, FrameType type, uint64_t operation, uint64_t tag, const Bytes& payload) {
    return frame({type, static_cast<uint32_t>(payload.size()), operation, tag, sequences_[stream]++},
                 payload);
  }
  bool closed(uint32_t stream) {
    uint8_t bytes[4096];
    ssize_t got;
    do got = recv(sockets_[stream].get(), bytes, sizeof bytes, 0);
    while (got > 0);
    return got == 0 || errno == ECONNRESET;
  }
  int32_t link = 0;

 private:
  static Bytes frame(const FrameHeader& header, const Bytes& payload) {
    const FrameHeaderBytes bytes = encode_header(header);
    uint8_t trailer[kTrailerBytesMax];
    FrameGuard guard;
    CHECK(guard.begin(bytes) && guard.seal(payload, nullptr) && guard.finish_seal(trailer));
    Bytes all(bytes.begin(), bytes.end());
    all.insert(all.end(), payload.begin(), payload.end());
    all.insert(all.end(), trailer, trailer + kCrcBytes);
    return all;
  }
  std::vector<Descriptor> sockets_;
  std::vector<uint64_t> sequences_;
};

constexpr uint32_t kElements = 50'000;
// Rank 1 gives rank 0 everything in one frame.
const Call kGift{.id = 9, .collective = 2, .root = 1};

Bytes begin_of(const Call& call, uint64_t seed = kSeed) {
  const ScheduleRequest request = request_of(call, 2, 1, kElements);
  Signature signature{.collective = call.collective,
                      .ranks = 2,
                      .root = call.root,
                      .sender = 1,
                      .codec = call.codec->fingerprint};
  signature.elements = kElements, signature.segment_elements = call.segment;
  signature.seed = seed, signature.step = kStep;
  signature.details = details_fingerprint(request);
  Bytes payload(kSignatureBytes);
  encode_signature(signature, payload.data());
  return payload;
}

uint64_t gift_tag() {
  Schedule schedule;
  CHECK(static_cast<bool>(write_schedule(request_of(kGift, 2, 0, kElements), &schedule)));
  for (const Step& step : schedule.steps)
    if (step.kind == StepKind::recv) return step.tag;
  return 0;
}

const Bytes kPresent(kElements * sizeof(float), 0);

}  // namespace

TEST("what lands early of a peer that is not of the group is read to nowhere once the operation runs") {
  Group group(1, {.encrypted = false});
  Endpoint& endpoint = group.endpoint(0);
  Peer member(endpoint, 1), stranger(endpoint, 1);
  const Bytes whole = stranger.next(0, FrameType::data, kGift.id, 3, Bytes(1 << 20, 7));
  const std::span<const uint8_t> all(whole);
  stranger.say(0, all.first(100'000));
  // The half of it is there once another link's later byte is.
  std::string json;
  CHECK(eventually([&] {
    CHECK(static_cast<bool>(endpoint.link_stats(static_cast<uint32_t>(stranger.link), &json)));
    return json.find("\"bytesReceived\":100") != std::string::npos;
  }));
  auto future = group.post(0, kGift, std::vector<float>(kElements), {-1, member.link});
  CHECK(
      static_cast<bool>(endpoint.use(static_cast<uint32_t>(member.link), 1)));  // after the operation's start
  stranger.say(0, all.subspan(100'000));
  CHECK(eventually([&] { return endpoint.traffic().payload_received >= 1u << 20; }));
  member.say(0, member.next(0, FrameType::begin, kGift.id, 0, begin_of(kGift)));
  member.say(0, member.next(0, FrameType::data, kGift.id, gift_tag(), kPresent));
  member.say(0, member.next(0, FrameType::done, kGift.id, 0, {}));
  const Result result = future.get();
  CHECK_THAT(static_cast<bool>(result.status), result.status.message());
}

TEST("an early frame that comes twice ends the link") {
  Group group(1, {.encrypted = false});
  Endpoint& endpoint = group.endpoint(0);
  Peer peer(endpoint, 2);
  const Bytes first = peer.next(0, FrameType::data, kGift.id, gift_tag(), kPresent);
  const std::span<const uint8_t> all(first);
  peer.say(0, all.first(20'000));
  std::string json;
  CHECK(eventually([&] {
    CHECK(static_cast<bool>(endpoint.link_stats(static_cast<uint32_t>(peer.link), &json)));
    return json.find("\"bytesReceived\":20") != std::string::npos;
  }));
  peer.say(1, peer.next(1, FrameType::data, kGift.id, gift_tag(), kPresent));
  eventually([&] {
    return endpoint.traffic().payload_received >= kPresent.size() ||
           !endpoint.link_stats(static_cast<uint32_t>(peer.link), &json);
  });
  auto future = group.post(0, kGift, std::vector<float>(kElements), {-1, peer.link});
  peer.say(0, all.subspan(20'000));
  CHECK(peer.closed(0));
  CHECK(future.get().status.code() == GM_PEER_LOST);
}

TEST("a peer cannot fill the memory with early frames that carry nothing") {
  Group group(1, {.encrypted = false});
  Peer peer(group.endpoint(0), 1);
  bool taken = true;
  for (uint64_t tag = 0; tag < 300'000 && taken; ++tag)
    taken = peer.say(0, peer.next(0, FrameType::data, kGift.id, tag, {}));
  CHECK(!taken);
}

TEST("done may overtake begin in another stream") {
  Group group(1, {.encrypted = false});
  Endpoint& endpoint = group.endpoint(0);
  Peer peer(endpoint, 2);
  auto future = group.post(0, kGift, std::vector<float>(kElements), {-1, peer.link});
  CHECK(static_cast<bool>(endpoint.use(static_cast<uint32_t>(peer.link), 2)));
  const uint64_t before = endpoint.traffic().control_received;
  peer.say(1, peer.next(1, FrameType::data, kGift.id, gift_tag(), kPresent));
  peer.say(1, peer.next(1, FrameType::done, kGift.id, 0, {}));
  CHECK(eventually(
      [&] { return endpoint.traffic().control_received >= before + kFrameHeaderBytes + kCrcBytes; }));
  peer.say(0, peer.next(0, FrameType::begin, kGift.id, 0, begin_of(kGift)));
  const Result result = future.get();
  CHECK_THAT(static_cast<bool>(result.status), result.status.message());
  std::string json;
  const Status link = endpoint.link_stats(static_cast<uint32_t>(peer.link), &json);
  CHECK_THAT(static_cast<bool>(link), link.message());
}

TEST("the report counts what came early") {
  Group group(1, {.encrypted = false});
  Endpoint& endpoint = group.endpoint(0);
  Peer peer(endpoint, 1);
  peer.say(0, peer.next(0, FrameType::begin, kGift.id, 0, begin_of(kGift)));
  peer.say(0, peer.next(0, FrameType::data, kGift.id, gift_tag(), kPresent));
  CHECK(eventually([&] { return endpoint.traffic().payload_received == kPresent.size(); }));
  auto future = group.post(0, kGift, std::vector<float>(kElements), {-1, peer.link});
  peer.say(0, peer.next(0, FrameType::done, kGift.id, 0, {}));
  const Result result = future.get();
  CHECK_THAT(static_cast<bool>(result.status), result.status.message());
  CHECK(result.report[2] == 3 * (kFrameHeaderBytes + kCrcBytes) + kSignatureBytes + kPresent.size());
}

TEST("without an agreement too, a rank that gave data must have begun the same operation") {
  Group group(1, {.encrypted = false});
  Endpoint& endpoint = group.endpoint(0);
  Peer peer(endpoint, 1);
  std::shared_ptr<const Plan> plan;
  CHECK(static_cast<bool>(Plan::make(request_of(kGift, 2, 0, kElements), &plan)));
  Bytes output(kPresent.size());
  std::array<double, kReportLength> report;
  std::promise<Status> promise;
  auto future = promise.get_future();
  endpoint.run({.id = kGift.id,
                .plan = plan,
                .links = {-1, peer.link},
                .seed = kSeed,
                .step = kStep,
                .output = output.data(),
                .report = report.data(),
                .limit_ms = kPatienceMs,
                .agree = false,
                .done = [&](Status status) { promise.set_value(std::move(status)); }});
  peer.say(0, peer.next(0, FrameType::data, kGift.id, gift_tag(), kPresent));
  CHECK(eventually([&] { return endpoint.traffic().payload_received == kPresent.size(); }));
  peer.say(0, peer.next(0, FrameType::begin, kGift.id, 0, begin_of(kGift, kSeed + 1)));
  CHECK(future.get().code() == GM_MISMATCH);
}

TEST("what left while there was no limit is owed to none") {
  Pace pace;
  pace.set_rate(1'000'000);
  CHECK(pace.allowance(1) > 0);
  pace.set_rate(0);
  CHECK(pace.allowance(2) > 0);
  pace.spend(1'000'000'000);
  pace.set_rate(1'000'000);
  CHECK(pace.wait_ns(3) < 100'000'000);
}
