// The events of simulate.h's model.
#include "collective/simulate.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <queue>
#include <unordered_map>

#include "base/assert.h"
#include "collective/simulate_ranks.h"

namespace gradmesh {
namespace {

enum class EventKind : uint8_t { host_begins, uplink_free, piece_arrives, acknowledged, work_done, frame_in };

struct Event {
  double seconds;
  uint64_t order;  // of events at one time: as they were made
  EventKind kind;
  bool last;      // of a piece: its frame's
  uint32_t host;  // where it happens
  uint32_t peer;  // the stream's other end
  uint32_t step;  // the send, or the local step
  uint64_t bytes;
  bool operator>(const Event& other) const {
    return seconds != other.seconds ? seconds > other.seconds : order > other.order;
  }
};

// A queue that takes no memory while it is empty: there is one for each pair of hosts.
template <class Value>
class Line {
 public:
  bool empty() const { return first_ == values_.size(); }
  Value& front() { return values_[first_]; }
  void push_back(Value value) { values_.push_back(value); }
  void pop_front() {
    if (++first_ < values_.size()) return;
    values_ = {};
    first_ = 0;
  }

 private:
  std::vector<Value> values_;
  size_t first_ = 0;
};

// One direction between two hosts.
struct Stream {
  struct Frame {
    uint32_t step;
    uint64_t left;  // bytes that have not left
  };
  Line<Frame> leaving;
  Line<uint32_t> arrived;  // whole frames by their send's step, at the other end
  uint64_t window = 0, in_flight = 0;
  bool in_turn = false;  // stands in its uplink's line
};

struct Host {
  std::deque<uint32_t> line;  // peers whose streams have something to send and room to
  std::deque<uint32_t> work;
  std::unordered_map<uint32_t, Stream> streams;  // by peer
  bool begun = false, sending = false, working = false;
  double downlink_free = 0;
  uint64_t sent = 0;
};

class Simulation {
 public:
  Simulation(const ScheduleRequest& request, const LinkModel& model) : model_(model), hosts_(request.ranks) {}

  void add(SimulatedRank&& rank) { ranks_.push_back(std::move(rank)); }

  Simulated run() {
    result_.finish_seconds.resize(hosts_.size());
    for (uint32_t host = 0; host < hosts_.size(); ++host) {
      const double ready = model_.ready_seconds.empty() ? 0 : model_.ready_seconds[host];
      result_.finish_seconds[host] = ready;
      plan({ready, 0, EventKind::host_begins, false, host, 0, 0, 0});
    }
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.seconds;
      happen(event);
      settle();
    }
    for (uint32_t host = 0; host < hosts_.size(); ++host) {
      GM_ASSERT(ranks_[host].finished());  // else the schedules wait for each other
      result_.bytes += hosts_[host].sent;
      result_.bytes_most = std::max(result_.bytes_most, hosts_[host].sent);
    }
    for (const auto& [phase, seen] : phases_) result_.phases.push_back(seen);
    return std::move(result_);
  }

 private:
  static double rate(const std::vector<double>& rates, uint32_t host) {
    return rates.size() == 1 ? rates[0] : rates[host];
  }
  void plan(Event event) {
    event.order = order_++;
    events_.push(event);
  }

  void happen(const Event& event) {
    switch (event.kind) {
      case EventKind::host_begins:
        hosts_[event.host].begun = true;
        return ranks_[event.host].start([&](uint32_t step) { begin(event.host, step); });
      case EventKind::uplink_free:
        hosts_[event.host].sending = false;
        if (event.last) complete(event.host, event.step);  // the send has left
        return serve(event.host);
      case EventKind::piece_arrives:
        return take_in(event);
      case EventKind::frame_in:
        hosts_[event.peer].streams[event.host].arrived.push_back(event.step);
        return deliver(event.peer, event.host);
      case EventKind::acknowledged: {
        Stream& stream = hosts_[event.host].streams[event.peer];
        stream.in_flight -= event.bytes;
        stream.window = std::min(model_.window_bytes, stream.window + event.bytes);
        line_up(event.host, event.peer);
        return serve(event.host);
      }
      case EventKind::work_done:
        hosts_[event.host].working = false;
        complete(event.host, event.step);
        return work(event.host);
    }
  }

  // A step has become ready.
  void begin(uint32_t host, uint32_t step) {
    const SimulatedRank::Item& item = ranks_[host].item(step);
    if (item.kind == StepKind::send) {
      hosts_[host].streams[item.peer].leaving.push_back({step, item.bytes});
      line_up(host, item.peer);
      serve(host);
    } else if (item.kind == StepKind::recv) {
      deliver(item.peer, host);
    } else {
      hosts_[host].work.push_back(step);
      work(host);
    }
  }
  void complete(uint32_t host, uint32_t step) { completed_.emplace_back(host, step); }
  // Begins what completed steps have made ready, and what those complete in turn.
  void settle() {
    for (; !completed_.empty(); completed_.pop_front()) {
      const auto [host, step] = completed_.front();
      ranks_[host].complete(step, [host = host, this](uint32_t ready) { begin(host, ready); });
      if (!ranks_[host].finished()) continue;
      if (result_.seconds == 0) result_.first_seconds = now_;
      result_.seconds = result_.finish_seconds[host] = now_;
    }
  }

  void work(uint32_t host) {
    Host& at = hosts_[host];
    if (at.working || at.work.empty()) return;
    at.working = true;
    const uint32_t step = at.work.front();
    at.work.pop_front();
    const double seconds =
        static_cast<double>(ranks_[host].item(step).bytes) * model_.coding_seconds_per_byte;
    plan({now_ + seconds, 0, EventKind::work_done, false, host, 0, step, 0});
  }

  bool windowed() const { return model_.initial_window_bytes > 0; }
  uint64_t room(Stream& stream) const {
    if (!windowed()) return ~uint64_t{0};
    if (stream.window == 0) stream.window = model_.initial_window_bytes;
    return stream.window - std::min(stream.window, stream.in_flight);
  }
  void line_up(uint32_t host, uint32_t peer) {
    Stream& stream = hosts_[host].streams[peer];
    if (stream.in_turn || stream.leaving.empty() || room(stream) == 0) return;
    stream.in_turn = true;
    hosts_[host].line.push_back(peer);
  }

  // Sends the next piece, where the uplink is free.
  void serve(uint32_t host) {
    Host& at = hosts_[host];
    if (at.sending || at.line.empty()) return;
    at.sending = true;
    const uint32_t peer = at.line.front();
    at.line.pop_front();
    Stream& stream = at.streams[peer];
    stream.in_turn = false;
    Stream::Frame& frame = stream.leaving.front();
    const uint32_t step = frame.step;
    const SimulatedRank::Item& item = ranks_[host].item(step);
    const bool first = frame.left == item.bytes;
    const uint64_t bytes = std::min({frame.left, model_.piece_bytes, room(stream)});
    frame.left -= bytes;
    const bool last = frame.left == 0;
    if (last) stream.leaving.pop_front();
    stream.in_flight += bytes;
    line_up(host, peer);

    const uint64_t wire_bytes = bytes + (first ? model_.frame_bytes : 0);
    const double start = now_ + (first ? model_.frame_seconds : 0);
    const double left = start + static_cast<double>(wire_bytes) / rate(model_.uplink_bytes_per_second, host);
    const double delay = model_.delay_seconds(host, peer);
    note(item, start, first);
    at.sent += bytes;
    // The downlink takes the piece in from its first byte on, but is not done before its last.
    plan({left, 0, EventKind::uplink_free, last, host, peer, step, bytes});
    plan({start + delay, 0, EventKind::piece_arrives, last, peer, host, step, wire_bytes});
    if (windowed())
      plan({left + delay + model_.delay_seconds(peer, host), 0, EventKind::acknowledged, false, host, peer,
            step, bytes});
  }

  void take_in(const Event& piece) {
    Host& at = hosts_[piece.host];
    const double bytes = static_cast<double>(piece.bytes);
    const double whole = now_ + bytes / rate(model_.uplink_bytes_per_second, piece.peer);
    const double begin = std::max(now_, at.downlink_free);
    at.downlink_free = std::max(begin + bytes / rate(model_.downlink_bytes_per_second, piece.host), whole);
    if (!piece.last) return;
    plan({at.downlink_free, 0, EventKind::frame_in, true, piece.host, piece.peer, piece.step, 0});
  }

  // Gives the frames that have come from `from` to their recvs, in order.
  void deliver(uint32_t from, uint32_t to) {
    Stream& stream = hosts_[from].streams[to];
    while (!stream.arrived.empty()) {
      const SimulatedRank::Item& item = ranks_[from].item(stream.arrived.front());
      const uint32_t recv = ranks_[to].recv_of(from, item.tag);
      GM_ASSERT(recv < ranks_[to].steps() && ranks_[to].item(recv).bytes == item.bytes);
      if (!hosts_[to].begun || !ranks_[to].ready(recv)) return;
      stream.arrived.pop_front();
      SimulatedPhase& phase = phases_[static_cast<uint32_t>(item.tag >> 38)];
      phase.end = std::max(phase.end, now_);
      complete(to, recv);
    }
  }

  void note(const SimulatedRank::Item& item, double start, bool first) {
    const auto number = static_cast<uint32_t>(item.tag >> 38);
    const auto [found, added] = phases_.try_emplace(number, SimulatedPhase{number, start, start, 0, 0});
    if (!first) return;
    ++result_.frames;
    ++found->second.frames;
    found->second.bytes += item.bytes;
  }

  const LinkModel& model_;
  std::vector<SimulatedRank> ranks_;
  std::vector<Host> hosts_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<std::pair<uint32_t, uint32_t>> completed_;  // host and step
  std::map<uint32_t, SimulatedPhase> phases_;
  Simulated result_;
  double now_ = 0;
  uint64_t order_ = 0;
};

Status refused(const char* field, const std::string& allowed) {
  return {GM_INVALID_ARGUMENT, std::string(field) + " is not usable; allowed: " + allowed};
}

Status check_model(const ScheduleRequest& request, const LinkModel& model) {
  for (const auto& [field, rates] : {std::pair{"uplink_bytes_per_second", &model.uplink_bytes_per_second},
                                     {"downlink_bytes_per_second", &model.downlink_bytes_per_second}}) {
    const bool positive = std::all_of(rates->begin(), rates->end(), [](double rate) { return rate > 0; });
    if (!positive || (rates->size() != 1 && rates->size() != request.ranks))
      return refused(field, "positive numbers, one a rank or one for all");
  }
  const bool counted = std::all_of(model.ready_seconds.begin(), model.ready_seconds.end(),
                                   [](double ready) { return ready >= 0 && std::isfinite(ready); });
  if (!counted || (!model.ready_seconds.empty() && model.ready_seconds.size() != request.ranks))
    return refused("ready_seconds", "finite numbers, 0 or more, one a rank or none");
  if (!model.delay_seconds) return refused("delay_seconds", "a function");
  if (model.frame_seconds < 0 || model.coding_seconds_per_byte < 0)
    return refused(model.frame_seconds < 0 ? "frame_seconds" : "coding_seconds_per_byte", "0 or more");
  if (model.piece_bytes == 0) return refused("piece_bytes", "1 or more");
  if (model.initial_window_bytes > model.window_bytes)
    return refused("window_bytes", "at least initial_window_bytes");
  return Status::ok();
}

}  // namespace

Status simulate(const ScheduleRequest& request, const LinkModel& model, Simulated* result) {
  GM_TRY(check_model(request, model));
  Simulation simulation(request, model);
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    ScheduleRequest own = request;
    own.rank = rank;
    Schedule schedule;
    GM_TRY(write_schedule(own, &schedule));
    simulation.add(SimulatedRank(own, schedule));
  }
  *result = simulation.run();
  return Status::ok();
}

}  // namespace gradmesh
