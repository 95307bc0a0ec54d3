// The files of containers on one host: where they are, making and removing them.
//
// Everything of one container is below STATE_DIR/containers/NAME; a root given by --rootfs or
// --bundle stays where it is and is never removed.
#pragma once

#include <string>

#include "agent/container.h"
#include "base/fd.h"
#include "base/result.h"

namespace martlet::agent {

class ContainerFiles {
 public:
  explicit ContainerFiles(std::string state_dir) : state_dir_(std::move(state_dir)) {}

  ContainerPaths paths_of(const Declaration& declaration) const;

  // Directories, all empty, and an empty log.
  Result<void> make(const ContainerPaths& paths) const;
  // The root file system is at paths.root and config.json in paths.bundle.
  Result<void> mount_root(const Container& container) const;
  Result<void> write_bundle(const Container& container, const std::string& config) const;
  // What is mounted in the container before its program begins, for later comparison.
  Result<void> note_mounts(const ContainerPaths& paths, const std::string& mountinfo) const;
  Result<Fd> open_log(const ContainerPaths& paths) const;
  // Unmounts the root and removes everything; also what is only half made.
  Result<void> remove(const ContainerPaths& paths) const;

 private:
  std::string state_dir_;
};

}  // namespace martlet::agent
