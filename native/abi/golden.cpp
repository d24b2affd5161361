// The C ABI of golden cases, which the doctor replays on an operator's machine.
#include "codec/golden.h"

#include "abi/abi.h"
#include "ops/golden.h"
#include "state/golden.h"

using namespace gradmesh;

extern "C" int32_t gm_golden_run(gm_text kind, gm_text name, uint64_t elements, uint64_t seed, gm_text device,
                                 gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"kind", kind}, {"name", name}, {"device", device}, {"result", result}}));
    std::string digest;
    device::SharedDevice gpu;
    GM_TRY(device::open_named(abi::view(device), &gpu));
    if (abi::view(kind) == "codec") {
      GM_TRY(gpu == nullptr ? golden_codec(abi::view(name), elements, seed, &digest)
                            : golden_codec(abi::view(name), elements, seed, gpu, &digest));
    } else if (abi::view(kind) == "op") {
      GM_TRY(gpu == nullptr ? golden_op(abi::view(name), elements, seed, &digest)
                            : golden_op(abi::view(name), elements, seed, gpu, &digest));
    } else if (abi::view(kind) == "state") {
      GM_TRY(gpu == nullptr ? golden_state(abi::view(name), elements, seed, &digest)
                            : golden_state(abi::view(name), elements, seed, gpu, &digest));
    } else {
      return {GM_INVALID_ARGUMENT,
              "kind is \"" + abi::string(kind) + "\"; allowed are \"codec\", \"op\" and \"state\""};
    }
    return abi::copy_text(digest, result);
  });
}
