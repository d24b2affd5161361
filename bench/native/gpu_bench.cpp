// Times every codec's kernels on a GPU beside a copy of the same card's memory, as a Markdown table; each
// row's bytes are compared with the CPU's at a smaller size first.
//
// bench_gpu [--plugin PATH] [--codec SPECIFICATION]... [--elements N] [--trials N]
// Without --codec all of codec_cases(). A trial is one kernel between two events; buffers take turns, so that
// together they exceed the card's cache four times; a figure is the median. GB/s count what a kernel must
// read and write once, a fused kernel its own bytes. Without a GPU it says why.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/prng.h"
#include "codec/device_coder.h"
#include "device/plugin.h"

using namespace gradmesh;
using device::Event;
using device::Memory;
using device::SharedDevice;
using device::Stream;

namespace {

constexpr uint32_t kRanks = 4;             // contributions of a mean
constexpr size_t kPeriod = 1u << 20;       // elements after which the input repeats
constexpr size_t kChecked = kPeriod + 13;  // elements at which bytes are compared
constexpr float kDeviation = 0.02f;        // a normal's, as pseudo-gradients nearly are

struct Options {
  const char* plugin = nullptr;
  std::vector<std::string> codecs;
  size_t elements = size_t{64} << 20;
  int trials = 21;
};

void require(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

CodecKey key_of(uint32_t rank) { return {7, 11, 0, rank}; }

Memory allocate(const SharedDevice& device, size_t bytes) {
  Memory memory;
  require(Memory::allocate(device, Memory::Kind::device, bytes, &memory));
  return memory;
}

// What one turn of a codec reads and writes.
struct Buffers {
  Memory source, target, wires, result;
};

class Bench {
 public:
  Bench(SharedDevice device, const Options& options) : device_(std::move(device)), options_(options) {
    require(Stream::create(device_, &stream_));
    require(Event::create(device_, &begin_));
    require(Event::create(device_, &end_));
  }

  // The median time of a kernel; turn(i) starts it on the i-th buffers.
  double milliseconds(size_t turns, const std::function<int(size_t)>& turn) {
    std::vector<float> times;
    for (int trial = -2; trial < options_.trials; trial++) {  // two to warm up
      require(begin_.record(stream_));
      require(device_->check(turn(static_cast<size_t>(trial + 2) % turns), "a kernel"));
      require(end_.record(stream_));
      require(end_.synchronize());
      float time = 0;
      require(end_.elapsed_since(begin_, &time));
      if (trial >= 0) times.push_back(time);
    }
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  // So many sets of so many bytes exceed the card's cache four times.
  size_t turns_of(size_t bytes) const {
    return std::max<size_t>(2, 4 * size_t{device_->properties().l2_bytes} / std::max<size_t>(1, bytes) + 1);
  }

  void measure_copy() {
    const size_t bytes = options_.elements * sizeof(float), turns = turns_of(bytes);
    std::vector<Memory> memory;
    for (size_t i = 0; i <= turns; i++) memory.push_back(allocate(device_, bytes));
    const double time = milliseconds(turns, [&](size_t i) {
      return device_->table().copy(memory[i + 1].data(), memory[i].data(), bytes, stream_.handle());
    });
    copy_rate_ = 2.0 * static_cast<double>(bytes) / time / 1e6;
    std::printf(
        "\n| kernel | bytes moved an element | ms | GB/s | of the copy | bytes "
        "|\n|---|---|---|---|---|---|\n");
    std::printf("| copy on the device | 8.00 | %.3f | %.1f | 1.00 | |\n", time, copy_rate_);
  }

  void measure(const std::string& spec);
  int passed() const { return passed_; }
  int failed() const { return failed_; }

 private:
  void row(const std::string& name, const char* operation, size_t bytes, bool same, size_t turns,
           const std::function<int(size_t)>& turn) {
    const double time = milliseconds(turns, turn), rate = static_cast<double>(bytes) / time / 1e6;
    std::printf("| %s %s | %.2f | %.3f | %.1f | %.2f | %s |\n", name.c_str(), operation,
                static_cast<double>(bytes) / static_cast<double>(options_.elements), time, rate,
                rate / copy_rate_, same ? "the CPU's" : "**differ**");
    ++(same ? passed_ : failed_);
  }
  Buffers make(const Codec& codec, const DeviceCodecLoops& loops, size_t stride);

  SharedDevice device_;
  const Options& options_;
  Stream stream_;
  Event begin_, end_;
  Memory scratch_;
  double copy_rate_ = 0;
  int passed_ = 0, failed_ = 0;
};

// Normal deviates, repeated over the whole length, and their wire for every rank of a mean.
Buffers Bench::make(const Codec& codec, const DeviceCodecLoops& loops, size_t stride) {
  const size_t elements = options_.elements, bytes = elements * sizeof(float);
  Buffers made = {allocate(device_, bytes), allocate(device_, bytes), allocate(device_, stride * kRanks),
                  allocate(device_, stride)};
  std::vector<float> values(std::min(elements, kPeriod));
  fill_normal(3, 0, 0, kDeviation, values.data(), values.size());
  for (size_t at = 0; at < elements; at += values.size()) {
    const size_t count = std::min(values.size(), elements - at) * sizeof(float);
    require(stream_.copy(made.source.data<float>() + at, values.data(), count));
    require(stream_.copy(made.target.data<float>() + at, values.data(), count));
  }
  for (uint32_t rank = 0; rank < kRanks; rank++)
    require(device_->check(loops.encode(codec.options, key_of(rank), made.source.data<float>(), elements,
                                        made.wires.data() + rank * stride, scratch_.data(), stream_.handle()),
                           "encode"));
  require(stream_.synchronize());
  return made;
}

struct Same {
  bool encode, decode, decode_add, hop, mean;
};

// The device's bytes beside the active backend's.
Same compare(const SharedDevice& device, const Codec& codec, size_t elements) {
  const CodecLoops& cpu = codec_loops(codec);
  const CodecOptions& options = codec.options;
  DeviceCoder gpu;
  require(DeviceCoder::create(device, codec, &gpu));
  std::vector<float> source(elements), target(elements), a(elements), b(elements);
  fill_normal(5, 0, 0, kDeviation, source.data(), elements);
  fill_normal(5, 1, 0, kDeviation, target.data(), elements);
  std::vector<uint8_t> wire(codec.bytes(elements)), coded(wire.size()), expected(wire.size());
  const auto same = [](const auto& x, const auto& y) {
    return x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof x[0]) == 0;
  };
  Same result;
  cpu.encode(options, key_of(0), source.data(), elements, wire.data());
  require(gpu.encode(key_of(0), source.data(), elements, coded.data()));
  result.encode = same(coded, wire);
  cpu.decode(options, key_of(0), wire.data(), elements, a.data());
  require(gpu.decode(key_of(0), wire.data(), elements, b.data()));
  result.decode = same(a, b);
  a = b = target;
  cpu.decode_add(options, key_of(0), wire.data(), elements, a.data());
  require(gpu.decode_add(key_of(0), wire.data(), elements, b.data()));
  result.decode_add = same(a, b);
  cpu.decode_add_encode(options, key_of(0), key_of(1), wire.data(), target.data(), elements, expected.data());
  require(gpu.decode_add_encode(key_of(0), key_of(1), wire.data(), target.data(), elements, coded.data()));
  result.hop = same(coded, expected);
  const uint8_t* wires[kRanks];
  std::fill(wires, wires + kRanks, wire.data());
  cpu.mean(options, key_of(kMeanRank), wires, kRanks, elements, expected.data());
  require(gpu.mean(key_of(kMeanRank), wires, kRanks, elements, coded.data()));
  result.mean = same(coded, expected);
  return result;
}

void Bench::measure(const std::string& spec) {
  const Codec* codec;
  require(codec_open(spec, &codec));
  const DeviceTable& table = device_->table();
  const DeviceCodecLoops* loops = codec->row < table.codecs ? table.codec[codec->row] : nullptr;
  if (loops == nullptr) return;
  const size_t elements = options_.elements, floats = elements * sizeof(float), wire = codec->bytes(elements);
  const size_t stride = (wire + 15) / 16 * 16;
  const Same same = compare(device_, *codec, std::min(elements, kChecked));
  scratch_ = allocate(
      device_, loops->scratch_bytes == nullptr ? 0 : loops->scratch_bytes(codec->options, elements, kRanks));
  std::vector<Buffers> sets;
  for (size_t i = 0; i < turns_of(floats + wire); i++) sets.push_back(make(*codec, *loops, stride));
  const CodecOptions& options = codec->options;
  void* scratch = scratch_.data();
  const DeviceStream stream = stream_.handle();
  const CodecKey key = key_of(0), mean_key = key_of(kMeanRank);
  const size_t turns = sets.size();
  row(spec, "encode", floats + wire, same.encode, turns, [&](size_t i) {
    return loops->encode(options, key, sets[i].source.data<float>(), elements, sets[i].wires.data(), scratch,
                         stream);
  });
  row(spec, "decode", wire + floats, same.decode, turns, [&](size_t i) {
    return loops->decode(options, key, sets[i].wires.data(), elements, sets[i].target.data<float>(), scratch,
                         stream);
  });
  row(spec, "decode_add", wire + 2 * floats, same.decode_add, turns, [&](size_t i) {
    return loops->decode_add(options, key, sets[i].wires.data(), elements, sets[i].target.data<float>(),
                             scratch, stream);
  });
  if (loops->decode_add_encode != nullptr)
    row(spec, "decode_add_encode", 2 * wire + floats, same.hop, turns, [&](size_t i) {
      return loops->decode_add_encode(options, key, key_of(1), sets[i].wires.data(),
                                      sets[i].source.data<float>(), elements, sets[i].result.data(), scratch,
                                      stream);
    });
  row(spec, "mean of 4", (kRanks + 1) * wire, same.mean, turns, [&](size_t i) {
    return loops->mean(options, mean_key, sets[i].wires.data(), stride, kRanks, elements,
                       sets[i].result.data(), scratch, stream);
  });
}

void describe(const SharedDevice& device, const Options& options) {
  const DeviceProperties& card = device->properties();
  uint32_t driver = 0;
  require(device->check(device->table().driver_version(&driver), "asking for the driver's version"));
  std::printf(
      "%s: compute capability %u.%u, %u multiprocessors, at most %u MHz, memory at most %u MHz on %u bits, "
      "%u MiB of L2 cache; the driver's CUDA is %u.%u; built by %s. %zu elements, the median of %d trials.\n",
      card.name, card.major, card.minor, card.multiprocessors, card.clock_khz / 1000,
      card.memory_clock_khz / 1000, card.memory_bus_bits, card.l2_bytes >> 20, driver / 1000,
      driver % 1000 / 10, device->table().build, options.elements, options.trials);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--plugin")
      options.plugin = argv[i + 1];
    else if (name == "--codec")
      options.codecs.push_back(argv[i + 1]);
    else if (name == "--elements")
      options.elements = std::max<size_t>(1, std::strtoull(argv[i + 1], nullptr, 10));
    else if (name == "--trials")
      options.trials = std::max(1, std::atoi(argv[i + 1]));
    else
      require(
          {GM_INVALID_ARGUMENT, name + " is no option; allowed: --plugin, --codec, --elements, --trials"});
  }
  if (argc % 2 == 0) require({GM_INVALID_ARGUMENT, std::string(argv[argc - 1]) + " has no value"});
  if (options.codecs.empty()) options.codecs = codec_cases();
  return options;
}

Status open(const Options& options, SharedDevice* device) {
  const DeviceTable* table;
  if (options.plugin == nullptr) {
    GM_TRY(device::find_plugin(&table));
  } else {
    GM_TRY(device::open_plugin(options.plugin, &table));
  }
  return device::Device::open(*table, 0, device);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  SharedDevice device;
  if (const Status status = open(options, &device); !status) {
    std::printf("skipped: %s\n0 passed, 0 failed, 1 skipped\n", status.message().c_str());
    return 0;
  }
  describe(device, options);
  Bench bench(device, options);
  bench.measure_copy();
  for (const std::string& spec : options.codecs) bench.measure(spec);
  std::printf("\n%d passed, %d failed\n", bench.passed(), bench.failed());
  return bench.failed() == 0 ? 0 : 1;
}
