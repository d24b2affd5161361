// The twins of the Microscaling codecs: eight lanes to a block of 32.
#include "codec/exact_twin.h"
#include "codec/mx.h"

namespace gradmesh::cuda {

template <class Codec>
using MxTwin = packed::Pow2Twin<Codec, 8>;

extern const DeviceCodecLoops mxfp8_e4m3_loops, mxfp8_e5m2_loops, mxfp4_loops, mxint8_loops;
const DeviceCodecLoops mxfp8_e4m3_loops = packed::exact_device_loops<MxTwin<codecs::mxfp8_e4m3>>();
const DeviceCodecLoops mxfp8_e5m2_loops = packed::exact_device_loops<MxTwin<codecs::mxfp8_e5m2>>();
const DeviceCodecLoops mxfp4_loops = packed::exact_device_loops<MxTwin<codecs::mxfp4>>();
const DeviceCodecLoops mxint8_loops = packed::exact_device_loops<MxTwin<codecs::mxint8>>();

}  // namespace gradmesh::cuda
