// Starts the digest's kernels and fetches what they give.
#include "state/device_digest.h"

namespace gradmesh {

Status device_digest(const device::Stream& stream, const uint8_t* source, size_t bytes, StateDigest* digest) {
  const device::SharedDevice& device = stream.device();
  device::Memory scratch, result;
  const size_t scratch_bytes = device->table().digest_scratch_bytes(bytes);
  GM_TRY(device::Memory::allocate(device, device::Memory::Kind::device, scratch_bytes, &scratch));
  GM_TRY(device::Memory::allocate(device, device::Memory::Kind::device, digest->size(), &result));
  GM_TRY(device->use());
  GM_TRY(device->check(device->table().digest(source, bytes, scratch.data(), result.data(), stream.handle()),
                       "digest"));
  GM_TRY(stream.copy(digest->data(), result.data(), digest->size()));
  return stream.synchronize();
}

}  // namespace gradmesh
