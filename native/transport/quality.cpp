// Reading TCP_INFO, in the kernel's own layout: the C library's lacks the newer fields.
#include "transport/quality.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>

namespace gradmesh {

void add_quality(int socket, Quality* quality) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
  constexpr double kMicrosecond = 1e-6;
  const auto least = [&](double so_far, uint32_t microseconds) {
    const double value = microseconds * kMicrosecond;
    return quality->streams == 0 ? value : std::min(so_far, value);
  };
  quality->round_trip_seconds = least(quality->round_trip_seconds, info.tcpi_rtt);
  quality->round_trip_min_seconds = least(quality->round_trip_min_seconds, info.tcpi_min_rtt);
  ++quality->streams;
  quality->delivery_bytes_per_second += static_cast<double>(info.tcpi_delivery_rate);
  quality->window_bytes += uint64_t{info.tcpi_snd_cwnd} * info.tcpi_snd_mss;
  quality->bytes_acked += info.tcpi_bytes_acked;
  quality->bytes_received += info.tcpi_bytes_received;
  quality->segments_sent += info.tcpi_segs_out;
  quality->segments_retransmitted += info.tcpi_total_retrans;
  quality->bytes_unsent += info.tcpi_notsent_bytes;
}

std::string quality_json(const Quality& quality) {
  char text[512];
  std::snprintf(text, sizeof text,
                "\"roundTripSeconds\":%.6f,\"roundTripMinSeconds\":%.6f,\"deliveryBytesPerSecond\":%.0f,"
                "\"windowBytes\":%llu,\"bytesAcked\":%llu,\"bytesReceived\":%llu,\"segmentsSent\":%llu,"
                "\"segmentsRetransmitted\":%llu,\"bytesUnsent\":%llu",
                quality.round_trip_seconds, quality.round_trip_min_seconds, quality.delivery_bytes_per_second,
                static_cast<unsigned long long>(quality.window_bytes),
                static_cast<unsigned long long>(quality.bytes_acked),
                static_cast<unsigned long long>(quality.bytes_received),
                static_cast<unsigned long long>(quality.segments_sent),
                static_cast<unsigned long long>(quality.segments_retransmitted),
                static_cast<unsigned long long>(quality.bytes_unsent));
  return text;
}

}  // namespace gradmesh
