// The C ABI of error feedback and momentum residue.
#include "codec/feedback.h"

#include "abi/abi.h"
#include "abi/codecs.h"

using namespace gradmesh;

extern "C" {

int32_t gm_codec_feedback(uint32_t codec, uint64_t seed, uint64_t step, uint32_t rank, uint64_t first,
                          double decay, double alpha, gm_f32s source, gm_f32s state, gm_bytes wire,
                          gm_f32s sent) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    CodecKey key;
    GM_TRY(abi::check_given({{"source", source}, {"state", state}, {"wire", wire}, {"sent", sent}}));
    GM_TRY(abi::prepare_coding(codec, state, wire, &found));
    GM_TRY(abi::make_key(*found, seed, step, rank, first, &key));
    const size_t bytes = state.length * sizeof(float);
    GM_TRY(abi::check_apart("state", state.data, bytes, source.data, source.length * sizeof(float)));
    GM_TRY(abi::check_apart("sent", sent.data, sent.length * sizeof(float), source.data, bytes));
    GM_TRY(abi::check_apart("sent", sent.data, sent.length * sizeof(float), state.data, bytes));
    GM_TRY(abi::check_apart("sent", sent.data, sent.length * sizeof(float), wire.data, wire.length));
    GM_TRY(abi::check_apart("wire", wire.data, wire.length, source.data, bytes));
    return feedback::codec_momentum(*found, key, static_cast<float>(decay), static_cast<float>(alpha),
                                    {source.data, source.length}, {state.data, state.length},
                                    {wire.data, wire.length}, {sent.data, sent.length});
  });
}

}  // extern "C"
