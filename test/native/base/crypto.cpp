// AES-256-GCM and SHA-256 against published vectors; what a forger or a machine without libcrypto sees.
#include "base/crypto.h"

#include "check.h"

using namespace gradmesh;
using namespace gradmesh::crypto;

namespace {

std::vector<uint8_t> unhex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}
Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Pair {
  AesGcm seal, open;
  explicit Pair(const std::vector<uint8_t>& key) {
    const std::span<const uint8_t, kKeyBytes> view(key.data(), kKeyBytes);
    CHECK(static_cast<bool>(AesGcm::create(view, Direction::seal, &seal)));
    CHECK(static_cast<bool>(AesGcm::create(view, Direction::open, &open)));
  }
};
using Nonce = std::array<uint8_t, kNonceBytes>;
using Tag = std::array<uint8_t, kTagBytes>;

std::vector<uint8_t> random_vector(size_t length) {
  std::vector<uint8_t> bytes(length);
  CHECK(static_cast<bool>(random_bytes(bytes)));
  return bytes;
}

}  // namespace

TEST("aes-256-gcm gives the published vector with additional data (McGrew and Viega, test case 16)") {
  Pair pair(unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
  const auto nonce = unhex("cafebabefacedbaddecaf888");
  const auto aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const auto plain = unhex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aed"
      "f5aa0de657ba637b39");
  std::vector<uint8_t> coded(plain.size()), back(plain.size());
  Tag tag;
  const std::span<const uint8_t, kNonceBytes> view(nonce.data(), kNonceBytes);
  for (int repeat = 0; repeat < 3; repeat++) {  // one context codes many messages
    CHECK(static_cast<bool>(pair.seal.seal(view, aad, plain, coded, tag)));
    CHECK(hex(coded) ==
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5"
          "f61e6393ba7a0abcc9f662");
    CHECK(hex(tag) == "76fc6ece0f4e1768cddf8853bb2d551b");
    CHECK(static_cast<bool>(pair.open.open(view, aad, coded, back, tag)));
    CHECK(back == plain);
  }
}

TEST("sealing in place equals sealing to a target, for any length") {
  Pair pair(random_vector(kKeyBytes));
  for (const size_t length : {0, 1, 15, 16, 17, 255, 4096, 70001}) {
    const auto plain = random_vector(length);
    Nonce nonce{};
    nonce[3] = static_cast<uint8_t>(length);
    auto in_place = plain;
    std::vector<uint8_t> target(length);
    Tag tag, tag_in_place;
    CHECK(static_cast<bool>(pair.seal.seal(nonce, {}, plain, target, tag)));
    CHECK(static_cast<bool>(pair.seal.seal(nonce, {}, in_place, in_place, tag_in_place)));
    CHECK(target == in_place && tag == tag_in_place);
    CHECK(static_cast<bool>(pair.open.open(nonce, {}, in_place, in_place, tag)));
    CHECK(in_place == plain);
  }
}

TEST("one changed bit anywhere is unauthorized, leaves zeros, and the context stays usable") {
  Pair pair(random_vector(kKeyBytes));
  const auto plain = random_vector(100), aad = random_vector(8);
  const Nonce nonce{1};
  std::vector<uint8_t> coded(100), back(100);
  Tag tag;
  CHECK(static_cast<bool>(pair.seal.seal(nonce, aad, plain, coded, tag)));
  const auto refused = [&](Nonce n, std::vector<uint8_t> a, std::vector<uint8_t> c, Tag t) {
    std::fill(back.begin(), back.end(), 0xee);
    CHECK(pair.open.open(n, a, c, back, t).code() == GM_UNAUTHORIZED);
    CHECK(back == std::vector<uint8_t>(100));
    CHECK(static_cast<bool>(pair.open.open(nonce, aad, coded, back, tag)) && back == plain);
  };
  auto other_coded = coded, other_aad = aad;
  other_coded[57] ^= 1, other_aad[7] ^= 128;
  Tag other_tag = tag;
  other_tag[15] ^= 1;
  refused(nonce, aad, other_coded, tag);
  refused(nonce, other_aad, coded, tag);
  refused(nonce, aad, coded, other_tag);
  refused(Nonce{2}, aad, coded, tag);
  refused(nonce, {}, coded, tag);
}

TEST("sha-256 gives the published vectors, however the stream is cut") {
  Digest digest;
  CHECK(static_cast<bool>(sha256({}, &digest)));
  CHECK(hex(digest) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  CHECK(static_cast<bool>(Sha256::create(&hash)));
  for (int repeat = 0; repeat < 2; repeat++) {  // finish() starts the next stream
    CHECK(static_cast<bool>(hash.update(bytes_of("a"))) && static_cast<bool>(hash.update({})));
    CHECK(static_cast<bool>(hash.update(bytes_of("bc"))) && static_cast<bool>(hash.finish(&digest)));
    CHECK(hex(digest) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  }
}

TEST("HMAC and HKDF-Expand give the vectors of RFC 4231 (4.3) and RFC 5869 (A.1)") {
  Digest digest;
  CHECK(static_cast<bool>(hmac_sha256(bytes_of("Jefe"), bytes_of("what do ya want for nothing?"), &digest)));
  CHECK(hex(digest) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const auto key = unhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  CHECK(static_cast<bool>(hkdf_expand(key, unhex("f0f1f2f3f4f5f6f7f8f9"), &digest)));
  CHECK(hex(digest) == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

TEST("equal compares every byte and the lengths") {
  const auto a = random_vector(33);
  auto b = a;
  CHECK(equal(a, b) && equal({}, {}));
  for (size_t i = 0; i < b.size(); i++) {
    b[i] ^= 0x10;
    CHECK(!equal(a, b));
    b[i] ^= 0x10;
  }
  CHECK(!equal(a, Bytes(a).first(32)));
}

TEST("random bytes differ from call to call") { CHECK(random_vector(32) != random_vector(32)); }

TEST("without libcrypto the message names what was looked for and the cure") {
  const char* const names[] = {"libno-such-crypto.so.9", "libnor-this.so"};
  std::string where;
  const Status status = probe(false, names, &where);
  CHECK(status.code() == GM_UNSUPPORTED && where.empty());
  for (const char* part : {"libno-such-crypto.so.9 or libnor-this.so", "apt install libssl3"})
    CHECK_THAT(status.message().find(part) != std::string::npos, status.message());
  const char* const real[] = {"libno-such-crypto.so.9", "libcrypto.so.3", "libcrypto.so.1.1"};
  CHECK(static_cast<bool>(probe(true, real, &where)) && !where.empty());
}
