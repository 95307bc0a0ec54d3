#include "engine/tasks/enter_namespaces.h"

#include <fmt/format.h>

#include "engine/tasks/credentials.h"
#include "engine/tasks/host_names.h"

namespace martlet::engine {
namespace {

// What a process enters for itself, in the user namespace that it is in.
using EnterIn = std::function<Result<void>(Task& leader, uint32_t user_namespace)>;

Result<void> enter(Task& leader, const image::Process& process, const UserNamespacesRestore& users,
                   const EnterIn& enter_in, DescriptorChannel& channel) {
  TRY(enter_in(leader, 0));
  const auto way = users.way_of(process.pid());
  if (!way.empty()) TRY(take_users(leader, process.threads(0).credentials()));
  for (uint32_t user_namespace : way) {
    TRY(users.enter(leader, user_namespace, channel));
    TRY(enter_in(leader, user_namespace));
  }
  return {};
}

}  // namespace

Result<void> enter_namespaces(const ApplyContext& context, const image::Tree& tree,
                              const UserNamespacesRestore& users, const NetworkNamespaces& networks,
                              DescriptorChannel& channel,
                              const std::function<Task*(int32_t)>& leader_of) {
  HostNamesRestore names(tree);
  auto enter_in = [&](Task& leader, uint32_t user_namespace) -> Result<void> {
    TRY(names.apply(leader, user_namespace, channel));
    return networks.enter(context, leader, user_namespace, channel);
  };
  for (const image::Process& process : tree.processes())
    if (Task* leader = leader_of(process.pid()))
      TRY_IN(enter(*leader, process, users, enter_in, channel),
             fmt::format("process {}", process.pid()));
  return names.finish();
}

}  // namespace martlet::engine
