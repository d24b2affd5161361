// Packets through the switch, with a clock made by hand.
#include "switch.h"

#include <algorithm>

#include "case.h"
#include "check.h"

namespace {

using namespace gradmesh::net;

struct Delivered {
  int descriptor;
  int segments;
  uint32_t sequence;
  int64_t time;
};
std::vector<Delivered> delivered;
int64_t now = 0;

bool deliver(int descriptor, Packet& packet) {
  delivered.push_back({descriptor, packet.layout.segments, sequence_of(packet), now});
  return true;
}

// Two or more hosts of 1 Gbit/s and 10 ms one way.
struct Case {
  PacketPool pool{1024};
  Switch network{check::seed(), pool, deliver};

  explicit Case(HostLink link = {1e9, 1 << 20, 10'000'000, 0, 0, false}, int hosts = 3) {
    delivered.clear();
    now = 0;
    for (int host = 0; host < hosts; host++) network.add_host(100 + host, link);
  }
  void send(int target, int payload) { network.receive(0, tcp_packet(pool, target, payload, 1460), now); }
  void run() {
    while (network.next_due() >= 0) network.advance(now = network.next_due());
  }
};

TEST("a packet comes after the delay and its time on the line; the next one behind it") {
  Case test;
  test.send(1, 1460);
  test.send(1, 1460);
  test.send(2, 1460);
  test.run();
  CHECK(delivered.size() == 3);
  CHECK(delivered[0].time == 10'000'000 + 12000 && delivered[0].descriptor == 101);
  CHECK(delivered[1].descriptor == 102 && delivered[1].time == 10'000'000 + 12000);
  CHECK(delivered[2].time == 10'000'000 + 24000);
  CHECK(test.network.counters(0).sent.bytes == 4500 && test.network.counters(1).received.packets == 2);
}

TEST("jitter keeps the order of a pair") {
  Case test({1e9, 1 << 20, 1000, 5'000'000, 0, false});
  for (int packet = 0; packet < 100; packet++) test.send(1, 1 + packet), now += 1000;
  test.run();
  CHECK(delivered.size() == 100);
  CHECK(std::is_sorted(delivered.begin(), delivered.end(), [](auto& a, auto& b) { return a.time < b.time; }));
  CHECK(delivered.front().time > 1000 + 8);
}

TEST("a full queue drops the segments at a packet's end") {
  Case test({1e9, 4 * 1500 + 10, 0, 0, 0, false});
  test.send(1, 6 * 1460);
  test.send(1, 1460);
  test.run();
  CHECK(delivered.size() == 1 && delivered[0].segments == 4);
  CHECK(test.network.counters(1).overflowed == 3);
}

TEST("loss takes single segments, and nothing is counted twice") {
  Case test({1e12, 1 << 30, 0, 0, 0.05, false});
  int64_t sent = 0;
  for (int packet = 0; packet < 500; packet++) test.send(1, 44 * 1460), sent += 44, test.run();
  int64_t received = 0;
  for (const Delivered& part : delivered) received += part.segments;
  const auto lost = static_cast<int64_t>(test.network.counters(0).lost);
  CHECK_THAT(received + lost == sent, std::to_string(received) + " + " + std::to_string(lost));
  CHECK_THAT(lost > 900 && lost < 1300, std::to_string(lost));  // 1,100 with a deviation of 32
}

TEST("a cut stops one direction of one pair, what is on its way included") {
  Case test;
  test.send(1, 100);
  test.network.set_cut(0, 1, true);
  test.send(1, 100);
  test.send(2, 100);
  test.network.receive(1, tcp_packet(test.pool, 0, 100, 1460), now);
  test.run();
  CHECK(delivered.size() == 2 && delivered[0].descriptor == 102 && delivered[1].descriptor == 100);
  CHECK(test.network.counters(0).cut == 2);
  test.network.set_cut(0, 1, false);
  test.send(1, 100);
  test.run();
  CHECK(delivered.size() == 3);
}

TEST("calls to a host behind a router are dropped, its own pass") {
  Case test;
  test.network.add_host(103, {1e9, 1 << 20, 0, 0, 0, true});
  const auto open = [&](int target) {
    Packet* packet = tcp_packet(test.pool, target, 0, 1460);
    packet->head[20 + 13] = 0x02;  // SYN
    test.network.receive(target == 3 ? 0 : 3, packet, now);
  };
  open(3);
  open(0);
  test.send(3, 10);
  test.run();
  CHECK(delivered.size() == 2 && test.network.counters(3).refused == 1);
}

TEST("what is for no host is dropped") {
  Case test;
  test.send(7, 100);
  CHECK(test.network.next_due() < 0 && test.network.counters(0).strays == 1);
}

}  // namespace
