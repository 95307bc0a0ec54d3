// Which private pages of one process may have changed since they were last looked at.
//
// Whatever the process does in between (unmapping, mapping anew, moving, executing another program)
// ends as "changed": a page counts as unchanged only while the kernel shows it write-protected for
// this tracker, in a mapping that was tracked all the time. Destroying the tracker leaves no trace
// in the process.
//
// A kernel before 6.7 notes instead which pages of a process were written (soft-dirty). It keeps
// one note for all who ask: nobody else may take it back meanwhile.
#pragma once

#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/memory/ranges.h"
#include "engine/tasks/frozen.h"
#include "sys/userfaultfd.h"

namespace martlet::engine {

class WriteTracker {
 public:
  // The process may execute one system call for it. Its `vmas` must be known. kUnsupported if the
  // kernel has neither way.
  static Result<WriteTracker> begin(FrozenProcess& process);

  // The pages of `mappings`, which are whole ones of anonymous memory and sorted, that may have
  // changed since the last call, all of them at first; later writes are noted for the next call.
  // The process is frozen. kGone: it executed another program since, and needs a new tracker.
  Result<Ranges> take(const sys::Pagemap& pagemap, const Ranges& mappings);

  // The same without starting anew.
  static Result<Ranges> peek(const sys::Pagemap& pagemap, const Ranges& mappings);

 private:
  explicit WriteTracker(HostPid pid) : pid_(pid) {}
  Result<Ranges> take_protected(const sys::Pagemap& pagemap, const Ranges& mappings);
  Result<Ranges> take_soft_dirty(const sys::Pagemap& pagemap, const Ranges& mappings);

  HostPid pid_;
  std::optional<sys::Userfaultfd> userfaultfd_;  // if not by soft-dirty
  bool taken_ = false;
};

}  // namespace martlet::engine
