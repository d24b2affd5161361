// Schedules over a tensor that lies on a device.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// Where the codec is fp32 itself, a schedule sends, receives and adds in the tensor's own memory, which a
// socket cannot reach on a device. So the host holds a mirror of input and output: each segment of the input
// is loaded into it before its first use, and each segment of the output is stored once it has been written
// for the last time.
void mirror_on_host(Schedule* schedule);

}  // namespace gradmesh
