// An endpoint: a listener, the links to other endpoints, and the one thread that does everything with them:
// accepts and dials, sends heartbeats, notices losses, and runs collectives. Coding runs on it too, one step
// between two looks at the sockets, so that coding, sending and receiving overlap through the kernel's
// buffers.
//
// All functions may be called from any thread; none waits for the network, but close() waits for the thread.
// `done` functions are called from the I/O thread, with no lock held; they must not call close(), use() or
// link_stats().
#pragma once
#include <atomic>
#include <mutex>
#include <thread>

#include "collective/early.h"
#include "collective/link_table.h"
#include "collective/operation.h"
#include "collective/workspace.h"

namespace gradmesh {

class Endpoint : private LinkTableEvents {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint32_t port = 0;                 // 0: any
    uint32_t silence_limit_ms = 5000;  // a link that says nothing for so long is lost
    bool encrypted = true;
    std::string congestion_control{};  // TCP's, by name; empty: the system's
    Admission::Limits admission{};
  };
  using Done = std::function<void(const Status&)>;

  static constexpr uint32_t kSilenceLimitMin = 40, kSilenceLimitMax = 600'000;
  static constexpr size_t kFailuresMax = 16;  // ended operations whose finished ranges are remembered

  // GM_IO when the port can't be had, GM_UNSUPPORTED when encryption is asked for and libcrypto is absent.
  static Status create(const Options& options, std::shared_ptr<Endpoint>* endpoint);
  ~Endpoint() override;

  uint32_t port() const { return admission_.port(); }
  bool encrypted() const { return options_.encrypted; }
  Status expect(const LinkSecrets& secrets, uint32_t limit_ms, uint32_t* link);
  // Its link is the argument of done; it means nothing where the status is an error.
  void dial(const std::string& host, uint32_t port, const LinkSecrets& secrets, uint32_t limit_ms,
            std::shared_ptr<Cancel> cancel, std::function<void(const Status&, uint32_t link)> done);
  void ready(uint32_t link, uint32_t limit_ms, std::shared_ptr<Cancel> cancel, Done done);
  void close_link(uint32_t link);
  // Measures an open link.
  void probe(uint32_t link, const ProbeRequest& request, ProbeDone done);
  // How many of its streams carry data; waits for the I/O thread's turn, not for the network.
  Status use(uint32_t link, uint32_t streams);
  // JSON (LinkTable::stats); waits likewise.
  Status link_stats(uint32_t link, std::string* json);
  // What may leave, in bytes per second; 0: no limit.
  void pace(uint64_t bytes_per_second);
  // Operations run at the same time, each as its ranks start it; at most kOperationsMax. Everything in the
  // request must stay valid until done.
  void run(OperationRequest request);
  // What of the output of an operation that failed lately is final: what every rank would have got.
  Status finished(uint64_t operation, std::vector<Range>* ranges) const;
  // Fault injection: the action runs on the I/O thread once so many steps of the operation are done.
  void after_steps(uint64_t operation, uint32_t steps, std::function<void()> action);
  std::string stats() const;
  const Traffic& traffic() const { return traffic_; }
  const Refusals& refusals() const { return refusals_; }
  // Ends every link and operation with GM_CLOSED, and the thread. May be called again.
  void close();

 private:
  struct Fault {
    uint64_t operation;
    uint32_t steps;
    std::function<void()> action;
  };

  explicit Endpoint(const Options& options);
  Status open();
  // False, and nothing is done, where the endpoint is closed.
  bool post(std::function<void()> command);
  // Runs it on the I/O thread and waits for that.
  Status ask(const std::function<Status()>& question);
  void loop();
  void run_commands();
  void dispatch(const epoll_event& event, int64_t now);
  std::chrono::nanoseconds wait_limit(int64_t now);
  void shut_down();
  void complete(std::function<void()> completion) { completions_.push_back(std::move(completion)); }
  void run_completions();
  LinkWaiter waiter(uint32_t limit_ms, std::shared_ptr<Cancel> cancel, Done done);
  void wake_on(const std::shared_ptr<Cancel>& cancel) const;

  // Operations (endpoint_operations.cpp).
  void start(OperationRequest request);
  Status admit(const OperationRequest& request) const;
  void end_operations();
  void after_step(const Operation& operation);
  Status frame_arriving(Link& link, const FrameHeader& header, Landing* landing) override;
  Status frame_arrived(Link& link, const FrameHeader& header, std::span<const uint8_t> payload,
                       uint32_t step) override;
  void frame_sent(Link& link, const OutgoingFrame& frame) override;
  void link_lost(Link& link, const Status& why) override;
  // The operation under way of that id; null where there is none.
  Operation* running(uint64_t operation) const;
  void refuse_stranger(Link& link, const Operation& operation);

  const Options options_;
  Poller poller_;
  Tickets tickets_;
  Refusals refusals_;
  Traffic traffic_;
  Counter links_lost_ = 0, operations_done_ = 0, operations_failed_ = 0;
  Admission admission_;
  LinkTable links_;
  std::atomic<uint32_t> last_link_ = 0;

  mutable std::mutex failures_mutex_;  // guards the next
  std::deque<std::pair<uint64_t, std::vector<Range>>> failures_;

  std::mutex mutex_;  // guards the next two
  std::vector<std::function<void()>> commands_;
  bool closed_ = false;
  std::mutex join_mutex_;  // guards the next; close() may be called by two threads
  std::thread thread_;

  // Of the I/O thread alone.
  bool stopping_ = false;
  struct Running {
    std::unique_ptr<Operation> operation;
    std::unique_ptr<Workspace> workspace;
  };
  std::map<uint64_t, Running> running_;
  Workspaces workspaces_;
  EarlyFrames early_;
  EndedOperations ended_;
  std::vector<Fault> faults_;
  std::vector<std::function<void()>> completions_;
};

}  // namespace gradmesh
