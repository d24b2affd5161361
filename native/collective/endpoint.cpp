// The endpoint's thread and its commands.
#include "collective/endpoint.h"

#include <algorithm>
#include <cfenv>
#include <future>

#include "base/assert.h"
#include "transport/clock.h"

namespace gradmesh {
namespace {

// Tags of epoll events: the kind above, a number below.
constexpr uint64_t kListenerTag = uint64_t{1} << 32;
constexpr uint64_t kHalfOpenTag = uint64_t{2} << 32;
constexpr uint64_t kDialTag = uint64_t{3} << 32;
constexpr uint64_t kLinkTag = uint64_t{4} << 32;

Status closed() { return {GM_CLOSED, "the endpoint is closed"}; }

}  // namespace

Endpoint::Endpoint(const Options& options)
    : options_(options),
      admission_(poller_, tickets_, refusals_, traffic_, options.encrypted, options.admission),
      links_(poller_, tickets_, refusals_, traffic_, *this,
             {.silence_limit_ms = options.silence_limit_ms,
              .encrypted = options.encrypted,
              .link_tag = kLinkTag,
              .dial_tag = kDialTag,
              .congestion_control = options.congestion_control}) {}

Endpoint::~Endpoint() { close(); }

Status Endpoint::create(const Options& options, std::shared_ptr<Endpoint>* endpoint) {
  if (options.silence_limit_ms < kSilenceLimitMin || options.silence_limit_ms > kSilenceLimitMax)
    return {GM_INVALID_ARGUMENT, "silence_limit_ms is " + std::to_string(options.silence_limit_ms) +
                                     "; allowed: " + std::to_string(kSilenceLimitMin) + " to " +
                                     std::to_string(kSilenceLimitMax)};
  if (options.encrypted) GM_TRY(crypto::available());
  GM_TRY(check_congestion_control(options.congestion_control));
  std::shared_ptr<Endpoint> made(new Endpoint(options));
  GM_TRY(made->open());
  *endpoint = std::move(made);
  return Status::ok();
}

Status Endpoint::open() {
  GM_TRY(poller_.open());
  GM_TRY(admission_.open(options_.host, options_.port, kListenerTag, kHalfOpenTag));
  thread_ = std::thread([this] { loop(); });
  return Status::ok();
}

Status Endpoint::expect(const LinkSecrets& secrets, uint32_t limit_ms, uint32_t* link) {
  const uint32_t id = ++last_link_;
  const int64_t deadline = now_ms() + limit_ms;
  // The command goes first: whoever redeems the ticket finds the link among the commands at the latest.
  if (!post([=, this] { links_.expect(id, secrets, deadline); })) return closed();
  const Status status = tickets_.expect(secrets.ticket, id, secrets.streams, deadline);
  if (!status) post([=, this] { links_.close(id, status); });
  *link = id;
  return status;
}

void Endpoint::dial(const std::string& host, uint32_t port, const LinkSecrets& secrets, uint32_t limit_ms,
                    std::shared_ptr<Cancel> cancel, std::function<void(const Status&, uint32_t)> done) {
  const uint32_t id = ++last_link_;
  const bool posted = post([=, this] {
    Done ended = [=](const Status& status) { done(status, id); };
    links_.dial(id, host, port, secrets, waiter(limit_ms, cancel, std::move(ended)));
  });
  if (!posted) done(closed(), 0);
}

void Endpoint::ready(uint32_t link, uint32_t limit_ms, std::shared_ptr<Cancel> cancel, Done done) {
  if (!post([=, this] { links_.wait(link, waiter(limit_ms, cancel, done)); })) done(closed());
}

void Endpoint::close_link(uint32_t link) {
  post([=, this] { links_.close(link, {GM_CLOSED, "link " + std::to_string(link) + " was closed here"}); });
}

void Endpoint::probe(uint32_t link, const ProbeRequest& request, ProbeDone done) {
  wake_on(request.cancel);
  const bool posted = post([=, this] {
    links_.probe(link, request, [this, done](const Status& status, const ProbeResult& result) {
      complete([=] { done(status, result); });
    });
  });
  if (!posted) done(closed(), {});
}

Status Endpoint::ask(const std::function<Status()>& question) {
  GM_ASSERT(thread_.get_id() != std::this_thread::get_id());
  std::promise<Status> answer;
  if (!post([&] { answer.set_value(question()); })) return closed();
  return answer.get_future().get();
}

Status Endpoint::use(uint32_t link, uint32_t streams) {
  return ask([=, this] { return links_.use(link, streams); });
}

Status Endpoint::link_stats(uint32_t link, std::string* json) {
  return ask([=, this] { return links_.stats(link, json); });
}

void Endpoint::pace(uint64_t bytes_per_second) {
  links_.pace().set_rate(bytes_per_second);
  poller_.waker()->wake();
}

void Endpoint::after_steps(uint64_t operation, uint32_t steps, std::function<void()> action) {
  post([this, fault = Fault{operation, steps, std::move(action)}] { faults_.push_back(fault); });
}

LinkWaiter Endpoint::waiter(uint32_t limit_ms, std::shared_ptr<Cancel> cancel, Done done) {
  wake_on(cancel);
  return {now_ms() + limit_ms, std::move(cancel),
          [this, done = std::move(done)](const Status& status) { complete([=] { done(status); }); }};
}

// Several waits may share a flag, so the flag is looked at every LinkTable::kCancelPollMs besides.
void Endpoint::wake_on(const std::shared_ptr<Cancel>& cancel) const {
  if (cancel != nullptr) cancel->on_raise([waker = poller_.waker()] { waker->wake(); });
}

bool Endpoint::post(std::function<void()> command) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  commands_.push_back(std::move(command));
  poller_.waker()->wake();
  return true;
}

void Endpoint::run_commands() {
  std::vector<std::function<void()>> commands;
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
    stopping_ = closed_;
  }
  for (const auto& command : commands) command();
}

std::chrono::nanoseconds Endpoint::wait_limit(int64_t now) {
  if (links_.busy()) return {};
  int64_t next = links_.next_deadline(now);
  for (const auto& [id, running] : running_) {
    if (running.operation->has_work() || running.operation->ended()) return {};
    next = std::min({next, running.operation->deadline_ms(), now + LinkTable::kCancelPollMs});
  }
  const std::chrono::milliseconds limit(std::clamp<int64_t>(next - now, 0, 1000));
  return std::min<std::chrono::nanoseconds>(limit, links_.until_paced());
}

void Endpoint::loop() {
  std::fesetenv(FE_DFL_ENV);  // a thread starts with its maker's rounding and denormal modes; sums run here
  int64_t before = now_ms();
  while (!stopping_) {
    const auto limit = wait_limit(before);
    const auto events = poller_.wait(limit);
    const int64_t now = now_ms();
    const int64_t wait = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
    // Stopped (SIGSTOP, a laptop's lid): nobody could be heard meanwhile, so nobody was silent.
    if (now - before - wait > options_.silence_limit_ms / 4) links_.excuse(now - before);
    before = now;
    run_commands();
    for (const epoll_event& event : events) dispatch(event, now);
    for (auto& [id, running] : running_)
      if (running.operation->has_work()) running.operation->work();
    if (links_.busy()) links_.pump(now);
    links_.tick(now);
    admission_.expire(now);
    for (auto& [id, running] : running_) running.operation->tick(now);
    end_operations();
    run_completions();
  }
  shut_down();
}

void Endpoint::dispatch(const epoll_event& event, int64_t now) {
  const uint64_t tag = event.data.u64;
  const auto id = static_cast<uint32_t>(tag);
  if (tag == kListenerTag) return admission_.accept_all(now);
  if (links_.event(event, now) || tag - id != kHalfOpenTag) return;
  Admission::Admitted admitted = admission_.advance(id, now);
  if (!admitted.socket) return;
  run_commands();  // the one that made the link may have come since
  links_.admitted(std::move(admitted), now);
}

void Endpoint::run_completions() {
  std::vector<std::function<void()>> completions;
  completions.swap(completions_);
  for (const auto& completion : completions) completion();
}

void Endpoint::shut_down() {
  admission_.close();
  for (auto& [id, running] : running_) running.operation->close(closed());
  end_operations();
  links_.pump(now_ms());  // the aborts, as far as the sockets take them
  links_.close_all(closed());
  run_completions();
}

void Endpoint::close() {
  const std::lock_guard join_lock(join_mutex_);
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  if (!thread_.joinable()) return;
  poller_.waker()->wake();
  GM_ASSERT(thread_.get_id() != std::this_thread::get_id());
  thread_.join();
}

}  // namespace gradmesh
