// Network namespaces that processes of a container have made (unshare, clone): what is in them, who
// lives in them, and what else belongs to one: sockets, and descriptors that lead to it. The root's
// is the environment's.
//
// Sockets are made before a process enters its namespace, so they may be of any of them.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/network/own_network.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/user_namespaces.h"
#include "image/network.pb.h"

namespace martlet::engine {

// One process of each network namespace that processes of the tree live in, by its inode.
std::map<ino_t, HostPid> networks_below(HostPid root);

// Fills in CaptureContext::networks() and OpenFile::network. The result tells who lives in which.
// After note_namespaces(). Of a process tree there is the root's network alone.
Result<image::NetworkNamespaces> find_networks(CaptureContext& context,
                                               const std::vector<FrozenProcess>& processes,
                                               bool container);

// What is in them. `of_root` is null if the container cannot change its own. `fresh` is read here
// if it is missing.
Result<void> describe_networks(CaptureContext& context, const std::vector<FrozenProcess>& processes,
                               NetworkSurvey* of_root, std::optional<NetworkSettings>& fresh,
                               const UserNamespaces& user_namespaces, const image::Tree& tree,
                               image::NetworkNamespaces& out);

// The same while restoring. They end with the last who lives in them, or has something of them.
class NetworkNamespaces {
 public:
  NetworkNamespaces() = default;

  // Makes them and what is in them, nobody being there yet; also the root's if the image tells of
  // it.
  static Result<NetworkNamespaces> make(ApplyContext& context, const UserNamespacesRestore& users,
                                        const image::NetworkNamespaces& image);

  // Brings the leader of a process, which has no threads yet, into the network that it lives in, if
  // that belongs to this user namespace, which it is in now.
  Result<void> enter(const ApplyContext& context, Task& leader, uint32_t user_namespace,
                     DescriptorChannel& channel) const;

 private:
  struct Home {
    uint32_t network;
    uint32_t user_namespace;
  };
  std::map<int32_t, Home> of_process_;
};

}  // namespace martlet::engine
