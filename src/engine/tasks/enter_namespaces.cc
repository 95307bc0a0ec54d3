#include "engine/tasks/enter_namespaces.h"

#include <fmt/format.h>

#include "engine/tasks/credentials.h"
#include "engine/tasks/host_names.h"

namespace martlet::engine {
namespace {

Result<void> enter(Task& leader, const image::Process& process, const UserNamespacesRestore& users,
                   HostNamesRestore& names, DescriptorChannel& channel) {
  TRY(names.apply(leader, 0, channel));
  const auto way = users.way_of(process.pid());
  if (!way.empty()) TRY(take_users(leader, process.threads(0).credentials()));
  for (uint32_t user_namespace : way) {
    TRY(users.enter(leader, user_namespace, channel));
    TRY(names.apply(leader, user_namespace, channel));
  }
  return {};
}

}  // namespace

Result<void> enter_namespaces(const image::Tree& tree, const UserNamespacesRestore& users,
                              DescriptorChannel& channel,
                              const std::function<Task*(int32_t)>& leader_of) {
  HostNamesRestore names(tree);
  for (const image::Process& process : tree.processes())
    if (Task* leader = leader_of(process.pid()))
      TRY_IN(enter(*leader, process, users, names, channel),
             fmt::format("process {}", process.pid()));
  return names.finish();
}

}  // namespace martlet::engine
