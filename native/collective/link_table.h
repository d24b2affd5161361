// The links of an endpoint by number, from being expected or dialed to being lost; heartbeats and silence,
// pacing and probes. Belongs to the I/O thread.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>

#include "base/cancel.h"
#include "transport/admission.h"
#include "transport/dialer.h"
#include "transport/link.h"

namespace gradmesh {

// What opens a link: the ticket, a fresh key for each direction (used when the endpoint is encrypted), and
// how many sockets it has, 1 to kStreamsMax; the same number on both sides.
struct LinkSecrets {
  Ticket ticket{};
  std::array<uint8_t, crypto::kKeyBytes> send_key{}, receive_key{};
  uint32_t streams = 1;
};

// Someone who waits for a link to open.
struct LinkWaiter {
  int64_t deadline_ms = 0;
  std::shared_ptr<Cancel> cancel;
  std::function<void(const Status&)> done;
};

class LinkTableEvents : public LinkEvents {
 public:
  // The link is gone; its object ends after this call.
  virtual void link_lost(Link& link, const Status& why) = 0;
};

class LinkTable {
 public:
  struct Options {
    int64_t silence_limit_ms = 5000;
    bool encrypted = true;
    uint64_t link_tag = 0, dial_tag = 0;  // events come back with tag | stream << kStreamShift | link
    std::string congestion_control{};     // empty: the system's (check_congestion_control)
    RekeyLimits rekey{};
  };
  static constexpr int kStreamShift = 40;

  LinkTable(Poller& poller, Tickets& tickets, Refusals& refusals, Traffic& traffic, LinkTableEvents& events,
            Options options);

  // secrets.streams is 1 to kStreamsMax (the caller checks).
  void expect(uint32_t id, const LinkSecrets& secrets, int64_t deadline_ms);
  void dial(uint32_t id, const std::string& host, uint32_t port, const LinkSecrets& secrets,
            LinkWaiter waiter);
  void wait(uint32_t id, LinkWaiter waiter);
  void close(uint32_t id, const Status& reason);
  void close_all(const Status& why);

  void admitted(Admission::Admitted admitted, int64_t now);
  // False where the event is not of a link or a dial.
  bool event(const epoll_event& event, int64_t now);
  // Reads on where a hold was lifted, and sends what waits.
  void pump(int64_t now);
  // Deadlines, heartbeats, silence, probes.
  void tick(int64_t now);
  // This thread was away for so long, and could not hear anyone.
  void excuse(int64_t gap_ms);
  void resume_all();

  // The open link; else why there is none: GM_PEER_LOST or what ended it, GM_CLOSED, GM_INVALID_ARGUMENT not
  // open yet.
  Status find(uint32_t id, Link** link) const;
  // Work that needs no event: pump() again at once.
  bool busy();
  int64_t next_deadline(int64_t now) const;
  // How long until paced data may go on, to the nanosecond: wait no longer than that; max() where none waits.
  std::chrono::nanoseconds until_paced();
  uint64_t opened() const { return opened_; }  // so far; from any thread

  // What leaves the endpoint, in bytes per second; 0: no limit. From any thread (wake the poller).
  Pace& pace() { return pace_; }
  // Measures an open link; done is called once, also when the link ends first. One probe at a time on a link.
  void probe(uint32_t id, const ProbeRequest& request, ProbeDone done);
  // How many streams carry data from now on, 1 to its streams.
  Status use(uint32_t id, uint32_t streams);
  // JSON: streams, streamsUsed, bytesQueued, and what the system knows of the sockets (transport/quality.h).
  Status stats(uint32_t id, std::string* json) const;

  static constexpr size_t kDeadMax = 256;  // ended links whose reason is remembered
  static constexpr int64_t kCancelPollMs = 100;
  static constexpr int kLastTurns = 64;           // looks at each stream of a link that ended
  static constexpr int64_t kProofLimitMs = 2000;  // from the last accept to the last proof

 private:
  enum class State : uint8_t { expected, dialing, proving, open };
  // One socket, as the poller and the clock see it.
  struct Wire {
    int64_t heard_ms = 0, sent_ms = 0;
    uint64_t sent_bytes = 0;
    uint32_t interest = 0;
  };
  struct Slot {
    State state = State::expected;
    LinkSecrets secrets;  // zeros once every stream has its socket
    std::unique_ptr<Link> link;
    uint32_t attached = 0;
    std::array<Wire, kStreamsMax> wires{};
    int64_t deadline_ms = 0;  // until open
    bool accepted = false;    // by us, so that a failed proof counts as a refusal
    std::vector<LinkWaiter> waiters;
  };

  void dial_event(uint32_t id, uint32_t stream, int64_t now);
  void link_event(uint32_t id, uint32_t stream, uint32_t events, int64_t now);
  void attach(uint32_t id, Slot& slot, uint32_t stream, Descriptor socket, int64_t now);
  void open(Slot& slot);
  bool serve(uint32_t id, Slot& slot, const Stream* readable, int64_t now);
  void lose(uint32_t id, Slot& slot, const Status& why);
  void watch(uint32_t id, Slot& slot);
  void tick_waiters(uint32_t id, Slot& slot, int64_t now);
  bool tick_open(uint32_t id, Slot& slot, int64_t now);
  std::vector<uint32_t> ids() const;

  Poller& poller_;
  Tickets& tickets_;
  Refusals& refusals_;
  LinkTableEvents& events_;
  Traffic& traffic_;
  const Options options_;
  Dialer dialer_;
  Pace pace_;
  Counter opened_ = 0;
  std::map<uint32_t, Slot> slots_;
  uint32_t turn_ = 0;  // the link that was pumped first last time
  std::map<uint32_t, Status> dead_;
};

}  // namespace gradmesh
