// Makes the stream of a golden case and hashes it on the CPU or a GPU.
#include "state/golden.h"

#include <vector>

#include "base/crypto.h"
#include "state/device_digest.h"

namespace gradmesh {
namespace {

constexpr uint64_t kPatternPeriod = 251;

Status make_stream(std::string_view name, uint64_t elements, uint64_t seed, std::vector<uint8_t>* stream) {
  if (name != "blake3")
    return {GM_INVALID_ARGUMENT, "name is \"" + std::string(name) + "\"; allowed: blake3"};
  if (elements > kGoldenStateBytesMax)
    return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; a golden case has at most " +
                                     std::to_string(kGoldenStateBytesMax)};
  stream->resize(elements);
  for (uint64_t i = 0; i < elements; ++i)
    (*stream)[i] = static_cast<uint8_t>((seed % kPatternPeriod + i) % kPatternPeriod);
  return Status::ok();
}

}  // namespace

Status golden_state(std::string_view name, uint64_t elements, uint64_t seed, std::string* digest) {
  std::vector<uint8_t> stream;
  GM_TRY(make_stream(name, elements, seed, &stream));
  const Bytes whole(stream);
  const size_t first = stream.size() / 3, second = stream.size() / 2;  // cut where no chunk ends
  const Bytes buffers[] = {whole.first(first), whole.subspan(first, second - first), whole.subspan(second)};
  *digest = crypto::hex(state_digest(buffers, nullptr));
  return Status::ok();
}

Status golden_state(std::string_view name, uint64_t elements, uint64_t seed,
                    const device::SharedDevice& device, std::string* digest) {
  std::vector<uint8_t> bytes;
  GM_TRY(make_stream(name, elements, seed, &bytes));
  device::Memory memory;
  GM_TRY(device::Memory::allocate(device, device::Memory::Kind::device, bytes.size() + 1, &memory));
  device::Stream stream;
  GM_TRY(device::Stream::create(device, &stream));
  GM_TRY(stream.copy(memory.data(), bytes.data(), bytes.size()));
  StateDigest found;
  GM_TRY(device_digest(stream, memory.data(), bytes.size(), &found));
  *digest = crypto::hex(found);
  return Status::ok();
}

}  // namespace gradmesh
