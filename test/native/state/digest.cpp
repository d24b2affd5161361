// The digest against published digests and the tree's definition, on every backend, however bytes are cut and
// shared; and all_finite over every kind of value.
#include "state/digest.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/crypto.h"
#include "check.h"
#include "numeric/backend.h"
#include "state/blake3.h"

using namespace gradmesh;

namespace {

std::string digest_of(const std::vector<Bytes>& buffers, ThreadPool* pool = nullptr) {
  return crypto::hex(state_digest(buffers, pool));
}

// The definition (section 2.1 of the paper), one node at a time: a subtree is its two halves' values in one
// parent, the left half being the largest power of two of chunks that leaves one for the right.
std::array<uint32_t, 8> subtree(Bytes bytes, uint64_t first, uint32_t root) {
  std::array<uint32_t, 8> value;
  if (bytes.size() > blake3::kChunkBytes) {
    size_t left = blake3::kChunkBytes;
    while (2 * left < bytes.size()) left *= 2;
    uint32_t children[16];
    const auto a = subtree(bytes.first(left), first, 0);
    const auto b = subtree(bytes.subspan(left), first + left / blake3::kChunkBytes, 0);
    std::copy(a.begin(), a.end(), children);
    std::copy(b.begin(), b.end(), children + 8);
    blake3::parent(children, root, value.data());
    return value;
  }
  const blake3::Start start;
  uint32_t words[8];
  std::copy_n(start.words, 8, words);
  size_t at = 0;
  do {
    const size_t length = std::min<size_t>(64, bytes.size() - at);
    uint32_t message[16] = {};
    for (size_t i = 0; i < length; i++) message[i / 4] |= uint32_t{bytes[at + i]} << 8 * (i % 4);
    const bool last = at + length == bytes.size();
    blake3::compress_block(words, message, first, static_cast<uint32_t>(length),
                           (at == 0 ? 1u : 0) | (last ? 2u | root : 0));
    at += length;
  } while (at < bytes.size());
  std::copy_n(words, 8, value.begin());
  return value;
}

std::string reference(Bytes bytes) {
  const auto value = subtree(bytes, 0, blake3::kRoot);
  return crypto::hex({reinterpret_cast<const uint8_t*>(value.data()), 32});
}

std::vector<uint8_t> random_stream(size_t length) {
  std::mt19937_64 random(check::seed() + length);
  std::vector<uint8_t> bytes(length);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

template <class Body>
void on_every_backend(Body body) {
  for (const auto backend : backend::available()) {
    CHECK(bool(backend::force(backend::name(backend))));
    body(std::string(backend::name(backend)));
  }
  CHECK(bool(backend::force("auto")));
}

}  // namespace

TEST("the digest is BLAKE3: the published ones, fixed for ever") {
  std::vector<uint8_t> pattern(1025);
  for (size_t i = 0; i < pattern.size(); i++) pattern[i] = static_cast<uint8_t>(i % 251);
  const Bytes bytes(pattern);
  on_every_backend([&](const std::string& name) {
    CHECK_THAT(digest_of({}) == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", name);
    CHECK_THAT(
        digest_of({bytes.first(1)}) == "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        name);
    CHECK_THAT(
        digest_of({bytes.first(1024)}) == "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        name);
    CHECK_THAT(digest_of({bytes}) == "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
               name);
  });
}

TEST("every backend and number of threads gives the definition's digest, around every boundary") {
  std::vector<size_t> chunks = {1, 2, 3, 127, 128, 129, 255, 256, 257, 384, 1023, 1024, 1025, 1100, 2200};
  for (size_t i = 4; i < 36; i++) chunks.push_back(i);  // every filling of a register's lanes
  const auto stream = random_stream(2201 * 1024);
  ThreadPool pool(3);
  for (const size_t count : chunks)
    for (const size_t more : {-1023, -1, 0, 1, 63, 64, 65}) {
      const Bytes bytes = Bytes(stream).first(count * 1024 + more);
      const std::string expected = reference(bytes);
      on_every_backend([&](const std::string& name) {
        const std::string what = name + ", " + std::to_string(bytes.size()) + " bytes";
        CHECK_THAT(digest_of({bytes}) == expected, what);
        CHECK_THAT(digest_of({bytes}, &pool) == expected, what + ", 3 threads");
      });
    }
}

TEST("the digest does not depend on how the stream is cut into buffers, nor on where they lie") {
  const auto stream = random_stream((2 << 20) + 12345);
  const std::string whole = reference(stream);
  std::mt19937_64 random(check::seed());
  on_every_backend([&](const std::string& name) {
    for (const uint64_t largest : {1ull << 10, 20ull << 10, 700000ull}) {
      std::vector<Bytes> pieces = {Bytes()};
      for (size_t at = 0; at < stream.size();) {
        const size_t length = std::min<size_t>(random() % largest, stream.size() - at);  // empty ones too
        pieces.push_back(Bytes(stream).subspan(at, length));
        at += length;
      }
      pieces.push_back({});
      ThreadPool pool(2);
      CHECK_THAT(digest_of(pieces) == whole && digest_of(pieces, &pool) == whole,
                 name + ", pieces below " + std::to_string(largest));
    }
  });
}

TEST("one changed bit, moved bytes or another length changes the digest") {
  auto stream = random_stream(2 << 20);
  const std::string before = digest_of({stream});
  const auto bytes = Bytes(stream);
  CHECK(digest_of({bytes.subspan(1 << 20), bytes.first(1 << 20)}) != before);
  CHECK(digest_of({bytes.first(stream.size() - 1)}) != before);
  CHECK(digest_of({bytes, bytes.first(1)}) != before);
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
