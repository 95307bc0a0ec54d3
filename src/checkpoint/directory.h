// Checkpoints in directories: a stream in the file "image" of a directory of its own.
#pragma once

#include <functional>
#include <string>

#include "checkpoint/group.h"

namespace martlet::checkpoint {

enum class Afterwards { kKill, kLeaveRunning };

struct CheckpointReport {
  CaptureStats stats;
  double frozen_seconds = 0;  // from the first task stopped until all go on or are gone
  uint64_t image_bytes = 0;
};

// What a caller adds to its checkpoint while the group stands still, such as a container's files.
using WhileFrozen = std::function<Result<void>()>;

// Writes a checkpoint of the group. The image appears under its name when it is complete and
// synced; only then is the group killed. On failure the group goes on and the directory is left
// without an image. Errors: kAlreadyExists if the directory holds an image.
Result<CheckpointReport> checkpoint_to_directory(const GroupSpec& spec,
                                                 const std::string& directory,
                                                 Afterwards afterwards,
                                                 const WhileFrozen& while_frozen = {});

struct RestoreReport {
  RestoreStats stats;
  HostPid root;
};

// Restores a plain process tree with its PIDs in this process's namespaces and lets it run. Errors:
// kNotFound (no image there), kBadImage, kAlreadyExists (a PID is in use), kUnsupported.
Result<RestoreReport> restore_from_directory(const std::string& directory);

// Opens the image of a directory for reading.
Result<Fd> open_image(const std::string& directory);

// Whether the directory's image is of a container (and not of a plain process tree).
Result<bool> holds_container(const std::string& directory);

}  // namespace martlet::checkpoint
