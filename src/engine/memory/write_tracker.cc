#include "engine/memory/write_tracker.h"

#include <utility>

#include "engine/program.h"
#include "engine/tasks/injection.h"
#include "sys/pidfd.h"

namespace martlet::engine {
namespace {

constexpr auto kBacking = sys::Pagemap::Backing::kNone;

Result<sys::Userfaultfd> make_userfaultfd(FrozenProcess& process) {
  auto injection = TRY(Injection::begin(process));
  Program program(injection.arena());
  auto made = program.call("create userfaultfd", SYS_userfaultfd,
                           {sys::userfaultfd_flags(sys::UserfaultScope::kUserFaults)});
  program.pause();
  program.call("close userfaultfd", SYS_close, {made});
  Fd duplicate;
  TRY(injection.run(process.leader(), program, [&]() -> Result<void> {
    Fd pidfd = TRY(sys::open_task(process.living));
    duplicate = TRY(sys::duplicate_descriptor(pidfd, static_cast<int>(program.result(made))));
    return {};
  }));
  TRY(injection.end());
  return sys::Userfaultfd::for_write_tracking(std::move(duplicate));
}

}  // namespace

Result<WriteTracker> WriteTracker::begin(FrozenProcess& process) {
  WriteTracker tracker(process.living);
  if (sys::Userfaultfd::can_track_writes())
    tracker.userfaultfd_ = TRY(make_userfaultfd(process));
  else if (sys::has_pagemap_scan() || !sys::has_soft_dirty())
    return fail(Code::kUnsupported, "this kernel cannot track writes (userfaultfd, soft-dirty)");
  return tracker;
}

Result<Ranges> WriteTracker::take(const sys::Pagemap& pagemap, const Ranges& mappings) {
  return userfaultfd_ ? take_protected(pagemap, mappings) : take_soft_dirty(pagemap, mappings);
}

// The kernel marks what is new, moved or of another program.
Result<Ranges> WriteTracker::take_soft_dirty(const sys::Pagemap& pagemap, const Ranges& mappings) {
  const bool all = !std::exchange(taken_, true);
  Ranges changed;
  for (const sys::Range& mapping : mappings)
    for (const sys::Range& range : TRY(all ? pagemap.anonymous_pages(mapping, kBacking)
                                           : pagemap.take_written(mapping, kBacking)))
      append(changed, range);
  TRY(sys::clear_soft_dirty(pid_));
  return changed;
}

// A page in an untracked mapping counts as changed whatever its page table entry says. A mapping
// that lost its tracking (mremap ends it, also for a neighbour that it merges with) may have
// entries that are still marked as protected and are writable all the same, so its pages are marked
// afresh.
//
// Every mapping is registered each time, also one without pages: the kernel merges only neighbours
// that are alike in this, too, and a process may count on its mappings to be merged.
Result<Ranges> WriteTracker::take_protected(const sys::Pagemap& pagemap, const Ranges& mappings) {
  Ranges changed;
  for (const sys::Range& mapping : mappings) {
    Ranges untracked = TRY(pagemap.untracked_pages(mapping, kBacking));
    auto done = userfaultfd_->track_writes(mapping);
    if (!done && done.error().code() == Code::kGone) return std::unexpected(done.error());
    if (done && !untracked.empty() && !TRY(pagemap.untracked_pages(mapping, kBacking)).empty())
      return fail(Code::kGone, "the process has left the memory that is tracked to others");
    if (done)
      for (const sys::Range& range : untracked) TRY(userfaultfd_->protect(range));
    for (const sys::Range& range : unite(untracked, TRY(pagemap.take_written(mapping, kBacking))))
      append(changed, range);
  }
  return changed;
}

Result<Ranges> WriteTracker::peek(const sys::Pagemap& pagemap, const Ranges& mappings) {
  Ranges changed;
  for (const sys::Range& mapping : mappings)
    for (const sys::Range& range : TRY(pagemap.peek_written(mapping, kBacking)))
      append(changed, range);
  return changed;
}

}  // namespace martlet::engine
