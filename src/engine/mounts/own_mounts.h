// What a container has changed of its mounts: what it has mounted itself, what it has unmounted,
// and declared mounts that behave otherwise. What its declaration mounts is the environment's,
// which is there before a restore.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/mounts.pb.h"

namespace martlet::engine {

// File systems that are made from nothing but their options; contents of a tmpfs come extra.
bool can_be_made(std::string_view type);

// `first_mounts` is what the container's /proc/PID/mountinfo said before its program began; empty:
// that is not known. Adds the mount namespaces of single processes to the context. Judges each
// mount that cannot be made again.
Result<image::Mounts> describe_own_mounts(CaptureContext& context, std::string_view first_mounts,
                                          const std::vector<FrozenProcess>& processes);

// Makes the same changes to the mounts of a sandbox, and the other namespaces. They end with its
// tasks.
class MountsRestore {
 public:
  explicit MountsRestore(ApplyContext& context) : context_(context) {}

  // Mounts and unmounts. `first` is the root task of the sandbox, still at its beginning: what a
  // proc or sysfs shows depends on who mounts it. Everything can be written to afterwards.
  Result<void> apply(Task& first, DescriptorChannel& channel, image::Mounts mounts);

  // Brings processes into namespaces that are not the root's, in which they make what they alone
  // can; `leader_of` is null for one that is
  // not there. They must not have any threads yet, which get those of their process, and get their
  // directories afterwards.
  Result<void> enter(DescriptorChannel& channel, const std::function<Task*(int32_t)>& leader_of);

  // From now on the mounts behave as they did: flags and propagation. Call it when nothing will be
  // written, mounted or opened any more; the context forgets the namespaces.
  Result<void> finish();

 private:
  struct Entry {
    Fd mount;
    const image::MountState* state;
    std::string point;
    uint32_t name_space;
  };
  using Group = std::vector<const Entry*>;

  Result<void> add_namespace(Task& first, const Fd& of_root, DescriptorChannel& channel,
                             const image::MountNamespace& image);
  Result<void> change(Task& first, DescriptorChannel& channel, const image::Mounts& mounts);
  Result<void> turn_root(Task& first, DescriptorChannel& channel);
  Result<void> in_namespace(const std::function<Result<void>()>& work) const;
  Result<void> change_declared(const image::Mounts& mounts);
  Result<void> take_declared(const image::OwnMount& own);
  Result<Fd> take_own(const image::OwnMount& own) const;
  Result<void> bind(const image::OwnMount& own);
  Result<void> make(Task& first, const image::OwnMount& own);
  Result<void> make_late(const image::MountNamespace& image, uint32_t number,
                         const std::function<Task*(int32_t)>& leader_of);
  void add_entry(Fd mount, const image::OwnMount& own);
  // In the namespaces of the entries, whose mounts are changed only there.
  Result<void> each_inside(const std::function<Result<void>(const Entry&)>& work);
  Result<void> make_groups();
  std::map<const Entry*, const Entry*> take_next(std::map<uint32_t, Group>& groups) const;
  void let_go();
  Result<void> set_alone(const Entry& entry) const;

  ApplyContext& context_;
  image::Mounts mounts_;
  std::set<dev_t> of_host_;                             // file systems that are not the sandbox's
  std::map<const image::OwnMount*, Fd> from_declared_;  // attached nowhere yet
  uint32_t current_ = 0;                                // the namespace that is being made
  size_t first_own_ = 0;                                // of its own mounts
  std::vector<Entry> changed_;
  std::vector<Entry> entries_;  // of each namespace its own mounts in their order, then the changed
  std::map<uint32_t, const Entry*> shared_;  // of each group who shows most
};

}  // namespace martlet::engine
