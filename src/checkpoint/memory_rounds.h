// Memory of a running group, sent ahead of its capture.
//
// A round stops the group for a moment to find what has changed since the round before, lets it go
// on and sends that. The capture at the end then holds only what changed after the last round.
//
// What was sent is known per process as a set of pages (`sent`), and the other side has exactly
// these: whenever a mapping goes, or is not the same any more, its pages leave the set. A page is
// left out of a later round or of the capture only if it is in the set and the kernel shows that
// nobody has written to it since before it was read. Everything that a group can do in between
// (fork, exec, exit, mmap, munmap, mremap, madvise, a PID used again) only makes pages leave the
// set.
// Shared memory and files in a tmpfs are compared instead (SharedRounds, engine::TmpfsRounds).
//
// Used on the thread that will freeze the group. Destroying it leaves no trace in the group.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/group.h"
#include "checkpoint/shared_rounds.h"
#include "checkpoint/sharing.h"
#include "engine/memory/ranges.h"
#include "engine/memory/write_tracker.h"
#include "engine/mounts/tmpfs_rounds.h"
#include "image/group.pb.h"
#include "image/memory.pb.h"

namespace martlet::checkpoint {

struct RoundStats {
  uint32_t number = 0;         // from 1
  uint64_t changed_bytes = 0;  // found at the beginning of the round
  uint64_t sent_bytes = 0;     // without pages of zeros
  double stopped_seconds = 0;  // for which the group stood still
};

class MemoryRounds {
 public:
  explicit MemoryRounds(GroupSpec spec);
  ~MemoryRounds();
  MemoryRounds(const MemoryRounds&) = delete;
  MemoryRounds& operator=(const MemoryRounds&) = delete;

  // kUnsupported if the kernel cannot track writes.
  Result<RoundStats> next(image::Sink& sink);

  // In place of rounds, where memory is not followed: has the other side make the tasks and their
  // mappings, and pages for all that the capture will send. It has done so when it has read the
  // second round of what this writes.
  Result<void> prepare(image::Sink& sink);

  // Bytes that changed since the last round, found while the group runs, and how long a capture
  // would look for those of shared memory.
  engine::SentContent::Outlook outlook() const;

  // For the capture, with the group frozen again.
  struct Staged {
    uint32_t number;                    // for image::Process::staged
    const image::AddressSpace* layout;  // the mappings that are there
    const engine::Ranges* forked;       // pages that came with the fork from its parent there
  };
  // Decides what of the rounds still holds. `processes` are in the order of restore; what one
  // shares it has from its birth, so who is born sharing is made when the group is known for good.
  void settle(const std::vector<engine::FrozenProcess>& processes,
              const std::vector<Birth>& births);
  // Null if nothing was sent of the process, or it does not hold any more.
  std::optional<Staged> staged(const engine::FrozenProcess& process) const;
  // Pages of `part`, which lies in what inheritable_parts() says of a staged mapping, that need
  // not be sent again. `now`: of that mapping, by writes; `shared_with_parent`: as
  // inherited_pages() says.
  engine::Ranges unchanged(const engine::FrozenProcess& process, const sys::Pagemap::Look& now,
                           sys::Range part, const engine::Ranges& shared_with_parent) const;
  // The same for shared memory.
  void build_on(engine::SharedObjectTable& table) { shared_.build_on(table); }
  // And for files in a tmpfs.
  engine::TmpfsRounds& tmpfs() { return tmpfs_; }
  uint64_t work_area() const { return work_area_; }
  bool begun() const { return round_ > 0; }

 private:
  struct Member;
  struct Pending;

  Result<std::vector<Pending>> stop_and_look(double& stopped_seconds);
  static bool is_same(const Member* known, const engine::FrozenProcess& frozen,
                      const image::Process& relations, const std::map<int32_t, bool>& is_old);
  Result<void> adopt(std::vector<engine::FrozenProcess>& processes);
  Result<std::vector<Pending>> look_at_all(std::vector<engine::FrozenProcess>& processes);
  Result<Pending> look_at(const engine::FrozenProcess& frozen, Member& member);
  Result<engine::Ranges> take_changes(const engine::FrozenProcess& frozen, Member& member,
                                      const sys::Pagemap& pagemap) const;
  Result<engine::Ranges> shared_with_parent(const engine::FrozenProcess& frozen,
                                            const Member& member,
                                            const sys::Pagemap& pagemap) const;
  const Member* parent_of(const Member& member) const;
  void account(Pending& pending);
  image::AddressSpace staged_layout(const std::vector<sys::Vma>& vmas, const Member& member);
  std::vector<Pending> without_sharers(std::vector<Pending> pending);
  Result<void> announce(image::Sink& sink);
  Result<void> announce_space(image::Sink& sink, Pending& pending);
  Result<uint64_t> send(image::Sink& sink, Pending& pending);
  Member* find(HostPid pid) const;

  GroupSpec spec_;
  std::vector<std::unique_ptr<Member>> members_;  // parents before children
  SharedRounds shared_;
  engine::TmpfsRounds tmpfs_;
  uint32_t round_ = 0;
  uint32_t next_number_ = 1;
  uint64_t work_area_ = 0;
  int highest_descriptor_ = -1;
  bool follows_ = true;  // not if it only prepares
};

}  // namespace martlet::checkpoint
