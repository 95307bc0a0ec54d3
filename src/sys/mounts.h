// Mounting and unmounting for containers' root file systems.
#pragma once

#include <string>

#include "base/result.h"

namespace martlet::sys {

struct Overlay {
  std::string lower;  // read-only
  std::string upper;  // every change goes here
  std::string work;   // empty directory of the same file system as `upper`
};

// Mounts the overlay at `target`, with file handles (index=on,nfs_export=on) where the kernel can,
// because only then can changes through it be watched with fanotify.
Result<void> mount_overlay(const Overlay& overlay, const std::string& target);

// Something changed the overlay's upper layer behind it: what it remembers of names there may be
// wrong, and is forgotten. Names that are in use stay as they are, mount points and what is above
// them among these. Does nothing if nothing is mounted at `target`.
Result<void> forget_names(const std::string& target);

Result<bool> is_mount_point(const std::string& path);

// Unmounts what is mounted at `target`, also if it is still in use (it vanishes with its last
// user). Success if nothing is mounted there.
Result<void> unmount(const std::string& target);

}  // namespace martlet::sys
