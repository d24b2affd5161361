// The tree digest against its definition, and all_finite over every kind of value.
#include "state/digest.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "check.h"

using namespace gradmesh;

namespace {

std::string digest_of(const std::vector<crypto::Bytes>& buffers) {
  crypto::Digest digest;
  const Status status = tree_digest(buffers, &digest);
  CHECK_THAT(static_cast<bool>(status), status.message());
  return crypto::hex(digest);
}

void append(std::vector<uint8_t>& bytes, uint8_t tag, uint64_t number) {
  bytes.push_back(tag);
  for (int i = 0; i < 8; i++) bytes.push_back(static_cast<uint8_t>(number >> (8 * i)));
}

// The definition, all in memory.
std::string reference(const std::vector<uint8_t>& stream) {
  std::vector<uint8_t> root;
  append(root, 1, stream.size());
  crypto::Digest digest;
  for (uint64_t index = 0; index << 20 < stream.size(); index++) {
    std::vector<uint8_t> leaf;
    append(leaf, 0, index);
    const size_t from = index << 20, to = std::min<size_t>(from + (1 << 20), stream.size());
    leaf.insert(leaf.end(), stream.begin() + static_cast<long>(from), stream.begin() + static_cast<long>(to));
    CHECK(static_cast<bool>(crypto::sha256(leaf, &digest)));
    root.insert(root.end(), digest.begin(), digest.end());
  }
  CHECK(static_cast<bool>(crypto::sha256(root, &digest)));
  return crypto::hex(digest);
}

std::vector<uint8_t> random_stream(size_t length) {
  std::mt19937_64 random(check::seed() + length);
  std::vector<uint8_t> bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

}  // namespace

TEST("the digest is the definition's, for lengths around every boundary") {
  constexpr size_t kLeaf = kDigestLeafBytes;
  for (const size_t length :
       {size_t{0}, size_t{1}, size_t{1000}, kLeaf - 1, kLeaf, kLeaf + 1, 3 * kLeaf, 3 * kLeaf + 17}) {
    const auto stream = random_stream(length);
    CHECK_THAT(digest_of({stream}) == reference(stream), std::to_string(length));
  }
}

TEST("the digest of nothing and of abc are fixed for ever") {
  // SHA256(01 || 00*8), and SHA256(01 || 03 00*7 || SHA256(00 || 00*8 || "abc")), by another program.
  CHECK(digest_of({}) == "a536aa3cede6ea3c1f3e0357c3c60e0f216a8c89b853df13b29daa8f85065dfb");
  const std::vector<uint8_t> abc = {'a', 'b', 'c'};
  CHECK(digest_of({abc}) == "f17f999ff18076afd5c819884d5eaaa3c223e8d5cf4824cdb78643bc7d3fa9a7");
}

TEST("the digest does not depend on how the stream is cut into buffers") {
  const auto stream = random_stream((2 << 20) + 12345);
  const std::string whole = digest_of({stream});
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 8; trial++) {
    std::vector<crypto::Bytes> pieces;
    for (size_t at = 0; at < stream.size();) {
      const size_t length =
          std::min<size_t>(trial % 2 ? random() % 700000 : random() % 3 << 20, stream.size() - at);
      pieces.push_back(crypto::Bytes(stream).subspan(at, length));  // empty ones too
      at += length;
    }
    pieces.push_back({});
    CHECK(digest_of(pieces) == whole);
  }
}

TEST("one changed bit, a moved leaf or another length changes the digest") {
  auto stream = random_stream(2 << 20);
  const std::string before = digest_of({stream});
  const auto bytes = crypto::Bytes(stream);
  CHECK(digest_of({bytes.subspan(1 << 20), bytes.first(1 << 20)}) != before);
  CHECK(digest_of({bytes.first(stream.size() - 1)}) != before);
  stream[1234567] ^= 4;
  CHECK(digest_of({stream}) != before);
}

TEST("all_finite sees one bad element in any place, and takes denormals and the largest for finite") {
  const float fine[] = {0.0f, -0.0f, 1e-45f, std::numeric_limits<float>::max(),
                        -std::numeric_limits<float>::max()};
  CHECK(all_finite(fine) && all_finite({}));
  for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
    for (const size_t length : {1, 7, 4095, 4096, 4097, 9001}) {
      std::vector<float> source(length, 1e-45f);
      CHECK(all_finite(source));
      for (const size_t place : {size_t{0}, length / 2, length - 1}) {
        source[place] = bad;
        CHECK(!all_finite(source));
        source[place] = 1.0f;
      }
    }
  }
}
