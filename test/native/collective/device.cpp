// Collectives over tensors on a device, here an emulated one: the same bytes as over the host's memory, also
// where some ranks have a device and some have none.
#include "device/device.h"

#include "collective/mirror.h"
#include "device/plugin.h"
#include "group.h"

using namespace group;

namespace {

device::SharedDevice open_device() {
  const DeviceTable* table;
  device::SharedDevice device;
  Status status = device::open_plugin(GM_TEST_PLUGIN, &table);
  if (status) status = device::Device::open(*table, 0, &device);
  CHECK_THAT(static_cast<bool>(status), status.message());
  return device;
}

bool has_twin(const DeviceTable& table, const Codec& codec) {
  return codec.traits.identity || (codec.row < table.codecs && table.codec[codec.row] != nullptr);
}

}  // namespace

TEST("tensors on a device, on the host, or on either: the same bytes, inputs intact") {
  std::mt19937_64 random(check::seed());
  const auto device = open_device();
  Group swarm(3);
  uint64_t id = 0;
  int twins = 0;
  for (const std::string& spec : codec_cases()) {
    const Codec* codec = codec_find(spec);
    if (!has_twin(device->table(), *codec)) continue;
    twins++;
    const size_t block = codec->traits.block_elements;
    for (const uint32_t collective : {0u, 1u, 2u}) {
      if (collective == 0 && !codec->traits.identity) continue;
      for (const size_t elements : {size_t{0}, size_t{1}, 3 * block + 1}) {
        const auto inputs = random_inputs(3, elements, random);
        Call call{.id = ++id, .collective = collective, .codec = codec, .segment = 2 * block, .root = 1};
        call.device = device;
        const auto host = swarm.run(call, inputs);
        for (const uint32_t on_device : {7u, 2u, 5u}) {
          call.id = ++id;
          call.on_device = on_device;
          const auto results = swarm.run(call, inputs);
          for (size_t rank = 0; rank < 3; ++rank) {
            const std::string where = spec + ", collective " + std::to_string(collective) + ", " +
                                      std::to_string(elements) + " elements, on " + std::to_string(on_device);
            CHECK_THAT(static_cast<bool>(results[rank].status),
                       where + ": " + results[rank].status.message());
            CHECK_THAT(same_bytes(results[rank].output, host[rank].output), where);
            CHECK_THAT(same_bytes(results[rank].input, inputs[rank]), where);
          }
        }
      }
    }
  }
  CHECK(twins >= 1);
}

TEST("two codecs, an owner's feedback and a mean of whole tensors: the same bytes on a device") {
  std::mt19937_64 random(check::seed());
  const auto device = open_device();
  Group swarm(3);
  const struct {
    const char *collective, *up, *down;
    double decay;
  } cases[] = {{"direct", "int8_block", "int4_block:block=32", -1},
               {"direct", "int4_block", "int8_block", 0.5},
               {"direct", "fp32", "int4_block", 1},
               {"direct", "int8_block", "fp32", -1},
               {"gather_mean", "int8_block", nullptr, -1},
               {"gather_mean", "fp32", nullptr, -1}};
  uint64_t id = 0;
  for (const auto& [collective, up, down, decay] : cases) {
    uint32_t number = 0;
    while (collective_name(number) != std::string(collective)) ++number;
    const auto inputs = random_inputs(3, 2000, random);
    Call call{.collective = number, .codec = codec_find(up), .segment = 256};
    call.device = device;
    call.owner_decay = decay;
    if (down != nullptr) call.down = codec_find(down);
    if (decay >= 0) call.state = random_floats(2000, random);
    call.id = ++id;
    const auto host = swarm.run(call, inputs);
    for (const uint32_t on_device : {7u, 2u}) {
      call.id = ++id;
      call.on_device = on_device;
      const auto results = swarm.run(call, inputs);
      for (size_t rank = 0; rank < 3; ++rank) {
        const std::string where = std::string(collective) + " " + up + ", on " + std::to_string(on_device);
        CHECK_THAT(static_cast<bool>(results[rank].status), where + ": " + results[rank].status.message());
        CHECK_THAT(same_bytes(results[rank].output, host[0].output), where);
        CHECK_THAT(same_bytes(results[rank].next, host[rank].next), where);
      }
    }
  }
}

TEST("a rank that is lost ends a device's operation, and the next one runs") {
  std::mt19937_64 random(check::seed());
  const auto device = open_device();
  Group swarm(3);
  const auto inputs = random_inputs(3, 100'000, random);
  Call call{.id = 1, .collective = 1, .segment = 4096};
  call.device = device;
  call.on_device = 7;
  swarm.endpoint(2).after_steps(
      1, 5, [&] { swarm.endpoint(2).close_link(static_cast<uint32_t>(swarm.links(2)[0])); });
  for (const Result& result : swarm.run(call, inputs))
    CHECK_THAT(result.status.code() == GM_PEER_LOST, result.status.message());
  call.id = 2;
  for (const Result& result : swarm.run(call, {inputs[0], inputs[1]}, {0, 1}))
    CHECK_THAT(static_cast<bool>(result.status), result.status.message());
}

TEST("a mirrored schedule loads each segment once before its use, and stores each after its last write") {
  for (const uint32_t collective : {0u, 1u, 2u})
    for (uint32_t ranks = 1; ranks <= 4; ++ranks)
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        const ScheduleRequest request{.collective = collective,
                                      .ranks = ranks,
                                      .rank = rank,
                                      .elements = 1000,
                                      .segment_elements = 64,
                                      .codec = codec_find("fp32")};
        Schedule schedule;
        CHECK(static_cast<bool>(write_schedule(request, &schedule)));
        mirror_on_host(&schedule);
        uint64_t stored = 0;
        for (uint32_t index = 0; index < schedule.steps.size(); ++index) {
          const Step& step = schedule.steps[index];
          for (const uint32_t wait : step.waits) CHECK(wait < index);
          if (step.kind == StepKind::store) stored += step.target.elements;
          if (step.kind == StepKind::load) continue;
          for (const Region& source : step.sources) {
            if (source.space != Space::input) continue;
            uint32_t loads = 0;
            for (const uint32_t wait : step.waits) {
              const Step& before = schedule.steps[wait];
              loads += before.kind == StepKind::load && before.target.offset == source.offset &&
                       before.target.elements == source.elements;
            }
            CHECK(loads == 1);
          }
          for (uint32_t later = index + 1; step.kind == StepKind::store && later < schedule.steps.size();
               ++later)
            CHECK(schedule.steps[later].kind == StepKind::store);
        }
        CHECK_THAT(stored == 1000, std::to_string(stored));
      }
}
