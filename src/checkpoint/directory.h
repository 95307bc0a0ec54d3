// Checkpoints in directories: the main stream in the file "image" of a directory of its own, and
// page lanes beside it in "pages-1", "pages-2", …
#pragma once

#include <functional>
#include <string>

#include "checkpoint/group.h"
#include "image/compression.h"
#include "image/group.pb.h"

namespace martlet::checkpoint {

enum class Afterwards { kKill, kLeaveRunning };

struct CheckpointOptions {
  Afterwards afterwards = Afterwards::kKill;
  image::Codec compression = image::Codec::kNone;
  // How often memory is written while the group still runs, so that only what changed after the
  // last time is left for when it is frozen.
  uint32_t rounds = 0;
};

struct CheckpointReport {
  CaptureStats stats;
  // From the first task stopped until all go on again or, if they are to be killed, until their
  // state is complete and synced; that they are torn down then is nobody's pause.
  double frozen_seconds = 0;
  uint64_t image_bytes = 0;
};

// What a caller adds to its checkpoint while the group stands still, such as a container's files.
using WhileFrozen = std::function<Result<void>()>;

// Writes a checkpoint of the group. The file "image" appears under its name when everything is
// complete and synced; only then is the group killed. On failure the group goes on and the
// directory is as it was: it is made if it does not exist, and must be empty if it does
// (kAlreadyExists).
Result<CheckpointReport> checkpoint_to_directory(const GroupSpec& spec,
                                                 const std::string& directory,
                                                 const CheckpointOptions& options,
                                                 const WhileFrozen& while_frozen = {});

struct RestoreReport {
  RestoreStats stats;
  HostPid root;
};

// What a caller does when the group stands complete; if it fails, the group is gone again.
using BeforeResume = std::function<Result<void>(HostPid root)>;

// Restores a plain process tree with its PIDs in this process's namespaces and lets it run. Errors:
// kNotFound (no image there), kBadImage, kAlreadyExists (a PID is in use), kUnsupported.
Result<RestoreReport> restore_from_directory(const std::string& directory,
                                             const BeforeResume& before_resume = {});

// Builds what the directory holds inside the sandbox, frozen.
Result<RestoredGroup> build_from_directory(const std::string& directory, Sandbox sandbox);

// The header of the directory's image. Errors: kNotFound, kBadImage.
Result<image::Header> read_header(const std::string& directory);

}  // namespace martlet::checkpoint
