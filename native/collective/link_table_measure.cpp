// What is measured of links, and how fast they may send.
#include <algorithm>

#include "collective/link_table.h"
#include "transport/clock.h"

namespace gradmesh {

std::chrono::nanoseconds LinkTable::until_paced() {
  const bool waits = pace_.rate() > 0 && std::any_of(slots_.begin(), slots_.end(), [](const auto& entry) {
                       return entry.second.link != nullptr && entry.second.link->ready(true);
                     });
  return waits ? std::chrono::nanoseconds(pace_.wait_ns(now_ns())) : std::chrono::nanoseconds::max();
}

void LinkTable::probe(uint32_t id, const ProbeRequest& request, ProbeDone done) {
  Link* link = nullptr;
  Status status = find(id, &link);
  if (status) status = link->probe(request, done, now_ns());
  if (!status) done(status, {});
}

Status LinkTable::use(uint32_t id, uint32_t streams) {
  Link* link = nullptr;
  GM_TRY(find(id, &link));
  if (streams < 1 || streams > link->streams())
    return {GM_INVALID_ARGUMENT, "streams is " + std::to_string(streams) + "; allowed: 1 to " +
                                     std::to_string(link->streams()) + ", those of the link"};
  link->use(streams);
  return Status::ok();
}

Status LinkTable::stats(uint32_t id, std::string* json) const {
  Link* link = nullptr;
  GM_TRY(find(id, &link));
  *json =
      "{\"streams\":" + std::to_string(link->streams()) + ",\"streamsUsed\":" + std::to_string(link->used()) +
      ",\"bytesQueued\":" + std::to_string(link->bytes_queued()) + "," + quality_json(link->quality()) + "}";
  return Status::ok();
}

}  // namespace gradmesh
