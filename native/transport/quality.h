// What the system measures of TCP sockets by itself (TCP_INFO), so that it costs nothing to know.
#pragma once
#include <cstdint>
#include <string>

namespace gradmesh {

struct Quality {
  uint32_t streams = 0;
  double round_trip_seconds = 0;         // smoothed, the least of the streams
  double round_trip_min_seconds = 0;     // the least that was seen lately, of any stream
  double delivery_bytes_per_second = 0;  // of the last acknowledged data, summed
  uint64_t window_bytes = 0;             // congestion windows, summed
  uint64_t bytes_acked = 0, bytes_received = 0;
  uint64_t segments_sent = 0, segments_retransmitted = 0;
  uint64_t bytes_unsent = 0;  // in the sockets' buffers
};

// Adds what is known of one socket; nothing where the system doesn't say.
void add_quality(int socket, Quality* quality);
std::string quality_json(const Quality& quality);

}  // namespace gradmesh
