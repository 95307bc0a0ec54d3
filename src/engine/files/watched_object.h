// Finding the object of an inotify watch, of which the kernel only tells the file handle.
//
// Looking must raise as few events as possible, because the watches see it: objects are opened with
// O_PATH, which is no event; only the mount point that a handle is opened through is really opened.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/mounts/mount_table.h"
#include "sys/file_handle.h"

namespace martlet::engine {

class WatchedObjects {
 public:
  // Looks in the mounts of `root`.
  static Result<WatchedObjects> in_mounts_of(HostPid root);

  // A path that leads, inside the root of the group, to the object with this handle on the file
  // system `device`, as the kernel tells. kGone: the object was removed; kNotFound: it does not
  // tell, because nobody has used the name for a while or the file system has no handles.
  Result<std::string> known_path(dev_t device, const sys::FileHandle& handle) const;
  // The same, found by going through names, though not through arbitrarily many. kNotFound.
  Result<std::string> search(dev_t device, const sys::FileHandle& handle) const;

  // The same by going from `directory` outwards, for an object that was not moved far.
  Result<std::string> search_around(const std::string& directory,
                                    const sys::FileHandle& handle) const;

 private:
  WatchedObjects(HostPid root, std::vector<Mount> mounts)
      : root_(root), mounts_(std::move(mounts)) {}

  Result<std::string> open_and_ask(const Mount& mount, const sys::FileHandle& handle) const;

  HostPid root_;
  std::vector<Mount> mounts_;
};

}  // namespace martlet::engine
