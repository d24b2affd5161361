// The bridge's commands, one a line, each answered by one line: "ok", "ok <JSON>" or "error <reason>".
#pragma once
#include <string>

#include "switch.h"

namespace gradmesh::net {

// Runs one command. SOURCE and TARGET are a host's index or * for every host:
//   host PATH RATE QUEUE DELAY JITTER LOSS open|nat   makes the next host's device in the namespace at PATH;
//   bits/s, bytes, ns cut SOURCE TARGET, restore SOURCE TARGET          drops all that SOURCE sends to
//   TARGET, what is on its way included loss SOURCE TARGET PROBABILITY                    for each segment
//   corrupt SOURCE TARGET PROBABILITY                 flips a bit of a segment's payload under a checksum
//   that is accepted slow HOST FACTOR                                  divides the rate of the line into the
//   host stats                                             what passed and what was dropped, by host
std::string run_command(Switch& network, const std::string& line);

}  // namespace gradmesh::net
