// The tree digest and the finiteness test.
#include "state/digest.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace gradmesh {
namespace {

// A tag byte and a number, as they stand before leaves and before the root.
using Prefix = std::array<uint8_t, 9>;
Prefix prefix(uint8_t tag, uint64_t number) {
  Prefix bytes{tag};
  for (size_t i = 0; i < 8; i++) bytes[1 + i] = static_cast<uint8_t>(number >> 8 * i);
  return bytes;
}

// Walks over the buffers as over one stream.
class Stream {
 public:
  explicit Stream(std::span<const crypto::Bytes> buffers) : buffers_(buffers) {}
  // The next bytes that lie together, at most `limit`; empty at the end.
  crypto::Bytes next(size_t limit) {
    while (buffer_ < buffers_.size() && at_ == buffers_[buffer_].size()) buffer_++, at_ = 0;
    if (buffer_ == buffers_.size()) return {};
    const size_t length = std::min(limit, buffers_[buffer_].size() - at_);
    const crypto::Bytes piece = buffers_[buffer_].subspan(at_, length);
    at_ += length;
    return piece;
  }

 private:
  std::span<const crypto::Bytes> buffers_;
  size_t buffer_ = 0, at_ = 0;
};

}  // namespace

Status tree_digest(std::span<const crypto::Bytes> buffers, crypto::Digest* digest) {
  uint64_t length = 0;
  for (const crypto::Bytes& buffer : buffers) length += buffer.size();
  crypto::Sha256 leaf, root;
  GM_TRY(crypto::Sha256::create(&leaf));
  GM_TRY(crypto::Sha256::create(&root));
  GM_TRY(root.update(prefix(1, length)));
  Stream stream(buffers);
  for (uint64_t index = 0; index * kDigestLeafBytes < length; index++) {
    GM_TRY(leaf.update(prefix(0, index)));
    for (size_t rest = std::min<uint64_t>(kDigestLeafBytes, length - index * kDigestLeafBytes); rest > 0;) {
      const crypto::Bytes piece = stream.next(rest);
      GM_TRY(leaf.update(piece));
      rest -= piece.size();
    }
    crypto::Digest hash;
    GM_TRY(leaf.finish(&hash));
    GM_TRY(root.update(hash));
  }
  return root.finish(digest);
}

bool all_finite(std::span<const float> source) {
  constexpr size_t kTile = 4096;  // stops early without a branch per element
  for (size_t at = 0; at < source.size(); at += kTile) {
    const size_t count = std::min(kTile, source.size() - at);
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
      uint32_t bits;
      std::memcpy(&bits, source.data() + at + i, 4);
      bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (bad != 0) return false;
  }
  return true;
}

}  // namespace gradmesh
