// Restored processes move from the group's namespaces into their own.
#pragma once

#include <functional>

#include "engine/files/descriptor_channel.h"
#include "engine/network/network_namespaces.h"
#include "engine/tasks/user_namespaces.h"

namespace martlet::engine {

// One user namespace after the other, and in each what belongs to it. The processes must not have
// any threads yet; `leader_of` is null for one that is not there.
Result<void> enter_namespaces(const ApplyContext& context, const image::Tree& tree,
                              const UserNamespacesRestore& users, const NetworkNamespaces& networks,
                              DescriptorChannel& channel,
                              const std::function<Task*(int32_t)>& leader_of);

}  // namespace martlet::engine
