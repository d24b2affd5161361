// Error feedback and momentum residue over whatever contractive codec: checks, then the passes over one
// segment.
#include "codec/feedback.h"

#include <string>

#include "codec/feedback_element.h"
#include "numeric/backend.h"

namespace gradmesh {

namespace scalar {
extern const feedback::Loops feedback_loops;
}
#if GM_X86
namespace avx2 {
extern const feedback::Loops feedback_loops;
}
namespace avx512 {
extern const feedback::Loops feedback_loops;
}
#endif

namespace feedback {
namespace {

const Loops& loops() {
  switch (backend::active()) {
#if GM_X86
    case backend::Backend::avx512:
      return avx512::feedback_loops;
    case backend::Backend::avx2:
      return avx2::feedback_loops;
#endif
    default:
      return scalar::feedback_loops;
  }
}

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

Status check_codec(const Codec& codec, const CodecKey& key) {
  if (!codec.traits.contractive)
    return invalid(
        "codec is \"" + codec.spec + "\", which is " +
        (codec.traits.unbiased ? "unbiased" : "not contractive") +
        ": with error feedback what it leaves out does not shrink and training oscillates; use it without "
        "feedback, or a contractive codec (such as \"topk\", \"sign1\" or a block codec that rounds to "
        "nearest)");
  if (key.first % codec.traits.block_elements != 0)
    return invalid("first is " + std::to_string(key.first) + "; allowed: multiples of the block of \"" +
                   codec.spec + "\", " + std::to_string(codec.traits.block_elements));
  return Status::ok();
}

Status check_fraction(const char* name, float value) {
  if (value >= 0.0f && value <= 1.0f) return Status::ok();  // false for NaN
  return invalid(std::string(name) + " is " + std::to_string(value) + "; allowed: from 0 to 1");
}

Status check_length(const char* name, size_t length, size_t expected, const char* unit) {
  if (length == expected) return Status::ok();
  return invalid(std::string(name) + " has " + std::to_string(length) + " " + unit + "; expected " +
                 std::to_string(expected));
}

}  // namespace

Status codec_momentum(const Codec& codec, const CodecKey& key, float decay, float alpha,
                      std::span<const float> gradient, std::span<float> momentum, std::span<uint8_t> wire,
                      std::span<float> sent) {
  const size_t elements = gradient.size();
  GM_TRY(check_codec(codec, key));
  GM_TRY(check_fraction("decay", decay));
  GM_TRY(check_fraction("alpha", alpha));
  GM_TRY(check_length("state", momentum.size(), elements, "elements"));
  GM_TRY(check_length("sent", sent.size(), elements, "elements"));
  GM_TRY(check_length("wire", wire.size(), codec.bytes(elements), "bytes"));
  const CodecLoops& code = codec_loops(codec);
  loops().advance(decay, gradient.data(), elements, momentum.data());
  code.encode(codec.options, key, momentum.data(), elements, wire.data());
  code.decode(codec.options, key, wire.data(), elements, sent.data());
  loops().settle(alpha, sent.data(), elements, momentum.data());
  return Status::ok();
}

Status codec_feedback(const Codec& codec, const CodecKey& key, float decay, std::span<const float> source,
                      std::span<float> residual, std::span<uint8_t> wire, std::span<float> sent) {
  return codec_momentum(codec, key, decay, 1.0f, source, residual, wire, sent);
}

}  // namespace feedback
}  // namespace gradmesh
