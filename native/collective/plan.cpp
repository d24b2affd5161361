// Making plans.
#include "collective/plan.h"

namespace gradmesh {

Status Plan::make(ScheduleRequest request, std::shared_ptr<const Plan>* plan) {
  auto made = std::make_shared<Plan>();
  GM_TRY(write_schedule(request, &made->schedule));
  GM_TRY(collective_cost(request, &made->cost));
  made->details = details_fingerprint(request);
  made->request = std::move(request);
  *plan = std::move(made);
  return Status::ok();
}

}  // namespace gradmesh
