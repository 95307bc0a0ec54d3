// Checkpoints of containers in directories.
//
// A checkpoint directory holds "image" (the stream of the processes' state), "container.json" (the
// declaration), "upper" (the container's own files) and "log". Volumes are the host's and stay
// where they are.
#pragma once

#include <string>

#include "agent/container_manager.h"
#include "checkpoint/check.h"
#include "checkpoint/directory.h"

namespace martlet::agent {

// Where a container's processes are found and frozen, and which of its files lie outside its root.
checkpoint::GroupSpec group_of(const Container& container);

// Writes a checkpoint; the container is killed afterwards unless it is to be left running. On
// failure it goes on.
Result<checkpoint::CheckpointReport> checkpoint_container(
    ContainerManager& manager, const std::string& name, const std::string& directory,
    const checkpoint::CheckpointOptions& options);

// What stands in the way of a checkpoint of the container, or of a move. It is frozen for as long
// as that takes to find out.
Result<checkpoint::GroupCheck> check_container(ContainerManager& manager, const std::string& name);

struct RestoredContainer {
  Container container;
  checkpoint::RestoreStats stats;
};

// Makes a container from a checkpoint under `new_name`, or its old name if that is empty, and lets
// it run. On failure nothing is left. Errors: kAlreadyExists if the name or an address is taken.
Result<RestoredContainer> restore_container(ContainerManager& manager, const std::string& directory,
                                            const std::string& new_name);

}  // namespace martlet::agent
