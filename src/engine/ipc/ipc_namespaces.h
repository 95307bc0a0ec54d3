// IPC namespaces that processes of a container have made (unshare, clone): what is in them, their
// settings, and who lives in them. The root's is the environment's.
//
// Who attaches a System V segment must be in its namespace, so processes enter theirs before they
// get their memory. A process that has one attached and has left its namespace since is refused.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/ipc.pb.h"
#include "image/memory.pb.h"

namespace martlet::engine {

// Adds to `ipc`, which is of the root's namespace, those of single processes. `spaces` are parallel
// to `processes`. After note_namespaces(); without the messages of POSIX queues.
Result<void> capture_ipc_namespaces(CaptureContext& context,
                                    const std::vector<FrozenProcess>& processes,
                                    std::span<const image::AddressSpace> spaces, image::Ipc& ipc);

// The same while restoring. They end with the tasks that live in them.
class IpcNamespaces {
 public:
  IpcNamespaces() = default;

  // `first` makes them, and is in the root's again afterwards. `ipc` is borrowed.
  static Result<IpcNamespaces> create(ApplyContext& context, Task& first,
                                      DescriptorChannel& channel, const image::Ipc& ipc);

  // Brings the leader of a process, which has no threads yet, into its namespace, wherever it is.
  Result<void> enter(Task& leader, DescriptorChannel& channel) const;
  // The objects of a process's namespace; null: it lives in the root's.
  const image::Ipc* objects_of(int32_t pid) const;

  // When every task has attached: see SysvObjects.
  Result<void> remove_marked() const;

 private:
  struct Made {
    const image::IpcNamespace* image;
    Fd name_space;
  };

  Fd of_root_;
  std::vector<Made> made_;
  std::map<int32_t, size_t> of_process_;
};

}  // namespace martlet::engine
