#include "engine/mounts/own_mounts.h"

#include <fmt/format.h>

#include <set>
#include <string>

#include "engine/mounts/mount_table.h"

namespace martlet::engine {

// The kernel gives the id of a mount that is gone to a later one, so the place counts too.
Result<void> refuse_own_mounts(HostPid root, std::string_view first_mounts) {
  std::set<std::pair<uint64_t, std::string>> first;
  for (const Mount& mount : parse_mounts(first_mounts)) first.emplace(mount.id, mount.point);
  for (const Mount& mount : TRY(read_mounts(root)))
    if (!first.contains({mount.id, mount.point}))
      return std::unexpected(
          Error(Code::kUnsupported,
                fmt::format("the container has mounted {} ({}) itself", mount.point, mount.type))
              .with_remedy("declare it in the bundle or as a volume instead"));
  return {};
}

}  // namespace martlet::engine
