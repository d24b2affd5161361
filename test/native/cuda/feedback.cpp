// The kernels of error feedback, on the emulator, against the definition of one element by bytes.
#include "../../../cuda/codec/feedback_launchers.h"
#include "../check.h"
#include "codec/feedback_element.h"

using namespace gradmesh;

namespace {

// Floats on a boundary of 16 bytes, as a device has them, with guards around.
class DeviceFloats {
 public:
  explicit DeviceFloats(const std::vector<float>& values)
      : length_(values.size()), memory_(values.size() + 2 * kGuard, kFill) {
    if (length_ > 0) std::memcpy(data(), values.data(), length_ * sizeof(float));
  }
  float* data() {
    const uintptr_t start = reinterpret_cast<uintptr_t>(memory_.data() + kGuard / 2);
    return reinterpret_cast<float*>((start + 15) / 16 * 16);
  }
  bool holds(const std::vector<float>& values) {
    for (const float* p = memory_.data(); p < memory_.data() + memory_.size(); p++)
      if ((p < data() || p >= data() + length_) && *p != kFill) return false;
    return length_ == 0 || std::memcmp(data(), values.data(), length_ * sizeof(float)) == 0;
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr float kFill = 123.0f;
  size_t length_;
  std::vector<float> memory_;
};

std::vector<float> raw_bits(size_t length, std::mt19937_64& random) {
  std::vector<float> values(length);
  for (float& x : values) x = exact::from_bits(static_cast<uint32_t>(random()));
  return values;
}

}  // namespace

TEST("feedback kernels: both steps are the definition's, by bytes, for any length") {
  std::mt19937_64 random(check::seed());
  for (const size_t length : {0, 1, 3, 4, 5, 1023, 1024, 4096, 4099, 20000}) {
    const auto x = raw_bits(length, random);
    auto expected = raw_bits(length, random);
    DeviceFloats input(x), state(expected);
    CHECK(cuda::feedback_advance(0.95f, input.data(), length, state.data(), nullptr) == 0);
    for (size_t i = 0; i < length; i++) expected[i] = feedback::advance(0.95f, expected[i], x[i]);
    CHECK_THAT(state.holds(expected), std::to_string(length));
    CHECK(cuda::feedback_settle(0.3f, input.data(), length, state.data(), nullptr) == 0);
    for (size_t i = 0; i < length; i++) expected[i] = feedback::settle(0.3f, expected[i], x[i]);
    CHECK_THAT(state.holds(expected) && input.holds(x), std::to_string(length));
  }
}
