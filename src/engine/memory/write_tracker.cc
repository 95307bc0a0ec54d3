#include "engine/memory/write_tracker.h"

#include "engine/program.h"
#include "engine/tasks/injection.h"
#include "sys/pidfd.h"

namespace martlet::engine {

Result<WriteTracker> WriteTracker::begin(FrozenProcess& process) {
  auto injection = TRY(Injection::begin(process));
  Program make(injection.arena());
  auto made = make.call("create userfaultfd", SYS_userfaultfd,
                        {sys::userfaultfd_flags(sys::UserfaultScope::kUserFaults)});
  TRY(injection.run(process.leader(), make));
  auto number = static_cast<int>(make.result(made));
  Fd pidfd = TRY(sys::open_pidfd(process.pid));
  auto duplicate = sys::duplicate_descriptor(pidfd, number);
  Program close(injection.arena());
  close.call("close userfaultfd", SYS_close, {number});
  TRY(injection.run(process.leader(), close));
  TRY(injection.end());
  if (!duplicate) return std::unexpected(duplicate.error());
  return WriteTracker(TRY(sys::Userfaultfd::for_write_tracking(std::move(*duplicate))));
}

// A page in an untracked mapping counts as changed whatever its page table entry says. A mapping
// that lost its tracking (mremap ends it, also for a neighbour that it merges with) may have
// entries that are still marked as protected and are writable all the same, so its pages are marked
// afresh.
//
// Every mapping is registered each time, also one without pages: the kernel merges only neighbours
// that are alike in this, too, and a process may count on its mappings to be merged.
Result<Ranges> WriteTracker::take(const sys::Pagemap& pagemap,
                                  const std::vector<TrackedMapping>& mappings) {
  Ranges changed;
  for (auto [mapping, backing] : mappings) {
    Ranges untracked = TRY(pagemap.untracked_pages(mapping, backing));
    auto done = userfaultfd_.track_writes(mapping);
    if (!done && done.error().code() == Code::kGone) return std::unexpected(done.error());
    if (done)
      for (const sys::Range& range : untracked) TRY(userfaultfd_.protect(range));
    for (const sys::Range& range : unite(untracked, TRY(pagemap.take_written(mapping, backing))))
      append(changed, range);
  }
  return changed;
}

Result<Ranges> WriteTracker::peek(const sys::Pagemap& pagemap,
                                  const std::vector<TrackedMapping>& mappings) {
  Ranges changed;
  for (auto [mapping, backing] : mappings)
    for (const sys::Range& range : TRY(pagemap.peek_written(mapping, backing)))
      append(changed, range);
  return changed;
}

}  // namespace martlet::engine
