// A TUN device inside a network namespace, through which up to 64 KiB of TCP segments pass as one packet.
#pragma once
#include <string>

#include "base/status.h"
#include "packet.h"

namespace gradmesh::net {

constexpr const char* kDeviceName = "wan0";

// Creates the device in the namespace at `path` (as /run/netns/<name>) and opens it, non-blocking, as
// `*descriptor`.
Status open_tun(const std::string& path, int* descriptor);

// Reads one packet; false where none waits or it is not whole.
[[nodiscard]] bool read_tun(int descriptor, Packet& packet);

// Hands a packet to the host's kernel; false where it refuses it.
[[nodiscard]] bool write_tun(int descriptor, Packet& packet);

}  // namespace gradmesh::net
