// userfaultfd(2) of another process: a descriptor made inside the target and duplicated here serves
// the target's memory from outside.
//
// Two uses. Write tracking: pages of a registered range are write-protected by
// Pagemap::take_written, and the kernel notes the first write to each by itself (WP_ASYNC); nobody
// is waited for. Missing pages: a task that touches a page that is not there waits until copy() or
// zero() puts it there, and what the target does to its mappings is told as events, for each of
// which it waits until it is read. When the last duplicate of the descriptor is closed either use
// ends: every page is writable, and pages that are missing read as zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "sys/pagemap.h"

namespace martlet::sys {

// What a program inside the target passes to userfaultfd(2). Faults that the kernel takes on the
// target's behalf are served only with kAllFaults, which needs CAP_SYS_PTRACE in the target; write
// tracking does not depend on it.
enum class UserfaultScope { kUserFaults, kAllFaults };
int userfaultfd_flags(UserfaultScope scope);

class Userfaultfd {
 public:
  static bool can_track_writes();  // on this host
  // Takes a fresh descriptor. kUnsupported if this kernel cannot do it.
  static Result<Userfaultfd> for_write_tracking(Fd fd);
  static Result<Userfaultfd> for_missing_pages(Fd fd);
  // A duplicate of one that is set up already.
  static Userfaultfd adopt(Fd fd) { return Userfaultfd(std::move(fd)); }

  // Both act on whole mappings of the target, which may be registered already. Errors: kGone if the
  // program that the descriptor was made in has ended.
  Result<void> track_writes(Range range) const;
  Result<void> catch_missing(Range range) const;
  // Marks all pages of a tracked range as not written, whatever their page table entries say.
  Result<void> protect(Range range) const;

  // How putting pages ended, and how many bytes were put before.
  enum class Outcome {
    kDone,
    kPageExists,  // at the next address
    kNoMapping,   // not inside one registered mapping
    kChanging,    // there are events to be read first
    kGone,        // the process, or its program, has ended
    kNoMemory,
  };
  struct Put {
    Outcome outcome;
    uint64_t bytes;
  };
  // Puts pages where there are none, and wakes who waits for them.
  Result<Put> copy(TargetAddr to, std::span<const std::byte> pages) const;
  Result<Put> zero(Range range) const;
  // Who waits for a page of the range touches it again.
  Result<void> wake(Range range) const;

  // What the target did.
  struct Event {
    enum class Kind { kMissing, kFork, kMoved, kDropped, kUnmapped } kind;
    Range range;          // the page that is missing; what was moved, dropped or unmapped
    TargetAddr moved_to;  // kMoved
    Fd child;             // kFork: the child's descriptor, for the same use
  };
  // The next event, if there is one: never waits. poll(2) tells when there is. Missing pages are
  // told before other events, whatever came first.
  Result<std::optional<Event>> next_event() const;

  const Fd& fd() const { return fd_; }

 private:
  explicit Userfaultfd(Fd fd) : fd_(std::move(fd)) {}
  static Result<Userfaultfd> open(Fd fd, uint64_t features, const char* purpose);
  Result<void> register_range(Range range, uint64_t mode) const;
  Fd fd_;
};

}  // namespace martlet::sys
