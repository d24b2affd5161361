// Linux: Documentation/networking/tuntap.rst. With IFF_VNET_HDR each packet has a virtio header before it
// that says how it is to be cut and whether its checksum is still missing, so neither is done for traffic
// between hosts of one machine.
#include "tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gradmesh::net {
namespace {

Status system_error(const std::string& what) { return {GM_IO, what + ": " + std::strerror(errno)}; }

Status create_device(int* descriptor) {
  const int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (device < 0) return system_error("open /dev/net/tun");
  *descriptor = device;
  ifreq request = {};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  std::strncpy(request.ifr_name, kDeviceName, sizeof request.ifr_name - 1);
  if (ioctl(device, TUNSETIFF, &request) < 0) return system_error("TUNSETIFF");
  if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN) < 0)
    return system_error("TUNSETOFFLOAD");
  int header_bytes = sizeof(Offload);
  if (ioctl(device, TUNSETVNETHDRSZ, &header_bytes) < 0) return system_error("TUNSETVNETHDRSZ");
  return Status::ok();
}

}  // namespace

Status open_tun(const std::string& path, int* descriptor) {
  const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int target = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Status status = home < 0 || target < 0 || setns(target, CLONE_NEWNET) < 0 ? system_error("enter " + path)
                                                                            : create_device(descriptor);
  if (home >= 0 && setns(home, CLONE_NEWNET) < 0 && status) status = system_error("leave " + path);
  if (home >= 0) close(home);
  if (target >= 0) close(target);
  return status;
}

bool read_tun(int descriptor, Packet& packet) {
  iovec pieces[] = {
      {&packet.offload, sizeof packet.offload}, {packet.head, kHeadBytes}, {packet.tail, kTailBytes}};
  const ssize_t bytes = readv(descriptor, pieces, 3);
  packet.size = static_cast<int32_t>(bytes - static_cast<ssize_t>(sizeof packet.offload));
  return bytes > static_cast<ssize_t>(sizeof packet.offload);
}

bool write_tun(int descriptor, Packet& packet) {
  const auto size = static_cast<size_t>(packet.size);
  const size_t head = std::min<size_t>(size, kHeadBytes);
  iovec pieces[] = {
      {&packet.offload, sizeof packet.offload}, {packet.head, head}, {packet.tail, size - head}};
  return writev(descriptor, pieces, size > head ? 3 : 2) >= 0;
}

}  // namespace gradmesh::net
