// Someone between a dialer and an endpoint: any change of what is sent ends the link, and only that.
#include <sys/socket.h>

#include <functional>
#include <thread>

#include "group.h"

using namespace group;

namespace {

using Bytes = std::vector<uint8_t>;

// A man in the middle: passes bytes between a dialer and an endpoint, and may change those of the dialer.
class Proxy {
 public:
  using Change = std::function<bool(Bytes&)>;  // false: end the connection

  Proxy(uint32_t port, Change change) : port_(port), change_(std::move(change)) {
    CHECK(static_cast<bool>(listen_on("127.0.0.1", 0, &listener_, &own_port_)));
    thread_ = std::thread([this] { serve(); });
  }
  ~Proxy() { thread_.join(); }
  uint32_t port() const { return own_port_; }

 private:
  void serve() {
    Descriptor client;
    Origin origin;
    for (bool exhausted; !client; std::this_thread::yield())
      client = accept_from(listener_.get(), &exhausted, &origin);
    Descriptor server;
    CHECK(static_cast<bool>(connect_to("127.0.0.1", port_, &server)));
    for (;;) {
      if (!pass(client, server, change_) || !pass(server, client, [](Bytes&) { return true; })) return;
      std::this_thread::yield();
    }
  }
  static bool pass(const Descriptor& from, const Descriptor& to, const Change& change) {
    Bytes bytes(65536);
    const ssize_t got = recv(from.get(), bytes.data(), bytes.size(), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != ENOTCONN)) return false;
    if (got < 0) return true;
    bytes.resize(static_cast<size_t>(got));
    if (!change(bytes)) return false;
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t more = ::send(to.get(), &bytes[sent], bytes.size() - sent, MSG_NOSIGNAL);
      if (more > 0) sent += static_cast<size_t>(more);
      if (more < 0 && errno != EAGAIN) return false;
    }
    return true;
  }

  const uint32_t port_;
  const Change change_;
  Descriptor listener_;
  uint32_t own_port_ = 0;
  std::thread thread_;
};

constexpr size_t kOpening = kHelloBytes + kFrameHeaderBytes + crypto::kTagBytes;  // hello and proof

}  // namespace

TEST("a man in the middle of an encrypted link ends it by any change, and only that link") {
  if (!crypto::available()) return void(std::puts("skipped: no libcrypto here"));
  std::mt19937_64 random(check::seed());
  const auto inputs = random_inputs(3, 4'000, random);
  for (const std::string what : {"nothing", "flip", "replay", "cut", "header"}) {
    Group group(3, {.encrypted = true});
    size_t passed = 0;
    bool done = what == "nothing";
    Bytes kept;
    Proxy proxy(group.endpoint(0).port(), [&](Bytes& bytes) {
      const size_t before = passed;
      passed += bytes.size();
      // Leave the opening alone, then touch the first whole frame: the begin, and what follows it.
      if (done || before < kOpening || bytes.size() < 100) return true;
      done = true;
      if (what == "flip") bytes[bytes.size() - 30] ^= 1;
      if (what == "header") bytes[9] ^= 1;  // the operation's id
      if (what == "replay") bytes.insert(bytes.end(), bytes.begin(), bytes.end());
      if (what == "cut") bytes.resize(bytes.size() / 2);
      return what != "cut";
    });
    const LinkSecrets secrets = random_secrets();
    uint32_t accepted = 0, dialed = 0;
    CHECK(static_cast<bool>(group.endpoint(0).expect(reversed(secrets), kPatienceMs, &accepted)));
    const Status opened = dial(group.endpoint(1), proxy.port(), secrets, &dialed);
    CHECK_THAT(static_cast<bool>(opened), opened.message());
    CHECK(static_cast<bool>(wait_for(
        [&](auto ready) { group.endpoint(0).ready(accepted, kPatienceMs, nullptr, std::move(ready)); })));
    const Call call{.id = 1, .collective = 1, .codec = codec_find("int8_block"), .segment = 512};
    auto zero = group.post(0, call, inputs[0], {-1, static_cast<int32_t>(accepted), group.links(0)[2]});
    auto one = group.post(1, call, inputs[1], {static_cast<int32_t>(dialed), -1, group.links(1)[2]});
    auto two = group.post(2, call, inputs[2]);
    for (auto* future : {&zero, &one, &two}) {
      const Result result = future->get();
      CHECK_THAT(result.status.code() == (what == "nothing" ? GM_OK : GM_PEER_LOST),
                 what + ": " + result.status.message());
    }
    for (const Result& result : group.run({.id = 2}, {inputs[0], inputs[1], inputs[2]}))
      CHECK_THAT(static_cast<bool>(result.status), what + ", the next: " + result.status.message());
    group.endpoint(0).close();  // so that the proxy ends
  }
}
