// Frames of one link overtake each other in its streams: a rank that holds some for lack of memory must still
// get the ones that it waits for.
#include "group.h"

using namespace group;

TEST("rows that use memory in turns end over several streams, and give what one stream gives") {
  std::mt19937_64 random(check::seed());
  const uint32_t ranks = 4;
  const auto inputs = random_inputs(ranks, 240'000, random);
  for (const uint32_t collective : {3u, 5u, 10u}) {  // halving_doubling, tree_reduce, hierarchical
    Call call{.collective = collective, .segment = 2'000, .limit_ms = 5'000};
    if (collective == 10) call.islands = {0, 0, 2, 2};
    Group one(ranks);
    const auto due = one.run(call, inputs);
    for (const uint32_t streams : {2u, 4u}) {
      Group group(ranks, {.encrypted = false}, streams);
      for (call.id = 1; call.id <= 25; ++call.id) {
        const auto results = group.run(call, inputs);
        for (uint32_t rank = 0; rank < ranks; ++rank) {
          CHECK_THAT(static_cast<bool>(results[rank].status), results[rank].status.message());
          if (collective != 5 || rank == 0) CHECK(same_bytes(results[rank].output, due[rank].output));
        }
      }
    }
  }
}
