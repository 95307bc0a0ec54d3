#include "checkpoint/check.h"

namespace martlet::checkpoint {

Result<GroupCheck> check_group(const GroupSpec& spec) {
  GroupCheck check;
  auto group = FrozenGroup::freeze(spec);
  if (!group && group.error().code() == Code::kUnsupported) {
    check.blockers.push_back(group.error().to_string());
    return check;
  }
  if (!group) return std::unexpected(std::move(group.error()));
  SystemClock clock;
  Stopwatch since_then(clock);
  const double freeze_seconds = in_seconds(group->freeze_time());
  auto report = TRY(group->check());
  TRY(group->thaw());
  check.frozen_seconds = freeze_seconds + since_then.seconds();
  check.stats = report.stats;
  for (const Error& refusal : report.refusals) check.blockers.push_back(refusal.to_string());
  return check;
}

}  // namespace martlet::checkpoint
