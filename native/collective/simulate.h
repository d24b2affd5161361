// How long a collective takes, and what it sends, on links that are given as numbers: its schedules run
// against a model of the network, event by event, without data.
//
// The model. A host has one uplink and one downlink. Its frames wait in a queue for each peer, in the order
// in which their sends become ready; the uplink serves the peers' queues in turn, a piece of a frame at a
// time, so that links share it evenly. A piece takes its bytes / uplink rate, with the frame's extra bytes
// where it is the first; its first byte arrives a one-way delay after it left, and the downlink takes it in
// then, at its own rate and first come first served: so a piece alone takes bytes / the slower rate + delay.
// A frame's recv is done when its last piece is in and the recv is ready; before that it holds up those
// behind it on the same link. A host does one local step at a time, for coding_seconds_per_byte times the
// float32 bytes that it takes in, and spends frame_seconds on each frame that it sends, where the uplink is.
// A rank takes and sends nothing before it begins; what comes earlier waits for it, however much it is (on a
// network at most early.h's kEagerBytes come, the rest when it has begun).
// Nothing is lost, and a window bounds what a stream has in flight where one is given: it grows by what is
// acknowledged, a delay there and back after it was sent, from initial_window_bytes to window_bytes (TCP's
// slow start, RFC 5681; it does not shrink while idle).
#pragma once
#include <functional>
#include <string>

#include "collective/schedule.h"

namespace gradmesh {

struct LinkModel {
  std::vector<double> uplink_bytes_per_second;                      // by rank, or one for all
  std::vector<double> downlink_bytes_per_second;                    // likewise
  std::function<double(uint32_t from, uint32_t to)> delay_seconds;  // one way
  std::vector<double> ready_seconds{};                              // when each rank begins; empty: all at 0
  double frame_seconds = 0;
  uint64_t frame_bytes = 0;  // headers
  double coding_seconds_per_byte = 0;
  uint64_t piece_bytes = 256 << 10;
  uint64_t initial_window_bytes = 0;  // of a stream; 0: no window bounds it
  uint64_t window_bytes = 0;
};

// When the frames of one phase (partition.h's tags) left and arrived.
struct SimulatedPhase {
  uint32_t phase;
  double begin, end;  // seconds: the first one leaves, the last one is in
  uint64_t frames, bytes;
};

struct Simulated {
  std::vector<double> finish_seconds;  // when each rank is done; where it has nothing to do, when it begins
  double seconds = 0;                  // until every rank is done
  double first_seconds = 0;            // until the first that does anything is
  uint64_t bytes = 0;                  // of payload, by all ranks
  uint64_t bytes_most = 0;             // by the rank that sends most
  uint64_t frames = 0;
  std::vector<SimulatedPhase> phases;
};

// request.rank is ignored. GM_INVALID_ARGUMENT names the field of the request or the model that is wrong.
Status simulate(const ScheduleRequest& request, const LinkModel& model, Simulated* result);

}  // namespace gradmesh
