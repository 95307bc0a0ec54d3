// What is in the tmpfs mounts of a container: its memory, as far as it is reached by names
// (/dev/shm, /run, /tmp). The mounts themselves belong to the environment and are there before a
// restore.
//
// A tmpfs that is mounted in the capturing process's namespace too belongs to the host and is left
// alone, and so is one that the container could only read from the beginning.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/context.h"
#include "image/mounts.pb.h"
#include "image/stream.h"
#include "image/tmpfs.pb.h"

namespace martlet::engine {

class TmpfsRounds;

// Puts the content of every tmpfs into the sink, as kTmpfs records. Nothing for a group in the
// mount namespace of the caller. `changes` are those of the container's mounts; `ahead` is what was
// sent while the group ran, null if nothing was.
Result<void> capture_tmpfs(CaptureContext& context, const image::Mounts& changes,
                           TmpfsRounds* ahead = nullptr);

// Fills the mounts from the records, in the order in which they were put. What is not named before
// it is destroyed leaves nothing.
class TmpfsRestore {
 public:
  explicit TmpfsRestore(const ApplyContext& context) : context_(context) {}

  // Of a round: files that are there, but have no name yet.
  Result<void> stage(const image::Record& record);
  Result<void> apply(const image::Record& record);

  // A file that a process has mapped is told by its time of change, so call it before.
  Result<void> set_times() const;

  // Sets the extended attributes and the times, which filling would change. Call it when nothing
  // will write any more.
  Result<void> finish();

 private:
  struct Last {
    const Fd* mount;
    image::TmpfsEntry entry;
  };

  using Point = std::pair<uint32_t, std::string>;  // in a mount namespace

  Result<Fd> open_own(const Point& point) const;
  Result<const Fd*> open_mount(const Point& point);
  Result<void> apply_entry(const Fd& mount, const image::TmpfsEntry& entry);
  Result<void> stage(const image::Tmpfs& tmpfs, std::span<const std::byte> piece);
  Result<void> stage_file(const image::Tmpfs& tmpfs);
  Result<Fd*> staged(uint32_t number);

  const ApplyContext& context_;
  std::map<Point, Fd> mounts_;
  std::map<Point, Fd> staging_mounts_;
  std::map<uint32_t, Fd> staged_;
  std::vector<Last> last_;
};

}  // namespace martlet::engine
