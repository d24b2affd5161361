// The links of an endpoint by number, from being expected or dialed to being lost; heartbeats and silence.
// Belongs to the I/O thread.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "base/cancel.h"
#include "transport/admission.h"
#include "transport/dialer.h"
#include "transport/link.h"

namespace gradmesh {

// What opens a link: the ticket, and a fresh key for each direction (used when the endpoint is encrypted).
struct LinkSecrets {
  Ticket ticket{};
  std::array<uint8_t, crypto::kKeyBytes> send_key{}, receive_key{};
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
    int64_t silence_limit_ms;
    bool encrypted;
    uint64_t link_tag, dial_tag;  // events come back with tag | link
  };

  LinkTable(Poller& poller, Tickets& tickets, Refusals& refusals, Traffic& traffic, LinkTableEvents& events,
            Options options);

  void expect(uint32_t id, const LinkSecrets& secrets, int64_t deadline_ms);
  void dial(uint32_t id, const std::string& host, uint32_t port, const LinkSecrets& secrets,
            LinkWaiter waiter);
  void wait(uint32_t id, LinkWaiter waiter);
  void close(uint32_t id, const Status& reason);
  void close_all(const Status& why);

  void admitted(uint32_t id, Descriptor socket, int64_t now);
  void dial_event(uint32_t id, int64_t now);
  void link_event(uint32_t id, uint32_t events, int64_t now);
  // Reads on where a hold was lifted, and sends what waits.
  void pump(int64_t now);
  // Deadlines, heartbeats, silence.
  void tick(int64_t now);
  // This thread was away for so long, and could not hear anyone.
  void excuse(int64_t gap_ms);
  void resume_all();

  // The open link; else why there is none: GM_PEER_LOST or what ended it, GM_CLOSED, GM_INVALID_ARGUMENT not
  // open yet.
  Status find(uint32_t id, Link** link) const;
  // Work that needs no event: pump() again at once.
  bool busy() const;
  int64_t next_deadline(int64_t now) const;
  uint64_t opened() const { return opened_; }  // so far; from any thread

  static constexpr size_t kDeadMax = 256;  // ended links whose reason is remembered
  static constexpr int64_t kCancelPollMs = 100;
  static constexpr int64_t kProofLimitMs = 2000;  // from accept to proof

 private:
  enum class State : uint8_t { expected, dialing, proving, open };
  struct Slot {
    State state = State::expected;
    LinkSecrets secrets;
    std::unique_ptr<Link> link;
    int64_t deadline_ms = 0;  // until open
    int64_t heard_ms = 0, sent_ms = 0;
    uint64_t heard_bytes = 0;
    uint32_t interest = 0;
    bool accepted = false;  // by us, so that a failed proof counts as a refusal
    std::vector<LinkWaiter> waiters;
  };

  void attach(uint32_t id, Slot& slot, Descriptor socket, int64_t now);
  void open(Slot& slot);
  // Reads and sends; false where the link ended.
  bool serve(uint32_t id, Slot& slot, bool readable, int64_t now);
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
  Counter opened_ = 0;
  std::map<uint32_t, Slot> slots_;
  std::map<uint32_t, Status> dead_;
};

}  // namespace gradmesh
