// Error feedback and momentum residue: nothing is lost, what is refused, NaN, and that it makes signs
// converge.
#include "codec/feedback.h"

#include "numeric/convert.h"
#include "support.h"

using namespace codec_test;
using feedback::codec_feedback;
using feedback::codec_momentum;

namespace {

const Codec& open(const std::string& spec) {
  const Codec* codec = codec_find(spec);
  CHECK_THAT(codec != nullptr, spec);
  return *codec;
}

// A state with what one step writes beside it.
struct Sender {
  const Codec& codec;
  std::vector<float> state, sent;
  std::vector<uint8_t> wire;
  uint64_t step = 0;
  Sender(const Codec& codec_of, size_t elements)
      : codec(codec_of), state(elements), sent(elements), wire(codec_of.bytes(elements)) {}
  Status send(const std::vector<float>& x, float decay = 1.0f) {
    return codec_feedback(codec, {11, step++, 0, 0}, decay, x, state, wire, sent);
  }
};

std::vector<float> decoded_in_step(const Codec& codec, const std::vector<uint8_t>& wire, size_t elements,
                                   uint64_t step) {
  std::vector<float> target(elements);
  codec_loops(codec).decode(codec.options, {11, step, 0, 0}, wire.data(), elements, target.data());
  return target;
}

const char* const kSpecs[] = {"sign1",
                              "topk:k=40",
                              "topk:k=40,values=int8",
                              "topk:block=256,k=5,values=sign",
                              "topk:k=40,values=int2",
                              "random_mask:kept_ppm=100000",
                              "random_mask:kept_ppm=100000,values=int8",
                              "bf16",
                              "fp32"};

}  // namespace

TEST("feedback: all that was sent and the residual sum to all inputs, to rounding") {
  std::mt19937_64 random(check::seed());
  constexpr size_t kElements = 4096 + 300;
  constexpr int kSteps = 30;
  for (const char* spec : kSpecs) {
    Sender sender(open(spec), kElements);
    std::vector<double> inputs(kElements), outputs(kElements), rounding(kElements);
    for (int step = 0; step < kSteps; step++) {
      const auto x = values(Kind::normal, kElements, random);
      const auto before = sender.state;
      CHECK(static_cast<bool>(sender.send(x)));
      CHECK(same_bits(sender.sent, decoded_in_step(sender.codec, sender.wire, kElements, sender.step - 1)));
      for (size_t i = 0; i < kElements; i++) {
        inputs[i] += double{x[i]};
        outputs[i] += double{sender.sent[i]};
        rounding[i] += 0x1p-24 * (std::fabs(double{before[i]}) + std::fabs(double{x[i]}) +
                                  std::fabs(double{sender.state[i]}));
      }
    }
    for (size_t i = 0; i < kElements; i++)
      CHECK_THAT(std::fabs(outputs[i] + double{sender.state[i]} - inputs[i]) <= rounding[i] * 1.0001, spec);
  }
}

TEST("feedback: nothing is lost of what is exact, to the last bit") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : {"topk:k=40", "random_mask:kept_ppm=100000"}) {
    Sender sender(open(spec), 5000);
    std::vector<int64_t> left(5000);
    for (int step = 0; step < 50; step++) {
      std::vector<float> x(5000);
      for (size_t i = 0; i < x.size(); i++) {
        const int value = static_cast<int>(random() % 2001) - 1000;
        x[i] = static_cast<float>(value) * 0x1p-7f;
        left[i] += value;
      }
      CHECK(static_cast<bool>(sender.send(x)));
      for (size_t i = 0; i < x.size(); i++) left[i] -= static_cast<int64_t>(double{sender.sent[i]} * 128);
    }
    for (size_t i = 0; i < left.size(); i++)
      CHECK(double{sender.state[i]} * 128 == static_cast<double>(left[i]));
  }
}

// Least squares with rows whose signs all agree (Karimireddy et al., counterexample 3): the signs of every
// gradient are
// +-(1, .., 1), so signs alone never leave that line, and the solution lies off it.
TEST("feedback: signs alone do not converge on a small quadratic, with feedback they do") {
  constexpr size_t kSize = 2;
  const double rows[kSize][kSize] = {{1, 2}, {2, 1}}, solution[kSize] = {1, -1};
  const auto distance_after = [&](bool with_feedback) {
    Sender sender(open("sign1"), kSize);
    double x[kSize] = {0, 0};
    for (uint64_t step = 0; step < 20000; step++) {
      const double* row = rows[step % kSize];
      double off = 0;
      for (size_t i = 0; i < kSize; i++) off += row[i] * (x[i] - solution[i]);
      std::vector<float> gradient(kSize);
      for (size_t i = 0; i < kSize; i++) gradient[i] = static_cast<float>(0.02 * off * row[i]);
      if (!with_feedback) sender.state.assign(kSize, 0.0f);
      CHECK(static_cast<bool>(sender.send(gradient)));
      for (size_t i = 0; i < kSize; i++) x[i] -= double{sender.sent[i]};
    }
    return std::hypot(x[0] - solution[0], x[1] - solution[1]);
  };
  const double alone = distance_after(false), corrected = distance_after(true);
  CHECK_THAT(alone > 1.0 && corrected < 1e-3,
             std::to_string(alone) + " alone, " + std::to_string(corrected) + " with");
}

TEST("feedback and momentum: all backends give the same bytes") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : kSpecs)
    for (const Kind kind : {Kind::raw, Kind::normal, Kind::tiny, Kind::special})
      for (const size_t length : {0, 1, 17, 5000}) {
        const auto x = values(kind, length, random), start = values(kind, length, random);
        std::vector<uint8_t> reference;
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            const Codec& codec = open(spec);
            std::vector<float> state = start, sent(length);
            std::vector<uint8_t> wire(codec.bytes(length));
            CHECK(static_cast<bool>(codec_momentum(codec, key_of(0), 0.95f, 0.3f, x, state, wire, sent)));
            if (length > 0) {
              const auto* bytes = reinterpret_cast<const uint8_t*>(state.data());
              wire.insert(wire.end(), bytes, bytes + length * 4);
            }
            if (backend == backend::Backend::scalar) reference = wire;
            CHECK_THAT(wire == reference, codec.spec + " on " + backend::name(backend));
          });
      }
}

TEST("feedback decays the residual, momentum takes a part of what was sent") {
  const Codec& codec = open("topk:block=64,k=1");
  std::vector<float> state = {4.0f, 2.0f}, sent(2);
  std::vector<uint8_t> wire(codec.bytes(2));
  CHECK(static_cast<bool>(
      codec_feedback(codec, key_of(0), 0.5f, std::vector<float>{1.0f, 1.0f}, state, wire, sent)));
  CHECK(sent[0] == 3.0f && sent[1] == 0.0f && state[0] == 0.0f && state[1] == 2.0f);
  CHECK(static_cast<bool>(
      codec_momentum(codec, key_of(0), 1.0f, 0.25f, std::vector<float>{0.0f, 2.0f}, state, wire, sent)));
  CHECK(sent[0] == 0.0f && sent[1] == 4.0f && state[0] == 0.0f && state[1] == 3.0f);
}

TEST("feedback: NaN and Inf are sent once, then the element begins again") {
  for (const uint32_t bad : {0x7f800000u, 0xff800000u, 0x7fffffffu, 0xff800001u}) {
    Sender topk(open("topk:block=64,k=2"), 64), sign(open("sign1:block=64"), 128);
    std::vector<float> x(64, 1.0f), long_x(128, 1.0f);
    x[5] = long_x[5] = exact::from_bits(bad);
    CHECK(static_cast<bool>(topk.send(x)) && static_cast<bool>(sign.send(long_x)));
    CHECK(!std::isfinite(topk.sent[5]) && topk.state[5] == 0.0f && topk.state[0] == 0.0f &&
          topk.state[6] == 1.0f);
    for (size_t i = 0; i < 128; i++)
      CHECK(i < 64 ? std::isnan(sign.sent[i]) && exact::bits(sign.state[i]) == 0 : sign.sent[i] == 1.0f);
  }
  // An element that a mask passes over keeps its NaN until it is chosen.
  Sender masked(open("random_mask:block=64,kept_ppm=100000"), 64);
  std::vector<float> x(64, 0.0f);
  x[5] = exact::from_bits(0xff800001u);
  bool seen = false;
  for (int step = 0; step < 1000 && !seen; step++) {
    CHECK(static_cast<bool>(masked.send(x)));
    x[5] = 0.0f;
    seen = std::isnan(masked.sent[5]);
    CHECK(exact::bits(masked.state[5]) == (seen ? 0u : exact::kNan));
  }
  CHECK(seen);
}

TEST("feedback refuses a codec that is not contractive, wrong numbers and lengths, and changes nothing") {
  std::vector<float> x(128, 1.0f), state(128, 2.0f), sent(128, 3.0f);
  std::vector<uint8_t> wire(open("sign1:block=64").bytes(128));
  const auto refused = [&](const Codec& codec, const CodecKey& key, float decay, float alpha, size_t elements,
                           const char* expected) {
    const Status status = codec_momentum(codec, key, decay, alpha, std::span<const float>(x).first(elements),
                                         state, wire, sent);
    CHECK_THAT(status.code() == GM_INVALID_ARGUMENT, expected);
    CHECK_THAT(status.message().find(expected) != std::string::npos, status.message());
    CHECK(state == std::vector<float>(128, 2.0f) && sent == std::vector<float>(128, 3.0f));
    CHECK(wire == std::vector<uint8_t>(wire.size()));
  };
  const Codec& codec = open("sign1:block=64");
  Codec unbiased = codec;
  unbiased.traits.contractive = false, unbiased.traits.unbiased = true;
  refused(unbiased, key_of(0), 1, 1, 128, "which is unbiased");
  refused(unbiased, key_of(0), 1, 1, 128, "use it without feedback");
  refused(codec, {1, 2, 32, 0}, 1, 1, 128, "first is 32; allowed: multiples");
  refused(codec, key_of(0), -0.5f, 1, 128, "decay is -0.5");
  refused(codec, key_of(0), NAN, 1, 128, "decay is nan");
  refused(codec, key_of(0), 1, 1.5f, 128, "alpha is 1.5");
  refused(codec, key_of(0), 1, 1, 127, "state has 128 elements; expected 127");
  sent.push_back(3.0f);
  CHECK(codec_feedback(codec, key_of(0), 1, x, state, wire, sent).message().find("sent has 129") !=
        std::string::npos);
  sent.pop_back(), wire.pop_back();
  CHECK(codec_feedback(codec, key_of(0), 1, x, state, wire, sent)
            .message()
            .find("wire has 23 bytes; expected 24") != std::string::npos);
}

TEST("feedback: every row that says it is unbiased is refused, every contractive one accepted") {
  for (const std::string& spec : codec_cases()) {
    const Codec& codec = open(spec);
    const size_t elements = 2 * codec.traits.block_elements;
    std::vector<float> x(elements, 1.0f), state(elements), sent(elements);
    std::vector<uint8_t> wire(codec.bytes(elements));
    CHECK_THAT(static_cast<bool>(codec_feedback(codec, key_of(0), 1, x, state, wire, sent)) ==
                   codec.traits.contractive,
               spec);
  }
}
