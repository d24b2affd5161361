// Which algorithm moves a tensor soonest over measured links. The candidates come from whoever writes
// schedules: this room knows none of them.
//
//   predicted seconds = latency steps x one-way latency
//                     + the longest of: bytes of a pair / its bandwidth, bytes a rank sends / its egress cap,
//                                       bytes a rank receives / its ingress cap
//
// The parts of a pipelined schedule overlap, so the second term is the wire limit that it can come near to;
// congestion between hosts is what the caps and the measured bandwidths say.
#pragma once
#include <string>
#include <vector>

#include "topology/links.h"

namespace gradmesh {

// How long a latency step takes.
enum class Waits : uint8_t {
  slowest,  // for the slowest pair in use: every step needs all ranks
  around,   // steps pass from hop to hop, as around a ring: the mean of the pairs in use
};

struct Candidate {
  std::string name;
  uint32_t latency_steps = 0;
  Waits waits = Waits::slowest;
  std::vector<double> bytes;  // [from][to], row-major: payload and framing of the whole operation
  std::string refused;        // why it may not be used; empty: it may
};

struct HostCaps {
  std::vector<double> egress, ingress;  // [rank] bytes per second; empty: no caps
};

struct Prediction {
  double seconds = 0, latency_seconds = 0,
         transfer_seconds = 0;  // infinite where a pair in use has no bandwidth
  double bytes_sent_max = 0;    // over ranks
  std::string limit;            // what the transfer waits for, in words
};

struct Choice {
  uint32_t chosen = 0;                  // index of the candidate
  std::vector<Prediction> predictions;  // by candidate, also of refused ones
  std::string explain;  // a line for the choice, and one for each candidate: numbers with units
};

// The allowed candidate with the least predicted seconds, the first of equal ones. GM_INVALID_ARGUMENT for a
// malformed argument, and with every reason where no candidate is allowed or can reach all it needs.
Status choose_algorithm(const LinkMatrix& links, const HostCaps& caps,
                        const std::vector<Candidate>& candidates, Choice* choice);

}  // namespace gradmesh
