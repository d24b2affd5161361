// net_bridge SEED: joins hosts, each a network namespace with a TUN device, to a network that delays, loses
// and limits. Commands come on stdin and are answered on stdout (control.h); the end of stdin ends the
// program, and its devices with it.
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "control.h"
#include "packet.h"
#include "switch.h"
#include "tun.h"

namespace {

using namespace gradmesh::net;

// Packets on their way at once: 64 KiB each for bulk data, so up to 4 GiB of it.
constexpr int kPacketsMax = 1 << 16;
// Packets read from one host before the others have their turn.
constexpr int kBatch = 16;
constexpr size_t kLineBytesMax = 4096;

int64_t clock_now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

// Packets are due to the microsecond while the hosts' programs take the processors, so the bridge runs before
// them.
void take_precedence() {
  prctl(PR_SET_TIMERSLACK, 1UL);
  const sched_param priority = {1};
  if (sched_setscheduler(0, SCHED_RR, &priority) != 0 && nice(-20) == -1)
    std::fprintf(stderr, "net_bridge: runs without precedence, so delays may be late\n");
}

// Reads what came on stdin and answers every whole line; false at its end.
bool answer_commands(Switch& network, std::string& pending) {
  char piece[kLineBytesMax];
  const ssize_t bytes = read(STDIN_FILENO, piece, sizeof piece);
  if (bytes <= 0) return bytes < 0 && errno == EINTR;
  pending.append(piece, static_cast<size_t>(bytes));
  for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
    std::printf("%s\n", run_command(network, pending.substr(0, end)).c_str());
    pending.erase(0, end + 1);
  }
  std::fflush(stdout);
  return pending.size() <= kLineBytesMax;
}

// False where the pool is empty: the packets stay in the device.
bool read_packets(Switch& network, PacketPool& pool, int host) {
  for (int count = 0; count < kBatch; count++) {
    Packet* packet = pool.take();
    if (packet == nullptr) return false;
    if (!read_tun(network.descriptor(host), *packet)) {
      pool.give_back(packet);
      return true;
    }
    network.receive(host, packet, clock_now());
  }
  return true;
}

// Waits for input or for what is due; `is_full` waits for what is due alone.
void wait(std::vector<pollfd>& inputs, const Switch& network, bool is_full) {
  const int64_t due = network.next_due();
  const int64_t left = std::max<int64_t>(due - clock_now(), 0);
  const timespec timeout = {left / kNanosecondsPerSecond, left % kNanosecondsPerSecond};
  for (pollfd& input : inputs) input.revents = 0;
  ppoll(inputs.data(), is_full ? 1 : inputs.size(), due < 0 ? nullptr : &timeout, nullptr);
}

void run(uint64_t seed) {
  PacketPool pool(kPacketsMax);
  Switch network(seed, pool, write_tun);
  std::vector<pollfd> inputs = {{STDIN_FILENO, POLLIN, 0}};
  std::string pending;
  bool is_full = false;
  for (;;) {
    wait(inputs, network, is_full);
    network.advance(clock_now());
    if (inputs[0].revents != 0 && !answer_commands(network, pending)) return;
    is_full = false;
    for (size_t index = 1; index < inputs.size(); index++)
      if (inputs[index].revents != 0) is_full |= !read_packets(network, pool, static_cast<int>(index) - 1);
    for (int host = static_cast<int>(inputs.size()) - 1; host < network.hosts(); host++)
      inputs.push_back({network.descriptor(host), POLLIN, 0});
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: net_bridge SEED, with commands on stdin\n");
    return 2;
  }
  std::signal(SIGINT, SIG_IGN);  // the owner decides; its end closes stdin
  take_precedence();
  run(std::strtoull(words[1], nullptr, 10));
  return 0;
}
