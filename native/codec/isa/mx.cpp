// The loops of the Microscaling codecs.
#include "codec/mx.h"

#include "codec/isa/pow2_kernel.h"

namespace gradmesh::GM_ISA {

// extern: const alone would hide them from dispatch.cpp.
extern const CodecLoops mxfp8_e4m3_loops, mxfp8_e5m2_loops, mxfp4_loops, mxint8_loops;
const CodecLoops mxfp8_e4m3_loops = exact_loops<Pow2Kernel<codecs::mxfp8_e4m3>>();
const CodecLoops mxfp8_e5m2_loops = exact_loops<Pow2Kernel<codecs::mxfp8_e5m2>>();
const CodecLoops mxfp4_loops = exact_loops<Pow2Kernel<codecs::mxfp4>>();
const CodecLoops mxint8_loops = exact_loops<Pow2Kernel<codecs::mxint8>>();

}  // namespace gradmesh::GM_ISA
