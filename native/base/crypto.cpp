// Finds OpenSSL's libcrypto at run time and wraps the stable part of its EVP interface (the same
// since 1.1.0).
#include "base/crypto.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/assert.h"

namespace gradmesh::crypto {
namespace {

// The prototypes of OpenSSL's manual pages EVP_EncryptInit(3), EVP_DigestInit(3) and HMAC(3), with opaque
// pointers. Engines and parameters are always null here.
struct Library {
  void* (*EVP_CIPHER_CTX_new)();
  void (*EVP_CIPHER_CTX_free)(void* context);
  int (*EVP_CIPHER_CTX_ctrl)(void* context, int type, int argument, void* pointer);
  const void* (*EVP_aes_256_gcm)();
  int (*EVP_EncryptInit_ex)(void* context, const void* cipher, void* engine, const uint8_t* key,
                            const uint8_t* nonce);
  int (*EVP_EncryptUpdate)(void* context, uint8_t* target, int* written, const uint8_t* source, int length);
  int (*EVP_EncryptFinal_ex)(void* context, uint8_t* target, int* written);
  int (*EVP_DecryptInit_ex)(void* context, const void* cipher, void* engine, const uint8_t* key,
                            const uint8_t* nonce);
  int (*EVP_DecryptUpdate)(void* context, uint8_t* target, int* written, const uint8_t* source, int length);
  int (*EVP_DecryptFinal_ex)(void* context, uint8_t* target, int* written);
  void* (*EVP_MD_CTX_new)();
  void (*EVP_MD_CTX_free)(void* context);
  const void* (*EVP_sha256)();
  int (*EVP_DigestInit_ex)(void* context, const void* type, void* engine);
  int (*EVP_DigestUpdate)(void* context, const void* bytes, size_t length);
  int (*EVP_DigestFinal_ex)(void* context, uint8_t* digest, unsigned* length);
  uint8_t* (*HMAC)(const void* type, const void* key, int key_length, const uint8_t* message, size_t length,
                   uint8_t* digest, unsigned* digest_length);
};

constexpr int kGetTag = 0x10;  // EVP_CTRL_AEAD_GET_TAG
constexpr int kSetTag = 0x11;  // EVP_CTRL_AEAD_SET_TAG
constexpr const char* kNames[] = {"libcrypto.so.3", "libcrypto.so.1.1"};

// All functions must come from one place: contexts of one libcrypto mean nothing to another.
bool resolve(void* handle, Library* library) {
  bool all = true;
  const auto find = [&](auto& function, const char* name) {
    void* address = dlsym(handle, name);
    std::memcpy(&function, &address, sizeof address);
    all = all && address != nullptr;
  };
#define GM_FIND(name) find(library->name, #name)
  GM_FIND(EVP_CIPHER_CTX_new), GM_FIND(EVP_CIPHER_CTX_free), GM_FIND(EVP_CIPHER_CTX_ctrl);
  GM_FIND(EVP_aes_256_gcm), GM_FIND(EVP_EncryptInit_ex), GM_FIND(EVP_EncryptUpdate),
      GM_FIND(EVP_EncryptFinal_ex);
  GM_FIND(EVP_DecryptInit_ex), GM_FIND(EVP_DecryptUpdate), GM_FIND(EVP_DecryptFinal_ex);
  GM_FIND(EVP_MD_CTX_new), GM_FIND(EVP_MD_CTX_free), GM_FIND(EVP_sha256);
  GM_FIND(EVP_DigestInit_ex), GM_FIND(EVP_DigestUpdate), GM_FIND(EVP_DigestFinal_ex);
  GM_FIND(HMAC);
#undef GM_FIND
  return all;
}

Status load(bool in_process, std::span<const char* const> names, Library* library, std::string* where) {
  if (in_process && resolve(RTLD_DEFAULT, library)) {
    *where = "this process";
    return Status::ok();
  }
  for (const char* name : names) {
    // Never closed: libcrypto registers handlers that run at exit.
    if (void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL); handle != nullptr && resolve(handle, library)) {
      *where = name;
      return Status::ok();
    }
  }
  std::string message =
      "encryption and digests need OpenSSL's libcrypto, which is neither in this process nor found as";
  for (const char* name : names) message += std::string(name == names[0] ? " " : " or ") + name;
  return {GM_UNSUPPORTED,
          message + "; install it (Debian: apt install libssl3), or run under Node, which contains it"};
}

struct Loaded {
  Library library{};
  std::string where;
  Status status = load(true, kNames, &library, &where);
};
const Loaded& loaded() {
  static const Loaded once;
  return once;
}
const Library& library() { return loaded().library; }

Status broken(const char* function) {
  return {GM_INTERNAL, std::string("libcrypto's ") + function + " failed"};
}

// libcrypto's lengths are ints, so a long message goes in pieces. A null target means additional data.
template <class Update>
bool update_pieces(Update update, void* context, uint8_t* target, Bytes source) {
  constexpr size_t kPiece = size_t{1} << 30;
  for (size_t at = 0; at < source.size(); at += kPiece) {
    const int length = static_cast<int>(std::min(kPiece, source.size() - at));
    int written = 0;
    if (update(context, target ? target + at : nullptr, &written, source.data() + at, length) != 1)
      return false;
  }
  return true;
}

}  // namespace

Status probe(bool in_process, std::span<const char* const> names, std::string* where) {
  Library unused{};
  return load(in_process, names, &unused, where);
}

Status available() { return loaded().status; }

void AesGcm::Free::operator()(void* context) const { library().EVP_CIPHER_CTX_free(context); }

Status AesGcm::create(std::span<const uint8_t, kKeyBytes> key, Direction direction, AesGcm* result) {
  GM_TRY(available());
  AesGcm made;
  made.direction_ = direction;
  made.context_.reset(library().EVP_CIPHER_CTX_new());
  if (made.context_ == nullptr) return {GM_OUT_OF_MEMORY, "memory for a cipher could not be allocated"};
  const auto init =
      direction == Direction::seal ? library().EVP_EncryptInit_ex : library().EVP_DecryptInit_ex;
  const void* cipher = library().EVP_aes_256_gcm();
  if (init(made.context_.get(), cipher, nullptr, key.data(), nullptr) != 1)
    return broken("EVP_CipherInit_ex");
  *result = std::move(made);
  return Status::ok();
}

Status AesGcm::begin(std::span<const uint8_t, kNonceBytes> nonce, Bytes aad) {
  GM_ASSERT(context_);
  const bool seals = direction_ == Direction::seal;
  const auto init = seals ? library().EVP_EncryptInit_ex : library().EVP_DecryptInit_ex;
  const auto update = seals ? library().EVP_EncryptUpdate : library().EVP_DecryptUpdate;
  const bool done = init(context_.get(), nullptr, nullptr, nullptr, nonce.data()) == 1 &&
                    update_pieces(update, context_.get(), nullptr, aad);
  return done ? Status::ok() : broken("EVP_CipherInit_ex");
}

Status AesGcm::update(Bytes source, std::span<uint8_t> target) {
  GM_ASSERT(context_ && target.size() >= source.size());
  const auto update =
      direction_ == Direction::seal ? library().EVP_EncryptUpdate : library().EVP_DecryptUpdate;
  return update_pieces(update, context_.get(), target.data(), source) ? Status::ok()
                                                                      : broken("EVP_CipherUpdate");
}

Status AesGcm::finish_seal(std::span<uint8_t, kTagBytes> tag) {
  GM_ASSERT(context_ && direction_ == Direction::seal);
  uint8_t nothing[kTagBytes];
  int written = 0;
  const bool done = library().EVP_EncryptFinal_ex(context_.get(), nothing, &written) == 1 &&
                    library().EVP_CIPHER_CTX_ctrl(context_.get(), kGetTag, int{kTagBytes}, tag.data()) == 1;
  return done ? Status::ok() : broken("AES-256-GCM encryption");
}

Status AesGcm::finish_open(std::span<const uint8_t, kTagBytes> tag) {
  GM_ASSERT(context_ && direction_ == Direction::open);
  uint8_t expected[kTagBytes], nothing[kTagBytes];
  std::memcpy(expected, tag.data(), kTagBytes);
  int written = 0;
  if (library().EVP_CIPHER_CTX_ctrl(context_.get(), kSetTag, int{kTagBytes}, expected) != 1)
    return broken("AES-256-GCM decryption");
  if (library().EVP_DecryptFinal_ex(context_.get(), nothing, &written) == 1) return Status::ok();
  return {GM_UNAUTHORIZED,
          "a message is not authentic: its bytes, tag, nonce or additional data were changed, or the key is "
          "another"};
}

Status AesGcm::seal(std::span<const uint8_t, kNonceBytes> nonce, Bytes aad, Bytes source,
                    std::span<uint8_t> target, std::span<uint8_t, kTagBytes> tag) {
  GM_TRY(begin(nonce, aad));
  GM_TRY(update(source, target));
  return finish_seal(tag);
}

Status AesGcm::open(std::span<const uint8_t, kNonceBytes> nonce, Bytes aad, Bytes source,
                    std::span<uint8_t> target, std::span<const uint8_t, kTagBytes> tag) {
  Status status = begin(nonce, aad);
  if (status) status = update(source, target);
  if (status) status = finish_open(tag);
  if (!status && !source.empty()) std::memset(target.data(), 0, source.size());
  return status;
}

void Sha256::Free::operator()(void* context) const { library().EVP_MD_CTX_free(context); }

Status Sha256::create(Sha256* result) {
  GM_TRY(available());
  Sha256 made;
  made.context_.reset(library().EVP_MD_CTX_new());
  if (made.context_ == nullptr) return {GM_OUT_OF_MEMORY, "memory for a digest could not be allocated"};
  if (library().EVP_DigestInit_ex(made.context_.get(), library().EVP_sha256(), nullptr) != 1)
    return broken("EVP_DigestInit_ex");
  *result = std::move(made);
  return Status::ok();
}

Status Sha256::update(Bytes bytes) {
  GM_ASSERT(context_);
  if (bytes.empty()) return Status::ok();
  const int done = library().EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  return done == 1 ? Status::ok() : broken("EVP_DigestUpdate");
}

Status Sha256::finish(Digest* digest) {
  GM_ASSERT(context_);
  unsigned length = 0;
  if (library().EVP_DigestFinal_ex(context_.get(), digest->data(), &length) != 1 || length != kDigestBytes)
    return broken("EVP_DigestFinal_ex");
  // A null type keeps the algorithm: the context starts over without being looked up again.
  return library().EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1 ? Status::ok()
                                                                            : broken("EVP_DigestInit_ex");
}

Status sha256(Bytes bytes, Digest* digest) {
  Sha256 hash;
  GM_TRY(Sha256::create(&hash));
  GM_TRY(hash.update(bytes));
  return hash.finish(digest);
}

Status hmac_sha256(Bytes key, Bytes message, Digest* digest) {
  GM_TRY(available());
  unsigned length = 0;
  const uint8_t* made = library().HMAC(library().EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                       message.data(), message.size(), digest->data(), &length);
  return made != nullptr && length == kDigestBytes ? Status::ok() : broken("HMAC");
}

Status hkdf_expand(Bytes key, Bytes purpose, Digest* derived) {
  std::vector<uint8_t> message(purpose.begin(), purpose.end());
  message.push_back(1);  // the number of the block
  return hmac_sha256(key, message, derived);
}

std::string hex(Bytes bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

bool equal(Bytes a, Bytes b) {
  if (a.size() != b.size()) return false;
  // volatile: the compiler may not leave the loop at the first difference.
  volatile uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); i++) difference = static_cast<uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

Status random_bytes(std::span<uint8_t> target) {
  for (size_t at = 0; at < target.size();) {
    const ssize_t got = getrandom(target.data() + at, target.size() - at, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {GM_IO, std::string("the system gave no random bytes: ") + std::strerror(errno)};
    at += static_cast<size_t>(got);
  }
  return Status::ok();
}

}  // namespace gradmesh::crypto
