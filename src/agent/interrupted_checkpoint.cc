#include "agent/interrupted_checkpoint.h"

#include "agent/container_checkpoint.h"
#include "base/log.h"
#include "checkpoint/mending.h"
#include "sys/cgroup.h"

namespace martlet::agent {
namespace {

constexpr Nanoseconds kThawTimeout = std::chrono::seconds(10);

}  // namespace

Result<void> go_on_after_checkpoint(ContainerManager& manager, const std::string& name) {
  auto operation = TRY(manager.begin(name, "checkpoint"));
  Container container = TRY(manager.find(name));
  TRY(sys::thaw_cgroup(container.freezer_cgroup, kThawTimeout));
  TRY(manager.release_network(operation));
  auto mended = TRY(checkpoint::mend_group(group_of(container), checkpoint::Died::kBefore));
  if (mended.arenas > 0)
    spdlog::warn("container {}: {} processes had memory of a capture", name, mended.arenas);
  return {};
}

}  // namespace martlet::agent
