// Layouts and words of signatures and aborts.
#include "collective/agreement.h"

#include "transport/bytes.h"

namespace gradmesh {
namespace {

constexpr const char* kFieldNames[] = {"nothing",
                                       "collective",
                                       "codec",
                                       "ranks",
                                       "root",
                                       "elements",
                                       "segment_elements",
                                       "seed",
                                       "step",
                                       "dtype",
                                       "reduction",
                                       "round",
                                       "details (weights, topology, islands, held ranges or the way down)",
                                       "rank",
                                       "links"};

uint64_t value(Field field, const Signature& signature) {
  switch (field) {
    case Field::collective:
      return signature.collective;
    case Field::codec:
      return signature.codec;
    case Field::ranks:
      return signature.ranks;
    case Field::root:
      return signature.root;
    case Field::elements:
      return signature.elements;
    case Field::segment_elements:
      return signature.segment_elements;
    case Field::seed:
      return signature.seed;
    case Field::step:
      return signature.step;
    case Field::dtype:
      return signature.dtype;
    case Field::reduction:
      return signature.reduction;
    case Field::round:
      return signature.round;
    case Field::details:
      return signature.details;
    default:
      return signature.sender;
  }
}

}  // namespace

Signature signature_of(const Plan& plan, uint64_t seed, uint64_t step) {
  const ScheduleRequest& request = plan.request;
  return {.collective = request.collective,
          .ranks = request.ranks,
          .root = request.root,
          .dtype = static_cast<uint32_t>(request.dtype),
          .reduction = static_cast<uint32_t>(request.reduction),
          .codec = request.codec->fingerprint,
          .elements = request.elements,
          .segment_elements = request.segment_elements,
          .seed = seed,
          .step = step,
          .round = request.round,
          .details = plan.details};
}

void encode_signature(const Signature& signature, uint8_t* bytes) {
  store(bytes, signature.collective);
  store(bytes + 4, signature.ranks);
  store(bytes + 8, signature.root);
  store(bytes + 12, signature.sender);
  store(bytes + 16, signature.receiver);
  store(bytes + 20, signature.codec);
  store(bytes + 28, signature.elements);
  store(bytes + 36, signature.segment_elements);
  store(bytes + 44, signature.seed);
  store(bytes + 52, signature.step);
  store(bytes + 60, signature.dtype);
  store(bytes + 64, signature.reduction);
  store(bytes + 68, signature.round);
  store(bytes + 76, signature.details);
}

Signature decode_signature(const uint8_t* bytes) {
  Signature signature;
  signature.collective = load<uint32_t>(bytes);
  signature.ranks = load<uint32_t>(bytes + 4);
  signature.root = load<uint32_t>(bytes + 8);
  signature.sender = load<uint32_t>(bytes + 12);
  signature.receiver = load<uint32_t>(bytes + 16);
  signature.codec = load<uint64_t>(bytes + 20);
  signature.elements = load<uint64_t>(bytes + 28);
  signature.segment_elements = load<uint64_t>(bytes + 36);
  signature.seed = load<uint64_t>(bytes + 44);
  signature.step = load<uint64_t>(bytes + 52);
  signature.dtype = load<uint32_t>(bytes + 60);
  signature.reduction = load<uint32_t>(bytes + 64);
  signature.round = load<uint64_t>(bytes + 68);
  signature.details = load<uint64_t>(bytes + 76);
  return signature;
}

Field difference(const Signature& due, const Signature& came) {
  for (const Field field :
       {Field::collective, Field::codec, Field::ranks, Field::root, Field::elements, Field::segment_elements,
        Field::seed, Field::step, Field::dtype, Field::reduction, Field::round, Field::details})
    if (value(field, due) != value(field, came)) return field;
  return due.sender == came.sender && due.receiver == came.receiver ? Field::none : Field::rank;
}

const char* field_name(Field field) { return kFieldNames[static_cast<size_t>(field)]; }

std::string describe_mismatch(Field field, const Signature& due, const Signature& came) {
  if (field == Field::rank)
    return "rank: the link of rank " + std::to_string(due.sender) + " leads to one that calls itself rank " +
           std::to_string(came.sender) + " and this one rank " + std::to_string(came.receiver);
  if (field == Field::codec || field == Field::details)
    return std::string(field_name(field)) + ": not the same here and at rank " + std::to_string(due.sender);
  return std::string(field_name(field)) + " is " + std::to_string(value(field, due)) + " here and " +
         std::to_string(value(field, came)) + " at rank " + std::to_string(due.sender);
}

void encode_abort(const Abort& abort, uint8_t* bytes) {
  store(bytes, static_cast<uint32_t>(abort.code));
  store(bytes + 4, abort.origin);
  store(bytes + 8, abort.rank);
  store(bytes + 12, static_cast<uint32_t>(abort.field));
  store(bytes + 16, abort.awaited);
}

Status decode_abort(const uint8_t* bytes, Abort* abort) {
  const uint32_t code = load<uint32_t>(bytes), field = load<uint32_t>(bytes + 12);
  *abort = {static_cast<gm_code>(code), load<uint32_t>(bytes + 4), load<uint32_t>(bytes + 8),
            load<uint64_t>(bytes + 16), static_cast<Field>(field)};
  const bool rank_known = abort->rank < kGroupMax || (abort->rank == Abort::kNobody && code != GM_PEER_LOST);
  if (code == GM_OK || code > GM_INTERNAL || field > static_cast<uint32_t>(Field::links) || !rank_known ||
      abort->origin >= kGroupMax)
    return {GM_PROTOCOL, "an abort that says nothing"};
  return Status::ok();
}

std::string list_ranks(uint64_t bits) {
  std::string all;
  for (uint32_t rank = 0; rank < kGroupMax; ++rank)
    if ((bits >> rank & 1) != 0) all += (all.empty() ? "" : ", ") + std::to_string(rank);
  return all.empty() ? "none" : all;
}

Status describe_abort(const Abort& abort) {
  const std::string who = "rank " + std::to_string(abort.origin);
  switch (abort.code) {
    case GM_PEER_LOST:
      return {abort.code, "rank " + std::to_string(abort.rank) + " was lost, says " + who};
    case GM_TIMEOUT:
      return {abort.code, who + " ran out of time; still awaited: ranks " + list_ranks(abort.awaited)};
    case GM_ABORTED:
      return {abort.code, who + " cancelled the operation"};
    case GM_MISMATCH:
      return {abort.code,
              who + " differs from " +
                  (abort.rank == Abort::kNobody ? "this rank" : "rank " + std::to_string(abort.rank)) +
                  " in " + field_name(abort.field)};
    default:
      return {abort.code, who + " failed with code " + std::to_string(abort.code)};
  }
}

}  // namespace gradmesh
