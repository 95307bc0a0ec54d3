#include "checkpoint/check.h"

namespace martlet::checkpoint {

Result<GroupCheck> check_group(const GroupSpec& spec) {
  SystemClock clock;
  Stopwatch frozen(clock);
  GroupCheck check;
  auto group = FrozenGroup::freeze(spec);
  if (!group && group.error().code() == Code::kUnsupported) {
    check.blockers.push_back(group.error().to_string());
    return check;
  }
  if (!group) return std::unexpected(std::move(group.error()));
  auto report = TRY(group->check());
  TRY(group->thaw());
  check.frozen_seconds = frozen.seconds();
  check.stats = report.stats;
  for (const Error& refusal : report.refusals) check.blockers.push_back(refusal.to_string());
  return check;
}

}  // namespace martlet::checkpoint
