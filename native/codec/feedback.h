// Error feedback and momentum residue: what a contractive codec leaves out of a wire is kept and sent later.
//
// Both are one rule per element, with the state (residual or momentum), a decay and a fraction alpha:
//   state = decay * state + x            one exact::fma; decay = 1 adds, decay = 0 forgets
//   wire  = encode(state);  sent = decode(wire)
//   state = state - alpha * sent         one exact::fma; +0 where sent is not finite
// Error feedback has alpha = 1 (Seide et al. 2014; Karimireddy et al. 2019, 1901.09847; with a decay of 0.95
// as in SparseLoCo, 2508.15706). With momentum the state is an optimizer's and x the gradient, scaled by the
// caller (DeMo, 2411.19870: decay 0.999, alpha 1).
//
// With decay = alpha = 1 nothing is lost: all that was sent and the state sum to all of x, but for the
// rounding of the two operations, each within half an ulp of its result.
//
// NaN and Inf: they enter the state and from there the wire, where everybody sees them (codec.h). An element
// whose sent value is not finite begins again at +0, so that the next wire is clean: with a codec that makes
// NaN of a whole block, the state of that block is lost. One that was not sent, as a mask did not choose it,
// stays in the state until it is. A NaN in the state is always 0x7fc00000.
//
// Only for contractive codecs: with an unbiased one the state does not shrink from step to step, and training
// oscillates (measured: one bit with feedback in both directions ends at a loss of 2.132, without it
// at 2.011).
//
// The state is a plain float32 buffer: its bytes are the snapshot.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "codec/codec.h"

namespace gradmesh::feedback {

// Codes state = decay * state + source into wire and takes it out of the state. source, state and sent have
// the same length, wire is codec.bytes(of it) long; none overlap. sent receives what everybody decodes of the
// wire. The state passes through the caches four times: call it with a segment (a multiple of the codec's
// block), not with a whole model. GM_INVALID_ARGUMENT: a codec that is not contractive, a length, a decay
// that is not in [0, 1], a key.first that is not a multiple of the block; nothing is changed then.
Status codec_feedback(const Codec& codec, const CodecKey& key, float decay, std::span<const float> source,
                      std::span<float> residual, std::span<uint8_t> wire, std::span<float> sent);
// The same with state = state - alpha * sent; alpha in [0, 1].
Status codec_momentum(const Codec& codec, const CodecKey& key, float decay, float alpha,
                      std::span<const float> gradient, std::span<float> momentum, std::span<uint8_t> wire,
                      std::span<float> sent);

}  // namespace gradmesh::feedback
