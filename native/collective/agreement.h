// What ranks tell each other about an operation besides its data: what they think it is, and why they ended
// it.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "collective/plan.h"

namespace gradmesh {

// The arguments that must be the same on all ranks, and who sends them to whom.
struct Signature {
  uint32_t collective = 0, ranks = 0, root = 0, sender = 0, receiver = 0, dtype = 0, reduction = 0;
  uint64_t codec = 0;  // the fingerprint of its specification
  uint64_t elements = 0, segment_elements = 0, seed = 0, step = 0, round = 0;
  uint64_t details = 0;  // the fingerprint of weights, topology, islands and held ranges
};
// What a rank's plan says; sender and receiver are the caller's to fill in.
Signature signature_of(const Plan& plan, uint64_t seed, uint64_t step);
inline constexpr size_t kSignatureBytes = 84;
void encode_signature(const Signature& signature, uint8_t* bytes);
Signature decode_signature(const uint8_t* bytes);

// The first field in which what came differs from what was due; none where all agree.
enum class Field : uint32_t {
  none,
  collective,
  codec,
  ranks,
  root,
  elements,
  segment_elements,
  seed,
  step,
  dtype,
  reduction,
  round,
  details,
  rank,
  links
};
Field difference(const Signature& due, const Signature& came);
const char* field_name(Field field);
// "elements is 5 here and 6 at rank 2"
std::string describe_mismatch(Field field, const Signature& due, const Signature& came);

// Why a rank ended an operation before its end.
struct Abort {
  static constexpr uint32_t kNobody = ~uint32_t{0};
  gm_code code = GM_ABORTED;
  uint32_t origin = 0;        // the rank that ended it first; others pass its words on
  uint32_t rank = kNobody;    // GM_PEER_LOST: who was lost; GM_MISMATCH: who differs from the origin
  uint64_t awaited = 0;       // GM_TIMEOUT: a bit for each rank that was still awaited
  Field field = Field::none;  // GM_MISMATCH: in what
};
inline constexpr size_t kAbortBytes = 24;
void encode_abort(const Abort& abort, uint8_t* bytes);
// GM_PROTOCOL where no correct peer sends this.
Status decode_abort(const uint8_t* bytes, Abort* abort);
// The error that every rank ends with.
Status describe_abort(const Abort& abort);
// "0, 3"
std::string list_ranks(uint64_t bits);

}  // namespace gradmesh
