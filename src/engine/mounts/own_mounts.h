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
#include "engine/task.h"
#include "image/mounts.pb.h"

namespace martlet::engine {

// File systems that are made from nothing but their options; contents of a tmpfs come extra.
bool can_be_made(std::string_view type);

// `first_mounts` is what the container's /proc/PID/mountinfo said before its program began. Judges
// each mount that cannot be made again.
Result<image::Mounts> describe_own_mounts(CaptureContext& context, std::string_view first_mounts);

// Makes the same changes to the mounts of a sandbox. They end with its mount namespace.
class MountsRestore {
 public:
  explicit MountsRestore(const ApplyContext& context) : context_(context) {}

  // Mounts and unmounts. `first` is a task of the sandbox that is still at its beginning: what a
  // proc or sysfs shows depends on who mounts it. Everything can be written to afterwards.
  Result<void> apply(Task& first, image::Mounts mounts);

  // From now on the mounts behave as they did: flags and propagation. Call it when nothing will be
  // written or mounted any more.
  Result<void> finish();

 private:
  struct Entry {
    Fd mount;
    const image::MountState* state;
    std::string point;
  };
  using Group = std::vector<const Entry*>;

  Result<void> in_namespace(const std::function<Result<void>()>& work) const;
  Result<void> change_declared();
  Result<void> take_declared(const image::OwnMount& own);
  Result<Fd> take_own(const image::OwnMount& own) const;
  Result<void> bind(const image::OwnMount& own);
  Result<void> make(Task& first, const image::OwnMount& own);
  Result<void> set_propagation();
  Result<void> share(uint32_t number, Group peers);
  Result<void> set_alone(const Entry& entry) const;

  const ApplyContext& context_;
  image::Mounts mounts_;
  std::set<dev_t> of_host_;                             // file systems that are not the sandbox's
  std::map<const image::OwnMount*, Fd> from_declared_;  // attached nowhere yet
  std::vector<Entry> changed_;
  std::vector<Entry> entries_;               // own mounts in their order, in the end the changed
  std::map<uint32_t, const Entry*> shared_;  // of each group who shows most
};

}  // namespace martlet::engine
