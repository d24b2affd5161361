// The operations of a fault peer: requests from words, tensors that follow from a seed, results that are kept
// under a name and compared.
#pragma once
#include <map>
#include <memory>
#include <mutex>

#include "collective/endpoint.h"
#include "fault_words.h"

namespace gradmesh::net {

// "begin:elements+begin:elements"; "-" for none.
std::vector<Range> parse_ranges(const std::string& text);
std::string ranges_json(const std::vector<Range>& ranges);
std::string code_name(gm_code code);
// Puts code, and a message where it is an error.
Json& put_status(Json& json, const Status& status);

class Runs {
 public:
  using Memory = std::shared_ptr<std::vector<uint8_t>>;

  Runs(uint32_t peer, uint64_t seed) : peer_(peer), seed_(seed) {}
  // Words: collective, members (peers in the order of ranks), elements, segment, codec, dtype, reduction,
  // root (a rank), topology, round, islands, held (of each rank, separated by '/').
  ScheduleRequest request(const Words& words) const;
  // Posts the operation `id`; its answer follows when it has ended. Further words: limit; first: the place of
  // its elements in the whole tensor; keep: the name of its output, which is continued where it is there.
  // links: by peer.
  void post(Endpoint& endpoint, const Words& words, const std::map<uint32_t, uint32_t>& links);
  // How many elements of `ranges` differ between the kept outputs a and b, whose place `first` is b's first.
  void compare(const Words& words) const;
  void forget();

 private:
  struct Work;
  std::vector<uint8_t> input(const Words& words, const ScheduleRequest& request) const;
  Memory output(const Words& words, size_t bytes);
  static void answer(Work& work, const Status& status);

  const uint32_t peer_;
  const uint64_t seed_;
  mutable std::mutex mutex_;  // guards the next
  std::map<std::string, Memory> kept_;
};

}  // namespace gradmesh::net
