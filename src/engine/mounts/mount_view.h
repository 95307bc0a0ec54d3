// Mount namespaces of a group, each as seen from one root directory in it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/mounts/mount_table.h"

namespace martlet::engine {

struct MountView {
  Fd name_space;
  Fd root;

  // As the process sees it.
  static Result<MountView> of_process(HostPid process);
  // All of the process's namespace, whatever its own root directory is.
  static Result<MountView> of_namespace(HostPid process);

  // On a fresh thread inside, or right here if that is where the calling thread is.
  Result<void> run(const std::function<Result<void>()>& work) const;
  // What is mounted below the root directory.
  Result<std::vector<Mount>> mounts() const;
};

// Those of a group by numbers, as the image has them: 0 is that of the root process. They are added
// before several threads use them.
class MountViews {
 public:
  explicit MountViews(HostPid root) : root_(root) {}

  // The next number; `mounts` are those of the view, if number_of() is to know them.
  void add(MountView view, const std::vector<Mount>& mounts);
  uint32_t count() const { return static_cast<uint32_t>(others_.size()) + 1; }

  // kBadImage: there is none of that number.
  Result<MountView> view(uint32_t number) const;
  Result<Fd> root_of(uint32_t number) const;
  // Opens `path` below the root directory; symbolic links do not lead out of it.
  Result<Fd> open(uint32_t number, const std::string& path, int flags, mode_t mode = 0) const;

  // Of the namespace that has the mount on which the path ends, or that of this id; 0: none of the
  // others.
  uint32_t number_of(const std::string& path) const;
  uint32_t number_of(uint64_t mount) const;

 private:
  HostPid root_;
  std::vector<MountView> others_;
  std::map<uint64_t, uint32_t> of_mounts_;  // by their ids
};

}  // namespace martlet::engine
