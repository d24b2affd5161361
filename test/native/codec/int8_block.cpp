// int8_block by hand: bytes that a reader can check, ties, and what adding broken blocks gives. int_block.cpp
// has the definition of all widths.
#include "codec/int8_block.h"

#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& codec() { return *codec_find("int8_block"); }

}  // namespace

TEST("the bytes of a small wire, integers first, a scale a block behind them") {
  CHECK((encode(codec(), {1.0f, -0.5f, 0.25f, 127.0f}) == std::vector<uint8_t>{1, 0, 0, 127, 127}));
  std::vector<float> source(257, 0.0f);
  source[0] = -64.0f, source[256] = 0.75f;
  const auto wire = encode(codec(), source);
  CHECK(wire.size() == 259 && wire[0] == 0xc0 && wire[256] == 96);  // -64 * 2^0, 96 * 2^-7
  CHECK(wire[257] == 127 && wire[258] == 120);
}

TEST("ties go to even, and 0.49999997 of a step is zero") {
  const auto wire =
      encode(codec(), {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49999997f, -0.49999997f, 126.5f});
  CHECK((wire == std::vector<uint8_t>{127, 0, 2, 2, 0, 0xfe, 0xfe, 0, 0, 126, 127}));
}

TEST("the largest finite float is 127 of the largest scale, and so is its mean") {
  const float most = std::numeric_limits<float>::max();
  const auto wire = encode(codec(), {most, -most, 0.0f});
  CHECK((wire == std::vector<uint8_t>{127, 0x81, 0, 248}));
  CHECK(mean(codec(), {wire, wire, wire}, 3) == wire);
}

TEST("a maximum over magnitude bits sees a NaN in any place, where maxss depends on operand order") {
  for (const float bad : {exact::from_bits(0x7fc00000), exact::from_bits(0xff800001)}) {
    const int32_t a = codecs::int8_block::magnitude(bad),
                  b = codecs::int8_block::magnitude(std::numeric_limits<float>::max());
    CHECK(std::max(a, b) == std::max(b, a) &&
          codecs::int8_block::scale_byte(std::max(a, b)) == codecs::int8_block::kNanByte);
  }
}

TEST("adding a NaN block, or Inf and -Inf, gives the one NaN on every backend") {
  std::vector<uint8_t> nan_wire(17, 1), inf_wire(17, 2);
  nan_wire[16] = 255, inf_wire[16] = 254;  // 2 * 2^127
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      std::vector<float> target(16), other(16);
      target[0] = other[0] = 1.0f;
      target[1] = other[1] = exact::from_bits(0xffc12345);
      target[2] = other[2] = INFINITY;
      target[3] = other[3] = -INFINITY;
      codec_loops(codec()).decode_add(codec().options, key_of(0), nan_wire.data(), 16, target.data());
      for (const float x : target) CHECK(exact::bits(x) == exact::kNan);
      codec_loops(codec()).decode_add(codec().options, key_of(0), inf_wire.data(), 16, other.data());
      CHECK(other[0] == INFINITY && exact::bits(other[1]) == exact::kNan && other[2] == INFINITY);
      CHECK(exact::bits(other[3]) == exact::kNan);
    });
}
