// zfp (Lindstrom 2014, "Fixed-rate compressed floating-point arrays") at 8 bits a value: what a user may
// otherwise pick for a fixed-rate float compressor. Measured where its library was there when this was built.
#pragma once
#include <cstdio>

#include "base/prng.h"
#include "turns.h"

#if GM_ZFP
#include <zfp.h>

inline void measure_zfp(size_t bytes, const turns::Plan& plan) {
  constexpr double kRate = 8;
  const size_t elements = bytes / 4, period = std::min(elements, size_t{1} << 20);
  const turns::Memory source(bytes), target(bytes);
  gradmesh::fill_normal(7, 0, 0, 0.02f, source.floats(), period);
  for (size_t i = period; i < elements; i++) source.floats()[i] = source.floats()[i - period];
  zfp_stream* zfp = zfp_stream_open(nullptr);
  zfp_stream_set_rate(zfp, kRate, zfp_type_float, 1, zfp_false);
  zfp_field* field = zfp_field_1d(source.floats(), zfp_type_float, elements);
  const size_t room = zfp_stream_maximum_size(zfp, field);
  const turns::Memory wire(room), from(bytes), to(bytes);
  bitstream* bits = stream_open(wire.bytes(), room);
  zfp_stream_set_bit_stream(zfp, bits);
  const size_t moved = bytes + elements * static_cast<size_t>(kRate) / 8;
  for (const bool encodes : {true, false}) {
    zfp_field_set_pointer(field, encodes ? source.floats() : target.floats());
    const auto run = [&] {
      zfp_stream_rewind(zfp);
      if ((encodes ? zfp_compress(zfp, field) : zfp_decompress(zfp, field)) == 0) std::abort();
    };
    const auto result = turns::beside_memcpy(plan, turns::timed(1, run), moved, from, to, run);
    turns::print_json(R"("kind":"peer","peer":"zfp )" ZFP_VERSION_STRING R"(, 8 bits a value")",
                      encodes ? "encode" : "decode", bytes, bytes, result);
  }
  zfp_field_free(field);
  zfp_stream_close(zfp);
  stream_close(bits);
}

#else

inline void measure_zfp(size_t, const turns::Plan&) {
  std::puts(
      R"({"kind":"missing","peer":"zfp","why":"libzfp-dev was not there when bench_codec was configured"})");
}

#endif
