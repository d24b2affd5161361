// Fuzz input: any bytes, read from the front; what is missing is zeros.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  template <class Integer>
  Integer take() {
    Integer value = 0;
    const size_t count = left_ < sizeof value ? left_ : sizeof value;
    if (count > 0) std::memcpy(&value, data_, count);
    data_ += count;
    left_ -= count;
    return value;
  }
  const uint8_t* data() const { return data_; }
  size_t left() const { return left_; }

 private:
  const uint8_t* data_;
  size_t left_;
};

// Heap memory of exactly so many bytes behind `skew` others: a sanitizer sees the first byte past its end,
// and without skew the byte before its start.
class Exact {
 public:
  explicit Exact(size_t bytes, size_t skew = 0)
      : bytes_(bytes), skew_(skew), memory_(std::make_unique<uint8_t[]>(bytes + skew)) {}
  uint8_t* data() const { return memory_.get() + skew_; }
  float* floats() const { return reinterpret_cast<float*>(data()); }
  size_t size() const { return bytes_; }
  bool operator==(const Exact& other) const {
    return bytes_ == other.bytes_ && (bytes_ == 0 || std::memcmp(data(), other.data(), bytes_) == 0);
  }
  // Repeats the input, rotated, so that short inputs reach every byte; zeros where there is none.
  void fill(const Input& input, size_t rotation) {
    for (size_t i = 0; input.left() > 0 && i < bytes_; i++)
      data()[i] = input.data()[(i + rotation) % input.left()];
  }

 private:
  size_t bytes_, skew_;
  std::unique_ptr<uint8_t[]> memory_;
};

}  // namespace fuzz
